"""The choice itself: records in, a plan out. Needs neither torch nor the model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from focuslab.checks import number, several
from focuslab.errors import InputError
from focuslab.results import AttentionRun, ProfileRun, SensitivityRun
from focuslab.runs.method_spec import DENSE, PAPER, MethodSpec
from focuslab.runs.plan import PlanSpec, sites_of_layout
from focuslab.search.budget import FROM_PAPER, Budget, Limits, Timings, reaching, with_speed
from focuslab.search.candidates import candidates_of
from focuslab.search.cost_model import CostModel, Flops
from focuslab.search.error_model import fit_error_model
from focuslab.search.experiments import Choice, timed_as
from focuslab.search.frontier import Frontier, NothingMeetsBudget, OperatingPoint, choose, frontier
from focuslab.search.plan_builder import check_comparable, made_from, plan_of
from focuslab.search.summary import Density, choice_evidence, choice_summary

NEIGHBOURS = (1.0, 1.03, 0.97)
"""Of a choice and of those so much slower and faster on the frontier the joint error is measured."""


@dataclass(frozen=True)
class Selection:
    """What was chosen."""

    points: dict[float, OperatingPoint]  # the choice at each length
    frontiers: dict[float, Frontier]  # what there was to choose from at each length
    summary: dict[str, Any]  # all there is to say of it (`choice_summary`)
    plan: PlanSpec
    notes: tuple[str, ...] = ()  # what records lack

    @property
    def predictions(self) -> dict[float, dict[str, dict[str, Any]]]:
        """Length -> choice -> what is predicted of it."""
        return {row["seconds"]: row["points"] for row in self.summary["lengths"]}

    def to_remeasure(self) -> dict[float, list[Choice]]:
        """Joint ablations at and beside the chosen point of each frontier: where its errors have to be right."""
        return {seconds: self._beside(seconds) for seconds, point in self.points.items() if point.sparse}

    def _beside(self, seconds: float) -> list[Choice]:
        found, point = self.frontiers[seconds], self.points[seconds]
        places = [abs(found.step_seconds - factor * point.step_seconds).argmin() for factor in NEIGHBOURS]
        choices = [point.methods, *(found[int(i)].methods for i in places)]
        return [choice for choice in choices if len(choice) > 1]


def select(
    profile: ProfileRun,
    sensitivity: SensitivityRun,
    attention: AttentionRun | None = None,
    *,
    seconds: Iterable[float] | float | None = None,
    budget: Budget | None = None,
    flops: Flops | None = None,
    timings: Timings | None = None,
    density: Density | None = None,
) -> Selection:
    """Choose for each length of the sensitivity pass, and make the plan.

    Parameters
    ----------
    profile : ProfileRun
        Of all candidates at all sites.
    sensitivity : SensitivityRun
    attention : AttentionRun, optional
        It says why, and does not choose.
    seconds : float or iterable of float, optional
        Some of the lengths of the sensitivity pass; all by default.
    budget : Budget, optional
        By default the knee of the frontier is chosen.
    flops : mapping, optional
        For lengths or methods that were not profiled.
    timings : Timings, optional
        Of choices as a whole. With a `min_speedup`, what was timed and too slow is not chosen.
    density : callable, optional
        What gives the share of query-key pairs that a choice computes at a length.

    Returns
    -------
    Selection

    Raises
    ------
    InputError
        For records of different models, devices or dtypes, and for a budget that nothing meets at any length.
    """
    budget, timings = budget or Budget(), timings or Timings({})
    infos = {
        "profile": profile.info,
        "capture": attention.info if attention else None,
        "sensitivity pass": sensitivity.info,
        **{f"timing {count}": info for count, info in enumerate(timings.infos, start=1)},
    }
    check_comparable(infos)
    unet = sensitivity.info.parameters["unet"]
    records = _records(sensitivity, seconds)
    cost = CostModel(profile, flops)
    candidates = candidates_of(cost, records, attention)
    _check_profiled(profile, records, candidates)
    error_model = fit_error_model(candidates, records)
    frontiers = {s: frontier(own, cost.dense_step(s).seconds, error_model) for s, own in candidates.items()}
    marks = _marks(frontiers, unet)
    limits = {s: budget.at(point) for s, point in marks["paper"].items()}
    points = _choose(frontiers, budget, limits, timings, marks["paper"])
    for s, point in points.items():
        if timing := timings.of(s, point):
            points[s] = with_speed(point, frontiers[s].dense_seconds, timing.speedup)
            marks["paper"][s] = with_speed(marks["paper"][s], frontiers[s].dense_seconds, timing.paper)
            if budget.min_speedup is not None:
                limits[s]["min_speedup"] = budget.needed(timing)
    summary = choice_summary(points, frontiers, marks, cost, attention, limits=limits, budget=budget, density=density)
    evidence = {
        "asked_for": dict(vars(budget)),
        "choice": choice_evidence(summary),
        "made_from": made_from(infos),
        "unet_weights": sensitivity.info.model.get("weights", {}).get("unet"),
    }
    plan = plan_of(points, frontiers, model=profile.info.model["name"], unet=unet, evidence=evidence)
    return Selection(points, frontiers, summary, plan, _notes(cost, attention, records))


def _records(sensitivity: SensitivityRun, seconds: Iterable[float] | float | None) -> list[Mapping[str, Any]]:
    """The records of the pass, at some lengths. Raises `InputError` for one that it lacks."""
    records = sensitivity.records_with_sites
    there = _lengths(records)
    wanted = there if seconds is None else [number("a length", at) for at in several(seconds)]
    missing = [s for s in wanted if s not in there]
    if missing:
        known = ", ".join(f"{s:g}" for s in there) or "no length"
        raise InputError(
            f"the sensitivity pass has no error at {missing[0]:g} s, only at {known}: leave this length out, or "
            "measure it too"
        )
    return [record for record in records if record["seconds"] in wanted]


def _lengths(records: Iterable[Mapping[str, Any]]) -> list[float]:
    return sorted({record["seconds"] for record in records if record["kind"] == "sensitivity"})


def _check_profiled(profile: ProfileRun, records: Iterable[Mapping[str, Any]], candidates: Mapping[float, Any]) -> None:
    untimed = [s for s in _lengths(records) if s not in candidates]
    if untimed:
        there = ", ".join(f"{s:g}" for s in sorted({row["seconds"] for row in profile.rows}))
        raise InputError(
            f"the profile has nothing at {untimed[0]:g} s, only at {there}: leave this length out, or profile it too"
        )


def _marks(frontiers: Mapping[float, Frontier], unet: Mapping[str, Any]) -> dict[str, dict[float, OperatingPoint]]:
    """What the plan is compared with: the paper's fixed choice, and its method at all sites."""

    def paper_at(found: Frontier, sites: set[str]) -> OperatingPoint:
        groups = zip(found.groups, found.candidates, strict=True)
        return found.predict({group: PAPER for group, own in groups if sites.issuperset(own[0].sites)})

    return {
        name: {s: paper_at(found, set(sites_of_layout(unet, patterns))) for s, found in frontiers.items()}
        for name, patterns in (("paper", None), ("all sites", ["*"]))
    }


def _choose(
    frontiers: Mapping[float, Frontier],
    budget: Budget,
    limits: Mapping[float, Limits],
    timings: Timings,
    paper: Mapping[float, OperatingPoint],
) -> dict[float, OperatingPoint]:
    """The choice at each length; dense where nothing meets the budget, unless that is everywhere."""
    points, refused = {}, []
    for seconds, found in frontiers.items():
        try:
            if (least := limits[seconds]["min_speedup"]) is None:
                points[seconds] = choose(found, **limits[seconds])
            else:
                points[seconds] = reaching(
                    found,
                    least,
                    needed=budget.needed,
                    timed=partial(timings.of, seconds),
                    # With more error than the paper's choice that choice itself would do.
                    max_error=paper[seconds].error if budget.min_speedup == FROM_PAPER else None,
                    closed=timings.closed,
                )
        except NothingMeetsBudget as error:
            refused.append((error.lack, f"{error} (at {seconds:g} s)"))
            points[seconds] = found.dense
    # A length at which nothing sparse lies on the frontier says nothing of a largest error.
    asked_at = [s for s, found in frontiers.items() if budget.min_speedup is not None or found.sparse.any()]
    if refused and len(refused) == len(asked_at):
        raise InputError(min(refused)[1])
    return points


def _notes(cost: CostModel, attention: AttentionRun | None, records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    lengths = _lengths(records)
    tried = [MethodSpec.parse(record["method"]) for record in records if record["kind"] == "sensitivity"]
    lacking: dict[MethodSpec, list[float]] = {}
    for seconds, method in cost.unmeasured(dict.fromkeys((DENSE, *map(timed_as, tried))), lengths):
        lacking.setdefault(method, []).append(seconds)
    notes = [
        f"{method} at all sites was not timed at {', '.join(f'{s:g}' for s in at)} s: predicted from FLOPs if that can "
        "be, else left out"
        for method, at in lacking.items()
    ]
    if attention is None:
        return (*notes, "there is no capture: lift, recall and local error are not known")
    captured = {row["seconds"] for row in attention.summary["sites"]}
    if missing := ", ".join(f"{s:g}" for s in lengths if s not in captured):
        notes.append(f"nothing was captured at {missing} s: lift, recall and local error are not known there")
    return tuple(notes)
