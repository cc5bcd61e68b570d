"""What was chosen at each length, beside what else was there, as plain numbers and words for tables and figures."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from focuslab.results import AttentionRun
from focuslab.runs import CHOICE_SCHEMA
from focuslab.runs.method_spec import MethodSpec
from focuslab.runs.plan import block_of
from focuslab.search.budget import Budget, Limits
from focuslab.search.candidates import Candidate
from focuslab.search.cost_model import CostModel
from focuslab.search.frontier import WORTH, Frontier, OperatingPoint
from focuslab.search.plan_builder import crossover, crossover_in_words

Density = Callable[[float, Mapping[str, MethodSpec]], float | None]
"""(seconds, site -> method) -> share of the query-key pairs of all self-attention that is computed."""
DRAWN = 400
"""At most so many points of a frontier are kept to be drawn; the choice is made from all of them."""

SOURCES = {
    "step_seconds": "predicted: the dense step, median of plain steps in the profile, less what the groups save; where "
    "timed is true, that dense step over the speed-up of the whole choice in an interleaved run before the validation",
    "saved_seconds": "profile: time of the group's sites in dense less that with the method, instrumented, "
    "with its share of what the plain steps save beyond that; from FLOPs where predicted is true",
    "error": "sensitivity pass: relative error of the guided UNet output with this group alone, mean over prompts and "
    "steps; of several groups as combination says, which was fitted on joint ablations of the pass",
    "local_error": "capture: relative error of the site's output with this method at it alone, mean over sites",
    "recall": "capture: share of dense attention on the keys that the method attends to, mean over sites",
    "lift": "capture: share of attention in the own mel row, over chance, mean over sites",
}
"""Where each number of a choice comes from."""


def choice_summary(
    points: Mapping[float, OperatingPoint],
    frontiers: Mapping[float, Frontier],
    marks: Mapping[str, Mapping[float, OperatingPoint]],
    cost: CostModel,
    attention: AttentionRun | None = None,
    *,
    limits: Mapping[float, Limits] | None = None,
    budget: Budget | None = None,
    density: Density | None = None,
) -> dict[str, Any]:
    """All there is to say of a choice, in JSON's types.

    marks: other choices to show beside it, by name and length; "plan" and "dense" are added. limits: the budget at each
    length, in numbers. density: what gives the share of pairs that a choice computes. Each of "lengths" holds

    * frontier: [step seconds, error] of its choices; points: what is predicted of the marked ones
    * against_paper: the fastest choice with no more error than the paper's, as a share of its time, and the one of
      least error that is no slower, as a share of its error
    * groups: a row a group with the candidate taken, or with the best one that was turned down, and the reason in words
    * sites: a row a site with its lift, and what one and the same method, `gain_method`, would save at each; as a share
      too, of a dense step
    """
    in_numbers = (budget or Budget()).in_numbers
    lengths = []
    for seconds in sorted(points):
        limit = limits[seconds] if limits else in_numbers
        found, point = frontiers[seconds], points[seconds]
        shown = {"plan": point, **{name: m[seconds] for name, m in marks.items() if seconds in m}, "dense": found.dense}
        method = _gain_method([point, *shown.values()], found)
        lengths.append(
            {
                "seconds": seconds,
                "dense_step_seconds": found.dense_seconds,
                "budget": limit,
                "frontier": _thinned(found),
                "points": {
                    name: _point(p, found) | {"density": density(seconds, p.site_methods) if density else None}
                    for name, p in shown.items()
                },
                "against_paper": _against(found, shown["paper"]) if "paper" in shown else None,
                "groups": [_group(group, point, found, limit) for group in found.groups],
                "gain_method": str(method),
                "sites": _site_rows(seconds, point, found, method, cost, attention),
            }
        )
    return {
        "schema": CHOICE_SCHEMA,
        "budget": in_numbers,
        "crossover_seconds": crossover(points, frontiers),
        "crossover": crossover_in_words(points, frontiers),
        "combination": frontiers[max(points)].error_model.to_json(),
        "lengths": lengths,
    }


def choice_evidence(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a `choice_summary` that belongs into a plan: without what is only drawn, with `SOURCES`."""
    lengths = [{k: v for k, v in row.items() if k not in ("frontier", "sites")} for row in summary["lengths"]]
    return {**summary, "lengths": lengths, "sources": SOURCES}


def _thinned(points: Frontier) -> list[list[float]]:
    kept = np.unique(np.linspace(0, len(points) - 1, min(DRAWN, len(points))).round().astype(int))
    return [[float(points.step_seconds[i]), float(points.errors[i])] for i in kept]


def _point(point: OperatingPoint, found: Frontier) -> dict[str, Any]:
    low, high = found.error_model.interval(point.error) or (None, None)
    return {
        "step_seconds": point.step_seconds,
        "speedup": point.speedup,
        "error": point.error,
        "error_low": low,
        "error_high": high,
        "methods": {group: str(method) for group, method in point.methods.items()},
        "timed": point.timed,
        "predicted_from_flops": point.predicted,
    }


def _against(found: Frontier, paper: OperatingPoint) -> dict[str, float | None]:
    """Both shares, None where the paper's choice has no error or none at all is as fast."""
    fastest = found[int(np.searchsorted(found.errors, paper.error, side="right")) - 1]
    as_fast = np.flatnonzero(found.step_seconds <= paper.step_seconds * (1 + 1e-12))
    return {
        "step_seconds_at_its_error": fastest.step_seconds / paper.step_seconds,
        "error_at_its_speed": float(found.errors[as_fast[0]]) / paper.error if len(as_fast) and paper.error else None,
    }


def _group(group: str, point: OperatingPoint, found: Frontier, limit: Limits) -> dict[str, Any]:
    taken = point.choice[group]
    shown = taken if taken.sparse else _turned_down(found.candidates[found.groups.index(group)])
    return {
        "group": group,
        "sites": len(taken.sites),
        "method": str(shown.method) if shown else None,
        "taken": taken.sparse,
        **{
            key: getattr(shown, key) if shown else None
            for key in ("lift", "recall", "local_error", "error", "saved_seconds", "predicted")
        },
        "verdict": taken.method.brief,
        "reason": _reason(shown, point, found, limit),
    }


def _turned_down(candidates: tuple[Candidate, ...]) -> Candidate | None:
    """What a group that stays dense could have run: what saves most for its error, or else comes nearest to saving."""
    sparse = [candidate for candidate in candidates if candidate.sparse]
    saving = [candidate for candidate in sparse if candidate.saved_seconds > 0]
    if saving:
        return max(saving, key=lambda c: (c.saved_seconds / max(c.error, 1e-12), c.method))
    return max(sparse, key=lambda c: (c.saved_seconds, c.method), default=None)


def _reason(candidate: Candidate | None, point: OperatingPoint, found: Frontier, limit: Limits) -> str:
    if candidate is None:
        return "nothing sparse was measured here"
    part = candidate.saved_seconds / found.dense_seconds
    trade = f"{_percent(part)} of a step for an error of {_percent(candidate.error)}"
    if point.choice[candidate.group].sparse:
        return f"saves {trade}"
    if candidate.saved_seconds <= 0:
        return f"no candidate saves time here: {candidate.method.brief} would add {_percent(-part)} to a step"
    if not point.sparse:
        most = found[len(found) - 1].speedup
        if limit["min_speedup"] is not None and most < limit["min_speedup"]:
            return f"all dense: at most {most:.2f} times as fast at this length, less than was asked for"
        if most < WORTH:
            return f"all dense: at most {most:.3f} times as fast at this length, which does not pay"
        return f"all dense at this length: would save {trade}, {_why(limit)}"
    return f"would save {trade}, {_why(limit)}"


def _why(limit: Limits) -> str:
    if limit["max_error"] is not None:
        return f"and more than {_percent(limit['max_error'])} in all is not allowed"
    if limit["min_speedup"] is not None:
        return f"and {limit['min_speedup']:.3g} times as fast is reached with less"
    return "beyond the knee, where error buys little time"


def _percent(share: float) -> str:
    """In two digits: "0.42 %", "4.0 %", "42 %"; and "less than 0.01 %"."""
    value = 100 * share
    if value < 0.01:
        return "less than 0.01 %" if value else "0 %"
    return f"{value:.{2 if value < 0.995 else 1 if value < 9.95 else 0}f} %"


def _gain_method(points: list[OperatingPoint], found: Frontier) -> MethodSpec:
    """The method that most sites run in the first of these choices that has any; else the first one measured."""
    for point in points:
        if count := Counter(point.site_methods.values()):
            return max(sorted(count), key=count.__getitem__)
    return next(candidate.method for own in found.candidates for candidate in own[1:])


def _site_rows(
    seconds: float,
    point: OperatingPoint,
    found: Frontier,
    method: MethodSpec,
    cost: CostModel,
    attention: AttentionRun | None,
) -> list[dict[str, Any]]:
    captured = attention.summary["sites"] if attention else []
    lifts = {row["name"]: row["lift"] for row in captured if row["seconds"] == seconds}
    grids = cost.grids.get(f"{seconds:g}", {})
    methods = point.site_methods
    return [
        {
            "name": name,
            "block": block_of(name),
            "mel_rows": grids[name][1] if name in grids else None,
            "lift": lifts.get(name),
            "saved_seconds": saved,
            "saved_share": None if saved is None else saved / found.dense_seconds,
            "method": str(methods[name]) if name in methods else None,
        }
        for name, saved in cost.saved_by_site(seconds, method).items()
    ]
