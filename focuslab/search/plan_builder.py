"""From the choices at measured lengths to a plan for every length, and the records of how it came about."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from focuslab.errors import InputError
from focuslab.runs import RunInfo, differences, first_few
from focuslab.runs.plan import PlanEntry, PlanSpec
from focuslab.search.frontier import WORTH, Frontier, OperatingPoint


def plan_of(
    points: Mapping[float, OperatingPoint],
    frontiers: Mapping[float, Frontier],
    *,
    model: str,
    unet: Mapping[str, Any],
    evidence: Mapping[str, Any] | None = None,
) -> PlanSpec:
    """The plan that does at each measured length what was chosen there.

    Between two measured lengths the entries meet as `boundaries` says. Below the shortest one the plan is dense, for
    nothing was measured there.
    """
    starts = boundaries(points, frontiers)
    does = {start: _sites(points[seconds]) for start, seconds in starts.items()}
    return PlanSpec(model, dict(unet), entries_of({0: {}, **does}), dict(evidence or {}))


def entries_of(does: Mapping[float, dict[str, dict[str, Any]]]) -> tuple[PlanEntry, ...]:
    """Entries from what is done from each length on, in order; those that do the same are one."""
    starts = [start for start, before in zip(does, [None, *does.values()], strict=False) if does[start] != before]
    return tuple(PlanEntry(a, b, does[a]) for a, b in zip(starts, [*starts[1:], None], strict=True))


def boundaries(points: Mapping[float, OperatingPoint], frontiers: Mapping[float, Frontier]) -> dict[float, float]:
    """The length in seconds from which on each measured length's choice holds -> that measured length.

    The first holds from its own length on. Between a length with a sparse choice and one without, it is where that
    sparse choice begins to pay (`WORTH`): its predicted speed-up at both, on a straight line over the logarithm of the
    length. Between two others it is their geometric mean. To a tenth of a second.
    """
    lengths = sorted(points)
    if not lengths:
        raise InputError("there is no measured length to make a plan of")
    starts = {lengths[0]: lengths[0]}
    for shorter, longer in pairwise(lengths):
        share = _where_it_pays(points, frontiers, shorter, longer)
        share = 0.5 if share is None else share
        start = math.exp(math.log(shorter) + share * math.log(longer / shorter))
        # Never below the shorter one, nor above the longer one, whose own choices were measured there.
        start = min(max(round(start, 1), math.floor(10 * shorter + 1) / 10), longer)
        starts[start] = longer
    return starts


def crossover(points: Mapping[float, OperatingPoint], frontiers: Mapping[float, Frontier]) -> float | None:
    """From which length in seconds on the choice is sparse, at it and at all longer ones; None where it never is."""
    found = None
    for start, seconds in reversed(boundaries(points, frontiers).items()):
        if not points[seconds].sparse:
            break
        found = start
    return found


def crossover_in_words(points: Mapping[float, OperatingPoint], frontiers: Mapping[float, Frontier]) -> str:
    """ "Sparse pays from 12.3 s on (between the measured 10 and 20 s)." """
    start, lengths = crossover(points, frontiers), sorted(points)
    if start is None:
        return f"Dense at the longest measured length, {lengths[-1]:g} s: there is no length from which on sparse pays."
    if start == lengths[0]:
        return f"Sparse pays at every measured length, from {start:g} s on; what is shorter was not measured."
    below, above = max(s for s in lengths if s < start), min(s for s in lengths if s >= start)
    between = f"between the measured {below:g} and {above:g} s"
    if _where_it_pays(points, frontiers, below, above) is None:
        return (
            f"Sparse from {start:g} s on (half way {between}); at {below:g} s nothing that is worth it fits the budget."
        )
    return f"Sparse pays from {start:g} s on ({between})."


def made_from(infos: Mapping[str, RunInfo | None]) -> dict[str, Any]:
    """How the runs behind a plan were made, by what they are called; no path of the machine is among it."""
    told = ("command", "model", "machine", "versions", "device", "dtype", "seed", "prompts", "started", "ended")
    return {
        name: {field: list(value) if isinstance(value := getattr(info, field), tuple) else value for field in told}
        for name, info in infos.items()
        if info is not None
    }


def _sites(point: OperatingPoint) -> dict[str, dict[str, Any]]:
    return {site: method.to_site() for site, method in point.site_methods.items()}


def _where_it_pays(
    points: Mapping[float, OperatingPoint], frontiers: Mapping[float, Frontier], shorter: float, longer: float
) -> float | None:
    """How far from the shorter to the longer length, 0 to 1, the sparse choice of one of them begins to pay; None where
    it is not the time that makes one sparse and the other dense."""
    if points[shorter].sparse == points[longer].sparse:
        return None
    sparse, other = (shorter, longer) if points[shorter].sparse else (longer, shorter)
    here = points[sparse].speedup
    try:
        there = frontiers[other].predict(points[sparse].methods).speedup
    except InputError:  # the other length lacks one of the candidates
        there = points[other].speedup
    if there >= WORTH or here <= WORTH:
        return None
    share = (WORTH - there) / (here - there)
    return share if sparse == longer else 1 - share


def check_comparable(infos: Mapping[str, RunInfo | None]) -> None:
    """Raise `InputError` in one line where runs, by what they are called, differ in model, device or dtype.

    A model is what its UNet is, not what it was loaded as. Runs that are None are passed over.
    """
    known = {name: info for name, info in infos.items() if info is not None}
    knowing = next((name for name, info in known.items() if info.knows_what_made_it), None)
    for name, info in known.items():
        if knowing and not info.knows_what_made_it:
            raise InputError(
                f"the {name} was written by {info.written_by}, which did not record what made it, so it cannot be put "
                f"together with the {knowing}: make it anew"
            )
    identities: tuple[tuple[str, Callable[[RunInfo], tuple[Any, str]]], ...]
    identities = ("model", _model), ("device", _device), ("dtype", lambda info: (info.dtype, info.dtype))
    for what, of in identities if known else ():
        found = {name: of(info) for name, info in known.items()}
        first = next(iter(found))
        for name, (identity, words) in found.items():
            if identity != found[first][0]:
                also = ""
                if words == found[first][1]:
                    also = f" (they differ in {first_few(differences(found[first][0], identity, what))})"
                raise InputError(
                    f"the {first} was made with the {what} {found[first][1]}, the {name} with {words}{also}: records "
                    f"of different {what}s cannot be put together; make both with one {what}"
                )


def _model(info: RunInfo) -> tuple[Any, str]:
    facts = {k: v for k, v in info.model.items() if k not in ("name", "revision")}
    name = info.model["name"]
    fingerprint = info.unet_fingerprint
    return (facts, f"{name} ({fingerprint})") if fingerprint else (info.model, name)


def _device(info: RunInfo) -> tuple[Any, str]:
    accelerator = info.machine.get("accelerator")
    kind = info.device.partition(":")[0]
    return (kind, accelerator), accelerator or kind
