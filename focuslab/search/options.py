"""What each group of sites may run at each length: the time that saves, and the error that it costs."""

import fnmatch
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from focuslab.errors import InputError
from focuslab.results import AttentionRun, ProfileRun
from focuslab.runs import RunInfo, differences, first_few
from focuslab.runs.method_spec import split_label, without_sites

DENSE = "dense"

Record = Mapping[str, Any]
Flops = Mapping[float, Mapping[str, Mapping[str, float]]]
"""Audio length -> method -> module -> FLOPs of a step, from dry runs; the module "" is the whole UNet."""


@dataclass(frozen=True)
class Option:
    """What one group of sites may run at one length; options of one group exclude each other.

    group: a block ("down_blocks.1") or one site. sites: names of its sites. method: as in `--methods`, without sites.
    saved_seconds: of one denoising step, against dense. error: relative error of the guided UNet output with only this
    on, mean over prompts and recorded steps. step_errors: (step, mean over prompts). local_error, recall: mean of the
    group's sites in the capture; lift: the same. All None where not recorded. predicted: `saved_seconds` was filled
    in from FLOPs for a length that was not measured. "dense" saves 0 at an error of 0.
    """

    group: str
    sites: tuple[str, ...]
    method: str
    saved_seconds: float
    error: float
    local_error: float | None = None
    recall: float | None = None
    lift: float | None = None
    predicted: bool = False
    step_errors: tuple[tuple[int, float], ...] = ()

    @property
    def sparse(self) -> bool:
        return self.method != DENSE


def check_comparable(infos: Mapping[str, RunInfo | None]) -> None:
    """Raises `InputError` in one line where runs, by what they are called, differ in model, device or dtype.

    A model is what its UNet is, not what it was loaded as. Runs that are None are passed over.
    """
    infos = {name: info for name, info in infos.items() if info is not None}
    _check_all_know_what_made_them(infos)
    for what, of in (("model", _model), ("device", _device), ("dtype", lambda info: (info.dtype, info.dtype))):
        found = {name: of(info) for name, info in infos.items()}
        first = next(iter(found), None)
        for name, (identity, words) in found.items():
            if identity != found[first][0]:
                also = ""
                if words == found[first][1]:
                    also = f" (they differ in {first_few(differences(found[first][0], identity, what))})"
                raise InputError(
                    f"the {first} was made with the {what} {found[first][1]}, the {name} with {words}{also}: records "
                    f"of different {what}s cannot be put together; make both with one {what}"
                )


def _check_all_know_what_made_them(infos: Mapping[str, RunInfo]) -> None:
    """Raises `InputError` where some runs do not hold what made them, and so cannot be compared with those that do."""
    knowing = [name for name, info in infos.items() if info.knows_what_made_it]
    for name, info in infos.items():
        if knowing and name not in knowing:
            raise InputError(
                f"the {name} was written by {info.written_by}, which did not record what made it, so it cannot be put "
                f"together with the {knowing[0]}: make it anew"
            )


def options_of(
    profile: ProfileRun,
    sensitivity: Iterable[Record],
    attention: AttentionRun | None = None,
    flops: Flops | None = None,
) -> dict[float, list[Option]]:
    """Audio length -> the options of every group at that length, "dense" first, by group and then by method.

    sensitivity: records {"kind": "sensitivity", "seconds", "group", "sites", "method", "prompt", "step", "error"};
    others are passed over, and of two of the same thing the later one counts. Errors are means over the prompts and
    steps that all options of a length have. flops: for lengths or methods that the profile has not, see
    `saved_seconds`; what cannot be filled in is left out. Raises `InputError` for records of different models, devices
    or dtypes, and where nothing is left to choose from.
    """
    check_comparable({"profile": profile.info, "capture": attention.info if attention else None})
    errors = _errors(sensitivity)
    if not errors:
        raise InputError("there is no sensitivity record: run the sensitivity pass of the model first")
    cost = _SiteCost(profile, flops or {})
    captured = _captured(attention)
    options: dict[float, list[Option]] = {}
    for seconds in sorted({key[0] for key in errors}):
        found = []
        for (length, group, sites, method), by_step in sorted(errors.items()):
            saved = cost.saved(seconds, method, sites) if length == seconds else None
            if saved is None:
                continue
            step_errors = tuple(sorted(by_step.items()))
            error = float(np.mean([value for _, value in step_errors]))
            lift, recall, local = (
                captured(seconds, sites, method, what) for what in ("lift", "recall", "output_error")
            )
            found.append(Option(group, sites, method, saved[0], error, local, recall, lift, saved[1], step_errors))
        if found:
            options[seconds] = _with_dense(found)
    if not options:
        raise InputError(
            "the profile has none of the methods of the sensitivity pass at all of their sites: profile them as, for "
            f"example, {min(key[3] for key in errors)}:sites=*"
        )
    return options


def dense_seconds_of(profile: ProfileRun, seconds: float, flops: Flops | None = None) -> tuple[float, bool]:
    """Time of a dense step in seconds at this length, and whether it is predicted from FLOPs.

    Raises `InputError` where it was not measured and cannot be predicted.
    """
    cost = _SiteCost(profile, flops or {})
    found = cost.dense_step(seconds)
    if found is None:
        there = ", ".join(f"{s:g}" for s in sorted(cost.dense)) or "no length"
        raise InputError(f"the profile has no dense step at {seconds:g} s, only at {there}: measure that length too")
    return found


def saved_by_site(
    profile: ProfileRun, seconds: float, method: str, flops: Flops | None = None
) -> dict[str, float | None]:
    """Site -> seconds of a step that the method saves there alone; None where that is not known."""
    cost = _SiteCost(profile, flops or {})
    found = {site: cost.saved(seconds, without_sites(method), (site,)) for site in sorted(cost.sites)}
    return {site: saved[0] if saved else None for site, saved in found.items()}


def unmeasured(profile: ProfileRun, labels: Iterable[str], lengths: Iterable[float]) -> list[tuple[float, str]]:
    """(seconds, method) of what the profile has not measured, module by module, at all sites."""
    cost = _SiteCost(profile, {})
    labels = [without_sites(label) for label in labels]
    return [
        (seconds, label)
        for seconds in lengths
        for label in labels
        if not (cost.covered(seconds, label) >= cost.sites if label != DENSE else seconds in cost.dense)
    ]


class _SiteCost:
    """Time of every site with every method and at every length of a profile.

    The instrumented run says how a method's saving divides over its sites, the plain, interleaved steps how much it is
    in all: what the second says beyond the first is spread over the sites in proportion to their time in dense.
    """

    def __init__(self, profile: ProfileRun, flops: Flops):
        rows = [row for row in profile.rows if row["modules"]]
        self.dense = {row["seconds"]: row for row in rows if row["method"] == DENSE}
        self.dense_sites = {seconds: _sites(row) for seconds, row in self.dense.items()}
        self.sites = frozenset().union(*self.dense_sites.values())
        self.flops = {s: {without_sites(label): counts for label, counts in f.items()} for s, f in flops.items()}
        self.measured: dict[tuple[float, str], dict[str, tuple[float, float]]] = defaultdict(dict)
        # Methods at few sites first: where one was measured at all sites too, that counts.
        for row in sorted(rows, key=lambda row: row["sites"]):
            if row["method"] != DENSE and row["seconds"] in self.dense:
                self.measured[row["seconds"], without_sites(row["method"])] |= self._savings(row)

    def _savings(self, row: Record) -> dict[str, tuple[float, float]]:
        """Site -> seconds saved by one method at one length, and its FLOPs."""
        dense_row, dense = self.dense[row["seconds"]], self.dense_sites[row["seconds"]]
        own = _sites(row)
        chosen = _chosen(row["method"], own, row["sites"])
        if not chosen or not chosen <= dense.keys():
            return {}
        raw = {name: dense[name][0] - own[name][0] for name in chosen}
        beyond = dense_row["step_seconds_median"] - row["step_seconds_median"] - sum(raw.values())
        whole = sum(dense[name][0] for name in chosen)
        return {name: (raw[name] + beyond * dense[name][0] / whole, own[name][1]) for name in sorted(chosen)}

    def covered(self, seconds: float, method: str) -> frozenset[str]:
        return frozenset(self.measured.get((seconds, method), {}))

    def dense_step(self, seconds: float) -> tuple[float, bool] | None:
        if seconds in self.dense:
            return self.dense[seconds]["step_seconds_median"], False
        counted = self.flops.get(seconds, {}).get(DENSE, {}).get("")
        near = _nearest(self.dense, seconds)
        known = self.dense[near]["flops_per_step"] if near is not None else None
        return (self.dense[near]["step_seconds_median"] * counted / known, True) if counted and known else None

    def saved(self, seconds: float, method: str, sites: Sequence[str]) -> tuple[float, bool] | None:
        """Seconds that the method saves at these sites, and whether that is predicted from FLOPs."""
        unknown = sorted(set(sites) - self.sites)
        if unknown:
            raise InputError(
                f"the sensitivity pass names the site {unknown[0]!r}, which the profile has not: they are of "
                "different models"
            )
        parts = [self._saved_at(seconds, method, site) for site in sites]
        if not parts or None in parts:
            return None
        return math.fsum(part[0] for part in parts), any(part[1] for part in parts)

    def _saved_at(self, seconds: float, method: str, site: str) -> tuple[float, bool] | None:
        measured = self.measured.get((seconds, method), {})
        if site in measured:
            return measured[site][0], False
        near = _nearest([s for (s, m), found in self.measured.items() if m == method and site in found], seconds)
        if near is None:
            return None
        there = self.measured[near, method][site]
        now = self.dense_sites.get(seconds, {}).get(site)
        before = self.dense_sites[near][site]
        counts = self.flops.get(seconds, {})
        dense_flops = now[1] if now else counts.get(DENSE, {}).get(site)
        own_flops = counts.get(method, {}).get(site)
        if not all((dense_flops, own_flops, before[1], there[1])):
            return None
        dense = now[0] if now else before[0] * dense_flops / before[1]
        return dense - (before[0] - there[0]) * own_flops / there[1], True


def _sites(row: Record) -> dict[str, tuple[float, float | None]]:
    """Self-attention site -> its seconds a step and its FLOPs."""
    modules = [module for module in row["modules"] if module["kind"] == "self_attention"]
    return {module["name"]: (module["inclusive_seconds"], module.get("flops")) for module in modules}


def _chosen(label: str, names: Iterable[str], count: int) -> frozenset[str]:
    """The sites that a method of a profile took over; none where its label does not say which."""
    names = frozenset(names)
    _, parameters = split_label(label)
    patterns = parameters.get("sites", ())
    chosen = {n for n in names for p in patterns if fnmatch.fnmatchcase(n, p) or n.startswith(f"{p}.")}
    return frozenset(chosen) if patterns else names if count == len(names) else frozenset()


def _nearest(lengths: Iterable[float], seconds: float) -> float | None:
    return min(sorted(lengths), key=lambda s: abs(math.log(s / seconds)), default=None)


_Key = tuple[float, str, tuple[str, ...], str]


def _errors(records: Iterable[Record]) -> dict[_Key, dict[int, float]]:
    """(seconds, group, sites, method) -> step -> mean error over prompts."""
    found: dict[_Key, dict[tuple[int, int], float]] = defaultdict(dict)
    for record in records:
        if record["kind"] == "sensitivity":
            key = record["seconds"], record["group"], tuple(record["sites"]), without_sites(record["method"])
            if key[3] != DENSE:
                found[key][record["prompt"], record["step"]] = float(record["error"])
    shared: dict[float, set] = {}
    for (seconds, *_), values in found.items():
        shared[seconds] = shared.get(seconds, set(values)) & values.keys()
    errors = {}
    for key, values in found.items():
        if not shared[key[0]]:
            raise InputError(
                f"the sensitivity pass at {key[0]:g} s has no prompt and step that all options share: let it run on"
            )
        by_step = defaultdict(list)
        for prompt, step in sorted(shared[key[0]]):
            by_step[step].append(values[prompt, step])
        errors[key] = {step: float(np.mean(parts)) for step, parts in by_step.items()}
    return errors


def _captured(attention: AttentionRun | None):
    """A function (seconds, sites, method, what) -> mean over the sites, None where it was not recorded."""
    rows = {(row["seconds"], row["name"]): row for row in attention.summary["sites"]} if attention else {}
    weight = attention.info.parameters.get("cross_weight", 1.0) if attention else None

    def value(seconds: float, sites: Sequence[str], method: str, what: str) -> float | None:
        found = [rows.get((seconds, site)) for site in sites]
        if None in found:
            return None
        if what == "lift":
            parts = [row["lift"] for row in found]
        else:
            # Recall is a share of dense attention: it depends on which keys are drawn and not on their weight.
            fraction = _cross_fraction(method, weight if what == "output_error" else None)
            parts = [_at(row[what], fraction) for row in found]
        return None if None in parts else float(np.mean(parts))

    return value


def _cross_fraction(method: str, weight: float | str | None) -> float | None:
    """The share of keys that LiteFocus draws with this label, if the capture's statistics are of such a method."""
    name, parameters = split_label(method)
    if name not in ("litefocus", "same-frequency"):
        return None
    fraction = parameters.pop("cross_fraction", 0.1 if name == "litefocus" else 0)
    own_weight = parameters.pop("cross_weight", 1.0)
    if parameters or (weight is not None and own_weight != weight and fraction):
        return None
    return float(fraction)


def _at(by_fraction: Mapping[str, float], fraction: float | None) -> float | None:
    return next(
        (value for label, value in by_fraction.items() if fraction is not None and float(label) == fraction), None
    )


def _with_dense(options: Sequence[Option]) -> list[Option]:
    groups: dict[str, list[Option]] = {}
    for option in options:
        own = groups.setdefault(option.group, [])
        if own and own[0].sites != option.sites:
            raise InputError(f"the sensitivity pass has two different lists of sites for {option.group!r}")
        own.append(option)
    complete = []
    for group, own in groups.items():
        first = own[0]
        steps = tuple((step, 0.0) for step, _ in first.step_errors)
        complete += [Option(group, first.sites, DENSE, 0.0, 0.0, 0.0, 1.0, first.lift, step_errors=steps), *own]
    return complete


def _model(info: RunInfo) -> tuple[Any, str]:
    facts = {k: v for k, v in info.model.items() if k not in ("name", "revision")}
    name = info.model["name"]
    fingerprint = info.unet_fingerprint
    return (facts, f"{name} ({fingerprint})") if fingerprint else (info.model, name)


def _device(info: RunInfo) -> tuple[Any, str]:
    accelerator = info.machine.get("accelerator")
    kind = info.device.partition(":")[0]
    return (kind, accelerator), accelerator or kind
