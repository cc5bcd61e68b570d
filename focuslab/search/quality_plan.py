"""A plan whose longer lengths run what an evaluation found best, instead of what is closest to dense."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from focuslab.errors import InputError
from focuslab.results import EvaluationRun
from focuslab.runs.method_spec import PLAN, MethodSpec
from focuslab.runs.plan import FIDELITY, QUALITY, PlanEntry, PlanSpec
from focuslab.runs.sites import sites_of_layout
from focuslab.search.frontier import Frontier, OperatingPoint
from focuslab.search.plan_builder import boundaries, entries_of
from focuslab.search.quality import DENSE, QualityChoice, best_in_quality

EVERYWHERE = ("length-scale", "naive")
"""Methods that are at every site unless some are named; the others are at those of the paper."""


def with_quality(
    plan: PlanSpec,
    points: Mapping[float, OperatingPoint],
    frontiers: Mapping[float, Frontier],
    evaluation: EvaluationRun,
    objective: str,
    training_seconds: float,
    min_speedup: Mapping[float, float | None] | None = None,
) -> PlanSpec:
    """The plan with measured quality in its evidence and, where quality is the objective, with what is best in it.

    Up to the training length the aim stays fidelity to dense: beyond it dense itself gets worse. min_speedup: by
    length, the budget; where the evaluation has nothing so fast, the plan stays as it is.
    """
    found = best_in_quality(evaluation.summary, _labels(evaluation), min_speedup=min_speedup)
    chosen = {s: choice for s, choice in found.items() if s in points and s > training_seconds}
    evidence = {
        **plan.evidence,
        "objective": {f"{s:g}": QUALITY if objective == QUALITY and s in chosen else FIDELITY for s in sorted(points)},
        "quality": {f"{s:g}": choice.to_json() for s, choice in found.items() if s in points},
    }
    if objective == FIDELITY:
        return replace(plan, evidence=evidence)
    return replace(plan, entries=_entries(plan, boundaries(points, frontiers), chosen), evidence=evidence)


def check_objective(
    evaluation: EvaluationRun, objective: str, lengths: Sequence[float], training_seconds: float
) -> None:
    """Raise `InputError` where the evaluation holds no metric to choose by or, with quality as the objective, no length
    to choose at."""
    found = best_in_quality(evaluation.summary, _labels(evaluation))
    if objective == QUALITY and not any(s in lengths and s > training_seconds for s in found):
        there, asked = (", ".join(f"{s:g}" for s in sorted(own)) for own in (found, lengths))
        raise InputError(
            f"the evaluation has {there} s and the plan {asked} s: expected a length in both that is longer than the "
            f"training length of {training_seconds:g} s"
        )


def _labels(evaluation: EvaluationRun) -> list[str]:
    # A plan that was evaluated has another one's sites, and dense lengths among them.
    return sorted({row["method"] for row in evaluation.rows if not row["method"].startswith(PLAN)})


def _entries(
    plan: PlanSpec, starts: Mapping[float, float], chosen: Mapping[float, QualityChoice]
) -> tuple[PlanEntry, ...]:
    does = {}
    for begin in sorted({entry.min_seconds for entry in plan.entries} | set(starts)):
        seconds = next((starts[start] for start in sorted(starts, reverse=True) if start <= begin), None)
        if seconds in chosen:
            does[begin] = _sites(MethodSpec.parse(chosen[seconds].method), plan.unet)
        else:
            does[begin] = next(entry.sites for entry in reversed(plan.entries) if entry.min_seconds <= begin)
    return entries_of(does)


def _sites(method: MethodSpec, unet: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Site -> method, at the sites that it names or else at those that it has by itself."""
    if method.name == DENSE:
        return {}
    patterns = method.sites or (("*",) if method.name in EVERYWHERE else None)
    return dict.fromkeys(sites_of_layout(unet, patterns), method.to_site())
