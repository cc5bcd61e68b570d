"""The methods that are tried at each group of sites where nothing else is asked for."""

from collections.abc import Iterable, Sequence

from focuslab.methods.catalogue import catalogue
from focuslab.runs.method_spec import PAPER, UNBIASED, MethodSpec

CROSS_FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2)
PARTLY_WEIGHTED = (0.02, 0.1)
"""Fractions whose keys are also tried with the weight r^-0.75, between the paper's 1 and the unbiased 1/r: the unbiased
estimate of few keys has a large variance."""
POWER = -0.75

LARGE, SMALL = 0.05, 0.01
"""A group whose attention cores do at least `LARGE` of a dense step's FLOPs has every candidate. Below `SMALL` it could
not save more than a hundredth of the step whatever ran there, and two are enough to see its error."""


def litefocus(cross_fraction: float, cross_weight: float | str = UNBIASED) -> MethodSpec:
    """LiteFocus with this r and weight."""
    return MethodSpec("litefocus", {"cross_fraction": cross_fraction, "cross_weight": cross_weight})


def pooled(pool_size: int) -> MethodSpec:
    """The own row exactly, and means over so many time steps of the others."""
    return MethodSpec("pooled", {"stretch": pool_size})


OWN_ROW, TOKEN_MERGING = MethodSpec("same-frequency"), MethodSpec("tome")


def default_methods(flop_share: float) -> tuple[MethodSpec, ...]:
    """What is tried at a group whose attention cores do this share of a step's FLOPs."""
    if flop_share >= LARGE:
        return (
            PAPER,
            OWN_ROW,
            *map(litefocus, CROSS_FRACTIONS),
            *(litefocus(r, float(f"{r**POWER:.3g}")) for r in PARTLY_WEIGHTED),
            *(MethodSpec(name, given) for name, entry in catalogue().items() for given in entry.candidates),
        )
    if flop_share >= SMALL:
        return (PAPER, OWN_ROW, litefocus(0.1), pooled(10), TOKEN_MERGING)
    return (PAPER, pooled(10))


def with_paper(labels: Iterable[str]) -> tuple[MethodSpec, ...]:
    """The paper's method and those of the labels, without sites: what is tried where these were asked for."""
    return tuple(dict.fromkeys((PAPER, *(MethodSpec.parse(label).without_sites() for label in labels))))


def timed_as(method: MethodSpec) -> MethodSpec:
    """What is timed for a method, at no sites in particular: a weight other than 1 costs the same whichever it is."""
    weight = method.parameters.get("cross_weight", 1.0)
    if isinstance(weight, str) or weight == 1:
        return method.without_sites()
    return MethodSpec(method.name, {**method.parameters, "cross_weight": UNBIASED})


def estimated_share(method: MethodSpec) -> float | None:
    """The share of all keys that stands for the other rows without bias to first order; None where none does.

    Unbiased LiteFocus and pooling have such keys.
    """
    if method.name == "pooled":
        return 1 / method.parameters["stretch"]
    return method.cross_fraction if method.parameters.get("cross_weight") == UNBIASED else None


def nearest_estimate(methods: Sequence[MethodSpec], like: MethodSpec) -> MethodSpec:
    """Of the methods with an `estimated_share` the one nearest to `like`, by name and then by share; else `PAPER`."""
    wanted = estimated_share(like) or 0.0
    share = {method: share for method in methods if (share := estimated_share(method)) is not None}
    return min(share, key=lambda m: (m.name != like.name, abs(share[m] - wanted), m), default=PAPER)
