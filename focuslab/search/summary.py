"""What was chosen at each length, beside what else was there, as plain numbers and words for tables and figures."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from focuslab.results import AttentionRun, ProfileRun
from focuslab.runs import CHOICE_SCHEMA
from focuslab.runs.method_spec import brief
from focuslab.runs.plan import block_of
from focuslab.search.options import Flops, Option, saved_by_site
from focuslab.search.pareto import WORTH, Frontier, Point
from focuslab.search.plan_builder import crossover, crossover_in_words

Budget = float | Mapping[float, float | None] | None
DRAWN = 400
"""At most so many points of a frontier are kept to be drawn; the choice is made from all of them."""

SOURCES = {
    "step_seconds": "predicted: the dense step, median of plain steps in the profile, less what the groups save; where "
    "timed is true, that dense step over the speed-up of the whole choice in an interleaved run before the proof",
    "saved_seconds": "profile: time of the group's sites in dense less that with the method, instrumented, "
    "with its share of what the plain steps save beyond that; from FLOPs where predicted is true",
    "error": "sensitivity pass: relative error of the guided UNet output with this group alone, mean over prompts and "
    "steps; of several groups as combination says, which was fitted on joint runs of the pass",
    "local_error": "capture: relative error of the site's output with this method at it alone, mean over sites",
    "recall": "capture: share of dense attention on the keys that the method attends to, mean over sites",
    "lift": "capture: share of attention in the own mel row, over chance, mean over sites",
}
"""Where each number of a choice comes from."""


def choice_summary(
    points: Mapping[float, Point],
    frontiers: Mapping[float, Frontier],
    marks: Mapping[str, Mapping[float, Point]],
    profile: ProfileRun,
    attention: AttentionRun | None = None,
    *,
    max_error: Budget = None,
    min_speedup: Budget = None,
    flops: Flops | None = None,
) -> dict[str, Any]:
    """All there is to say of a choice, in JSON's types.

    points, frontiers: by audio length in seconds. marks: other choices to show beside it, such as "paper" and "all
    sites", by name and length; "plan" and "dense" are added. max_error, min_speedup: the budget, one for all lengths or
    by length. flops: as for `options_of`. Each of "lengths" holds

    * frontier: [step seconds, error] of its choices; points: what is predicted of the marked ones
    * groups: a row a group with the option taken, or with the best one that was turned down, and the reason in words
    * sites: a row a site with its lift, and what one and the same method, `gain_method`, would save at each; as a
      share too, of a dense step
    """
    given = {"max_error": max_error, "min_speedup": min_speedup}
    lengths = []
    for seconds in sorted(points):
        budget = {name: value[seconds] if isinstance(value, Mapping) else value for name, value in given.items()}
        found, point = frontiers[seconds], points[seconds]
        shown = {"plan": point, **{name: m[seconds] for name, m in marks.items() if seconds in m}}
        shown["dense"] = found.predict({})
        method = _gain_method([point, *shown.values()], found)
        lengths.append(
            {
                "seconds": seconds,
                "dense_step_seconds": found.dense_seconds,
                "budget": budget,
                "frontier": _thinned(found),
                "points": {name: _point(p, found) for name, p in shown.items()},
                "groups": [_group(group, point, found, budget) for group in found.groups],
                "gain_method": method,
                "sites": _site_rows(seconds, point, found, method, profile, attention, flops),
            }
        )
    return {
        "schema": CHOICE_SCHEMA,
        "budget": {name: None if isinstance(value, Mapping) else value for name, value in given.items()},
        "crossover_seconds": crossover(points, frontiers),
        "crossover": crossover_in_words(points, frontiers),
        "combination": asdict(frontiers[max(points)].combination),
        "lengths": lengths,
    }


def choice_evidence(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a `choice_summary` that belongs into a plan: without what is only drawn, with `SOURCES`."""
    lengths = [{k: v for k, v in row.items() if k not in ("frontier", "sites")} for row in summary["lengths"]]
    return {**summary, "lengths": lengths, "sources": SOURCES}


def _thinned(points: Frontier) -> list[list[float]]:
    kept = np.unique(np.linspace(0, len(points) - 1, min(DRAWN, len(points))).round().astype(int))
    return [[float(points.step_seconds[i]), float(points.errors[i])] for i in kept]


def _point(point: Point, found: Frontier) -> dict[str, Any]:
    interval = found.combination.interval(point.error)
    return {
        "step_seconds": point.step_seconds,
        "speedup": point.speedup,
        "error": point.error,
        "error_low": interval[0] if interval else None,
        "error_high": interval[1] if interval else None,
        "methods": point.methods,
        "dense_steps": list(point.dense_steps),
        "timed": point.timed,
        "predicted_from_flops": point.predicted,
    }


def _group(group: str, point: Point, found: Frontier, budget: Mapping[str, float | None]) -> dict[str, Any]:
    taken = point.choice[group]
    option = taken if taken.sparse else _turned_down(found.options[found.groups.index(group)])
    return {
        "group": group,
        "sites": len(taken.sites),
        "method": option.method if option else None,
        "taken": taken.sparse,
        **{
            key: getattr(option, key) if option else None
            for key in ("lift", "recall", "local_error", "error", "saved_seconds", "predicted")
        },
        "verdict": brief(taken.method),
        "reason": _reason(option, point, found, budget),
    }


def _turned_down(options: tuple[Option, ...]) -> Option | None:
    """What a group that stays dense could have run: what saves most for its error, or else comes nearest to saving."""
    sparse = [option for option in options if option.sparse]
    saving = [option for option in sparse if option.saved_seconds > 0]
    if saving:
        return max(saving, key=lambda option: (option.saved_seconds / max(option.error, 1e-12), option.method))
    return max(sparse, key=lambda option: (option.saved_seconds, option.method), default=None)


def _reason(option: Option | None, point: Point, found: Frontier, budget: Mapping[str, float | None]) -> str:
    if option is None:
        return "nothing sparse was measured here"
    part = option.saved_seconds / found.dense_seconds
    trade = f"{_percent(part)} of a step for an error of {_percent(option.error)}"
    if point.choice[option.group].sparse:
        return f"saves {trade}"
    if option.saved_seconds <= 0:
        return f"no option saves time here: {brief(option.method)} would add {_percent(-part)} to a step"
    if not point.sparse:
        most = found[len(found) - 1].speedup
        if budget["min_speedup"] is not None and most < budget["min_speedup"]:
            return f"all dense: at most {most:.2f} times as fast at this length, less than was asked for"
        if most < WORTH:
            return f"all dense: at most {most:.3f} times as fast at this length, which does not pay"
        return f"all dense at this length: would save {trade}, {_why(budget)}"
    return f"would save {trade}, {_why(budget)}"


def _why(budget: Mapping[str, float | None]) -> str:
    if budget["max_error"] is not None:
        return f"and more than {_percent(budget['max_error'])} in all is not allowed"
    if budget["min_speedup"] is not None:
        return f"and {budget['min_speedup']:.3g} times as fast is reached with less"
    return "beyond the knee, where error buys little time"


def _percent(share: float) -> str:
    """In two digits: "0.42 %", "4.0 %", "42 %"; and "less than 0.01 %"."""
    value = 100 * share
    if value < 0.01:
        return "less than 0.01 %" if value else "0 %"
    return f"{value:.{2 if value < 0.995 else 1 if value < 9.95 else 0}f} %"


def _gain_method(points: list[Point], found: Frontier) -> str:
    """The method that most sites run in the first of these choices that has any; else the first one measured."""
    for point in points:
        count = Counter()
        for option in point.choice.values():
            if option.sparse:
                count[option.method] += len(option.sites)
        if count:
            return max(sorted(count), key=count.get)
    return next(option.method for own in found.options for option in own[1:])


def _site_rows(
    seconds: float,
    point: Point,
    found: Frontier,
    method: str,
    profile: ProfileRun,
    attention: AttentionRun | None,
    flops: Flops | None,
) -> list[dict[str, Any]]:
    saved = saved_by_site(profile, seconds, method, flops)
    captured = attention.summary["sites"] if attention else []
    lifts = {row["name"]: row["lift"] for row in captured if row["seconds"] == seconds}
    grids = profile.info.grids.get(f"{seconds:g}", {})
    methods = {site: option.method for option in point.choice.values() if option.sparse for site in option.sites}
    # In the order of the UNet, which is that of the profile's modules.
    order = [m["name"] for row in profile.rows for m in row["modules"] if m["name"] in saved]
    return [
        {
            "name": name,
            "block": block_of(name),
            "mel_rows": grids[name][1] if name in grids else None,
            "lift": lifts.get(name),
            "saved_seconds": saved[name],
            "saved_share": None if saved[name] is None else saved[name] / found.dense_seconds,
            "method": methods.get(name),
        }
        for name in dict.fromkeys(order)
    ]
