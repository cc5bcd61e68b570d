"""What each group of sites may run at each length: the time that saves, and the error that it costs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from focuslab.errors import InputError
from focuslab.results import AttentionRun
from focuslab.runs.method_spec import DENSE, MethodSpec
from focuslab.search.cost_model import CostModel

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """What one group of sites may run at one length; candidates of one group exclude each other."""

    group: str  # a block, such as "down_blocks.1"
    sites: tuple[str, ...]
    method: MethodSpec  # without sites; "dense" saves 0 at an error of 0
    saved_seconds: float  # of one denoising step, against dense
    error: float  # of the guided UNet output with only this on, relative, mean over prompts and recorded steps
    # This and the next two: means over the sites in the capture, None where not recorded.
    local_error: float | None = None
    recall: float | None = None
    lift: float | None = None
    predicted: bool = False  # whether `saved_seconds` was filled in from FLOPs for a length that was not measured

    @property
    def sparse(self) -> bool:
        return self.method != DENSE


def candidates_of(
    cost: CostModel, records: Iterable[Record], attention: AttentionRun | None = None
) -> dict[float, list[Candidate]]:
    """The candidates of every group by length, "dense" first, by group and then by method.

    What the cost model does not know is left out. Of the records those of kind "sensitivity" count, and of two of the
    same thing the later one. Errors are means over the prompts and steps that all candidates of a length have. The
    capture gives local error, recall and lift. Raises `InputError` where nothing is left to choose from.
    """
    errors = _errors(records)
    if not errors:
        raise InputError("there is no sensitivity record: run the sensitivity pass of the model first")
    captured = _Captured(attention)
    found: dict[float, list[Candidate]] = defaultdict(list)
    for (seconds, group, sites, method), error in sorted(errors.items()):
        saved = cost.saved(seconds, method, sites)
        if saved is not None:
            known = captured.about(seconds, sites, method)
            found[seconds].append(
                Candidate(group, sites, method, saved.seconds, error, predicted=saved.predicted, **known)
            )
    if not found:
        raise InputError(
            "the profile has none of the methods of the sensitivity pass at all of their sites: profile them as, for "
            f"example, {min(key[3] for key in errors)}:sites=*"
        )
    return {seconds: _with_dense(own) for seconds, own in found.items()}


_Key = tuple[float, str, tuple[str, ...], MethodSpec]


def _errors(records: Iterable[Record]) -> dict[_Key, float]:
    """(seconds, group, sites, method) -> mean error over steps, each the mean over prompts."""
    found: dict[_Key, dict[tuple[int, int], float]] = defaultdict(dict)
    for record in records:
        if record["kind"] == "sensitivity":
            method = MethodSpec.parse(record["method"]).without_sites()
            if method != DENSE:
                key = record["seconds"], record["group"], tuple(record["sites"]), method
                found[key][record["step"], record["prompt"]] = float(record["error"])
    shared: dict[float, set] = {}
    for (seconds, *_), values in found.items():
        shared[seconds] = shared.get(seconds, set(values)) & values.keys()
    errors = {}
    for key, values in found.items():
        if not shared[key[0]]:
            raise InputError(
                f"the sensitivity pass at {key[0]:g} s has no prompt and step that all candidates share: resume it"
            )
        by_step = defaultdict(list)
        for step, prompt in sorted(shared[key[0]]):
            by_step[step].append(values[step, prompt])
        errors[key] = float(np.mean([float(np.mean(parts)) for parts in by_step.values()]))
    return errors


class _Captured:
    """What a capture says of a method at a group of sites."""

    def __init__(self, attention: AttentionRun | None):
        self._rows = {(row["seconds"], row["name"]): row for row in attention.summary["sites"]} if attention else {}
        self._weight = attention.info.parameters.get("cross_weight", 1.0) if attention else None

    def about(self, seconds: float, sites: Sequence[str], method: MethodSpec) -> dict[str, float | None]:
        rows = [self._rows[seconds, site] for site in sites if (seconds, site) in self._rows]
        if len(rows) < len(sites):
            return {}
        # Other parameters than these, such as a length scale, are not those of the capture.
        same = method.parameters.keys() <= {"cross_fraction", "cross_weight"} and method.name != "cross-frequency"
        fraction = method.cross_fraction if same else None
        weight = method.parameters.get("cross_weight", 1.0)
        return {
            "lift": _mean([row["lift"] for row in rows]),
            # Recall is a share of dense attention: it depends on which keys are sampled and not on their weight.
            "recall": _mean([_at(row["recall"], fraction) for row in rows]),
            "local_error": _mean([_at(row["output_error"], fraction) for row in rows])
            if weight == self._weight or not fraction
            else None,
        }


def _at(by_fraction: Mapping[str, float], fraction: float | None) -> float | None:
    return next((value for label, value in by_fraction.items() if float(label) == fraction), None)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _with_dense(candidates: Sequence[Candidate]) -> list[Candidate]:
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        own = groups[candidate.group]
        if own and own[0].sites != candidate.sites:
            raise InputError(f"the sensitivity pass has two different lists of sites for {candidate.group!r}")
        own.append(candidate)
    return [
        candidate
        for group, own in groups.items()
        for candidate in (Candidate(group, own[0].sites, DENSE, 0.0, 0.0, 0.0, 1.0, own[0].lift), *own)
    ]
