"""What is tried at each group of sites where nothing else is asked for, and which of it takes the same time."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from focuslab.results import ProfileRun
from focuslab.runs.method_spec import join_label, split_label, without_sites
from focuslab.search.options import Flops

PAPER = "litefocus"
"""The paper's fixed choice at its two blocks: r = 0.1, every key with the weight of one."""
OWN_ROW = "same-frequency"
CROSS_FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2)
STRETCHES = (50, 20, 10, 5)
PARTLY_WEIGHTED = (0.02, 0.1)
"""Fractions whose keys are also tried with the weight r^-0.75, between the paper's 1 and the unbiased 1/r: the unbiased
estimate of few keys has a large variance."""
POWER = -0.75
TIMED_WEIGHT = "unbiased"

LARGE, SMALL = 0.05, 0.01
"""A group whose attention cores do at least `LARGE` of a dense step's FLOPs has every candidate. Below `SMALL` it could
not save more than a hundredth of the step whatever ran there, and two are enough to see its error."""


def candidates(flop_share: float) -> tuple[str, ...]:
    """Labels, without sites, of what is tried at a group whose attention cores do this share of a step's FLOPs."""
    if flop_share >= LARGE:
        return (
            PAPER,
            OWN_ROW,
            *(litefocus(r, TIMED_WEIGHT) for r in CROSS_FRACTIONS),
            *(litefocus(r, float(f"{r**POWER:.3g}")) for r in PARTLY_WEIGHTED),
            *(pooled(stretch) for stretch in STRETCHES),
            "cross-frequency",
            "tome",
        )
    if flop_share >= SMALL:
        return (PAPER, OWN_ROW, litefocus(0.1, TIMED_WEIGHT), pooled(10), "tome")
    return (PAPER, pooled(10))


def with_paper(methods: Sequence[str]) -> tuple[str, ...]:
    """Labels, without sites, of the paper's method and of `methods`: what is tried where these were asked for."""
    return tuple(dict.fromkeys((PAPER, *map(without_sites, methods))))


def litefocus(cross_fraction: float, cross_weight: float | str) -> str:
    """The label of LiteFocus with this r and weight."""
    return join_label("litefocus", {"cross_fraction": cross_fraction, "cross_weight": cross_weight})


def pooled(stretch: int) -> str:
    """The label of own row and means over stretches of so many time steps."""
    return join_label("pooled", {"stretch": stretch})


def timed_as(label: str) -> str:
    """The label, without sites, of what is timed for `label`: a weight other than 1 costs the same whichever it is."""
    name, parameters = split_label(label)
    if isinstance(weight := parameters.get("cross_weight", 1.0), str) or weight == 1:
        return without_sites(label)
    return join_label(name, {**parameters, "cross_weight": TIMED_WEIGHT})


def with_same_timings(run: ProfileRun, labels: Iterable[str]) -> ProfileRun:
    """The profile with a row for each of `labels` that it lacks and has something for that takes the same time."""
    rows = list(run.rows)
    there = {(row["seconds"], without_sites(row["method"])) for row in rows}
    for label in dict.fromkeys(map(without_sites, labels)):
        stand_in = timed_as(label)
        for row in run.rows:
            if without_sites(row["method"]) == stand_in and (row["seconds"], label) not in there:
                sites = row["method"].partition(":sites=")[2]
                rows.append({**row, "method": f"{label}:sites={sites}" if sites else label})
    return replace(run, summary={**run.summary, "rows": rows})


def with_same_flops(flops: Flops, labels: Iterable[str]) -> Flops:
    """The counts with those of each of `labels` that they lack and that does the same work as another."""
    labels = list(map(without_sites, labels))
    return {
        seconds: {**{label: of[timed_as(label)] for label in labels if timed_as(label) in of}, **of}
        for seconds, of in flops.items()
    }


def estimated_share(label: str) -> float | None:
    """The share of all keys that stands for the other rows, of a method whose keys stand for them without bias to first
    order: unbiased LiteFocus and pooling. None for all others."""
    name, parameters = split_label(label)
    if name == "pooled":
        return 1 / parameters["stretch"]
    return parameters["cross_fraction"] if parameters.get("cross_weight") == TIMED_WEIGHT else None


def nearest_estimate(labels: Sequence[str], like: str) -> str:
    """Of the methods among `labels` with an `estimated_share` that which is `like` the given one: of its name, if there
    is any, and with the nearest share; `PAPER` where there is none."""
    share = {label: estimated_share(label) for label in labels}
    name, wanted = split_label(like)[0], estimated_share(like)
    estimates = [label for label in labels if share[label] is not None]
    return min(estimates, key=lambda m: (split_label(m)[0] != name, abs(share[m] - wanted), m), default=PAPER)
