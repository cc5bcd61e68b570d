"""A plan whose longer lengths run what an evaluation heard as best, instead of what is closest to dense."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from focuslab.errors import InputError
from focuslab.results import EvaluationRun
from focuslab.runs.method_spec import PLAN, split_label
from focuslab.runs.plan import PlanEntry, PlanSpec
from focuslab.search.pareto import Frontier, Point
from focuslab.search.plan_builder import boundaries
from focuslab.search.quality_objective import DENSE, FIDELITY, QUALITY, QualityChoice, best_in_quality

_EVERYWHERE = ("length-scale", "naive")
"""Methods that are at every site unless some are named; the others are at those of the paper."""


def with_quality(
    plan: PlanSpec,
    points: Mapping[float, Point],
    frontiers: Mapping[float, Frontier],
    evaluation: EvaluationRun,
    objective: str,
    training_seconds: float,
    min_speedup: Mapping[float, float | None] | None = None,
) -> PlanSpec:
    """The plan with measured quality in its evidence and, where quality is the objective, with what is best in it.

    Up to the training length the aim stays closeness to dense: beyond it dense itself gets worse. min_speedup: by
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
    begins = sorted({entry.min_seconds for entry in plan.entries} | set(starts))
    made: list[PlanEntry] = []
    for begin in begins:
        before = next(e for e in reversed(plan.entries) if e.min_seconds <= begin)
        seconds = next((starts[start] for start in sorted(starts, reverse=True) if start <= begin), None)
        entry = replace(before, min_seconds=begin, max_seconds=None)
        if seconds in chosen:
            entry = PlanEntry(begin, None, _sites(chosen[seconds].method, plan.unet))
        if not made or (entry.sites, entry.dense_steps) != (made[-1].sites, made[-1].dense_steps):
            made.append(entry)
    ends: Sequence[float | None] = [entry.min_seconds for entry in made[1:]] + [None]
    return tuple(replace(entry, max_seconds=end) for entry, end in zip(made, ends, strict=True))


def _sites(label: str, unet: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Site -> method, of a method's label with its sites, or with those that it has where it names none."""
    name, parameters = split_label(label)
    if name == DENSE:
        return {}
    patterns = parameters.pop("sites", ("*",) if name in _EVERYWHERE else None)
    second_highest = -(-unet["latent_mel_rows"] // 2)
    return {
        site: {"method": name, **parameters}
        for site, shape in unet["sites"].items()
        if (patterns is None and shape["mel_rows"] == second_highest)
        or any(site.startswith(f"{p}.") or fnmatch.fnmatchcase(site, p) for p in patterns or ())
    }
