"""The choice itself: records in, a plan out. Needs neither torch nor the model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from focuslab.checks import number, several
from focuslab.errors import InputError
from focuslab.results import AttentionRun, ProfileRun, SensitivityRun
from focuslab.runs.plan import PlanSpec
from focuslab.search.candidates import PAPER, timed_as, with_same_flops, with_same_timings
from focuslab.search.error_model import fit_combination
from focuslab.search.experiments import Choice
from focuslab.search.options import Flops, check_comparable, dense_seconds_of, options_of, unmeasured
from focuslab.search.pareto import WORTH, Frontier, Point, choose, choose_at_lengths, frontier
from focuslab.search.plan_builder import made_from, plan_of
from focuslab.search.retiming import Timing, Timings, reaching, with_speed
from focuslab.search.summary import choice_evidence, choice_summary

FROM_PAPER = "paper"
"""A budget that is what the paper's choice is predicted to take at each length."""
MARGIN = 1.03
"""A plan that is to be as fast as the paper's choice is asked to be so much faster, since timings vary."""
CLOSER = 0.75
"""A plan that is to be as close to dense as the paper's choice is asked to have at most so much of its error. On
prompts that the choice had not seen, plans of the bundled model had up to 1.4 times the predicted error where the
paper's choice had the predicted one."""
NEIGHBOURS = (1.0, 1.03, 0.97)
"""Of a choice and of those so much slower and faster on the frontier the joint error is measured."""

Budget = float | str | None


@dataclass(frozen=True)
class Selection:
    """points: the choice at each length. summary: all there is to say of it (`choice_summary`). notes: what records
    lack, in words."""

    points: dict[float, Point]
    frontiers: dict[float, Frontier]
    summary: dict[str, Any]
    plan: PlanSpec
    notes: tuple[str, ...] = ()

    @property
    def predictions(self) -> dict[float, dict[str, dict[str, Any]]]:
        """Length -> choice -> what is predicted of it."""
        return {row["seconds"]: row["points"] for row in self.summary["lengths"]}

    def to_confirm(self) -> dict[float, list[Choice]]:
        """Joint choices at and beside the chosen point of each frontier: where its errors have to be right."""
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
    max_error: Budget = None,
    min_speedup: Budget = None,
    flops: Flops | None = None,
    timings: Timings | None = None,
) -> Selection:
    """Choose for each length of the sensitivity pass (or for `seconds` of them), and make the plan.

    max_error: the fastest choice with at most this relative error of the UNet's output. min_speedup: that of least
    error which is at least so much faster than dense. Either may be "paper", what the paper's choice is predicted to
    have at each length. Neither: the knee of the frontier. flops: of lengths that were not profiled, see `options_of`.
    timings: of choices as a whole; with a min_speedup, what was timed and too slow is not chosen.

    Raises `InputError` for records of different models, devices or dtypes, and for a budget that nothing meets at any
    length.
    """
    infos = {
        "profile": profile.info,
        "capture": attention.info if attention else None,
        "sensitivity pass": sensitivity.info,
    }
    max_error, min_speedup = check_budgets(max_error, min_speedup)
    timings = timings or Timings({})
    infos |= {f"timing {count}": info for count, info in enumerate(timings.infos, start=1)}
    check_comparable(infos)
    records = sensitivity.records_with_sites
    if seconds is not None:
        seconds = [number("a length", at) for at in several(seconds)]
        _check_lengths(seconds, {r["seconds"] for r in records if r["kind"] == "sensitivity"})
        records = [r for r in records if r["seconds"] in seconds]
    labels = list(dict.fromkeys(r["method"] for r in records if r["kind"] == "sensitivity"))
    timed, flops = with_same_timings(profile, labels), with_same_flops(flops or {}, labels)
    options = options_of(timed, records, attention, flops)
    untimed = sorted({r["seconds"] for r in records if r["kind"] == "sensitivity"} - options.keys())
    if untimed:
        there = ", ".join(f"{s:g}" for s in sorted({row["seconds"] for row in profile.rows}))
        raise InputError(
            f"the profile has nothing at {untimed[0]:g} s, only at {there}: leave this length out, or profile it too"
        )
    combination = fit_combination(options, records)
    frontiers = {
        s: frontier(own, dense_seconds_of(timed, s, flops)[0], combination, _steps_at(sensitivity, s))
        for s, own in options.items()
    }
    marks = _marks(frontiers, sensitivity.info.parameters["unet"])
    budgets = _budgets(marks["paper"], max_error, min_speedup)
    points = (
        _choose(frontiers, budgets, timings, min_speedup, marks["paper"])
        if FROM_PAPER in (max_error, min_speedup) or timings.by_length
        else choose_at_lengths(frontiers, max_error=max_error, min_speedup=min_speedup)
    )
    for s, point in points.items():
        if timing := timings.of(s, point):
            points[s] = with_speed(point, frontiers[s].dense_seconds, timing.speedup)
            marks["paper"][s] = with_speed(marks["paper"][s], frontiers[s].dense_seconds, timing.paper)
            if min_speedup is not None:
                budgets[s]["min_speedup"] = _needed(timing, min_speedup)
    summary = choice_summary(
        points,
        frontiers,
        marks,
        timed,
        attention,
        max_error=_by_length(budgets, "max_error") if max_error == FROM_PAPER else max_error,
        min_speedup=_by_length(budgets, "min_speedup") if min_speedup == FROM_PAPER else min_speedup,
        flops=flops,
    )
    plan = plan_of(
        points,
        frontiers,
        model=profile.info.model["name"],
        unet=sensitivity.info.parameters["unet"],
        evidence={
            "asked_for": {"max_error": max_error, "min_speedup": min_speedup},
            "choice": choice_evidence(summary),
            "made_from": made_from(infos),
            "unet_weights": sensitivity.info.model.get("weights", {}).get("unet"),
        },
    )
    return Selection(points, frontiers, summary, plan, _notes(profile, attention, labels, sorted(options)))


def _check_lengths(seconds: Sequence[float], there: set[float]) -> None:
    missing = [s for s in seconds if s not in there]
    if missing:
        measured = ", ".join(f"{s:g}" for s in sorted(there)) or "no length"
        raise InputError(
            f"the sensitivity pass has no error at {missing[0]:g} s, only at {measured}: leave this length out, or let "
            "the pass be made anew"
        )


def _steps_at(sensitivity: SensitivityRun, seconds: float) -> int | None:
    """Steps of a generation, where every prompt was recorded at the same ones, so that steps can be compared."""
    recorded = sensitivity.info.parameters["recorded_steps"][f"{seconds:g}"]
    return sensitivity.info.parameters["steps"] if all(steps == recorded[0] for steps in recorded) else None


def _marks(frontiers: Mapping[float, Frontier], unet: Mapping[str, Any]) -> dict[str, dict[float, Point]]:
    """What the plan is compared with: the paper's fixed choice, and its method at all sites."""
    mel_rows = {site: shape["mel_rows"] for site, shape in unet["sites"].items()}
    second_highest = -(-unet["latent_mel_rows"] // 2)

    def paper_at(found: Frontier, at: Callable[[str], bool]) -> Point:
        groups = [group for group, own in zip(found.groups, found.options, strict=True) if all(map(at, own[0].sites))]
        return found.predict(dict.fromkeys(groups, PAPER))

    return {
        "paper": {s: paper_at(f, lambda site: mel_rows[site] == second_highest) for s, f in frontiers.items()},
        "all sites": {s: paper_at(f, lambda _site: True) for s, f in frontiers.items()},
    }


def _budgets(
    paper: Mapping[float, Point], max_error: Budget, min_speedup: Budget
) -> dict[float, dict[str, float | None]]:
    return {
        seconds: {
            "max_error": CLOSER * point.error if max_error == FROM_PAPER else max_error,
            "min_speedup": _as_fast_as(point.speedup) if min_speedup == FROM_PAPER else min_speedup,
        }
        for seconds, point in paper.items()
    }


def _as_fast_as(paper: float) -> float:
    """Where the paper's choice does not pay, dense is as fast."""
    return MARGIN * paper if paper >= WORTH else 1.0


def _needed(timing: Timing, min_speedup: Budget) -> float:
    """What a choice must reach in the run that timed it."""
    return max(timing.paper, 1.0) if min_speedup == FROM_PAPER else min_speedup


def _by_length(budgets: Mapping[float, Mapping[str, float | None]], name: str) -> dict[float, float | None]:
    return {seconds: budget[name] for seconds, budget in budgets.items()}


def check_budgets(max_error: Budget, min_speedup: Budget) -> tuple[Budget, Budget]:
    """The budgets as Python's numbers. Raises `InputError` unless at most one is given, as a number or "paper"."""
    if max_error is not None and min_speedup is not None:
        raise InputError("max_error and min_speedup were both given: expected one budget, the other is what it costs")
    return _budget("max_error", max_error), _budget("min_speedup", min_speedup)


def _budget(name: str, value: Budget) -> Budget:
    if value is None or (isinstance(value, str) and value == FROM_PAPER):
        return value
    return number(name, value, f"a number or {FROM_PAPER!r}")


def _choose(
    frontiers: Mapping[float, Frontier],
    budgets: Mapping[float, Mapping[str, float | None]],
    timings: Timings,
    min_speedup: Budget,
    paper: Mapping[float, Point],
) -> dict[float, Point]:
    """The choice at each length within a budget of its own; dense where nothing meets it, unless that is everywhere."""
    points, refused = {}, []
    for seconds, found in frontiers.items():
        try:
            if min_speedup is None:
                points[seconds] = choose(found, **budgets[seconds])
            else:
                points[seconds] = reaching(
                    found,
                    budgets[seconds]["min_speedup"],
                    needed=lambda timing: _needed(timing, min_speedup),
                    timed=partial(timings.of, seconds),
                    # With more error than the paper's choice that choice itself would do.
                    max_error=paper[seconds].error if min_speedup == FROM_PAPER else None,
                    closed=timings.closed,
                )
        except InputError as error:
            refused.append(f"{error} (at {seconds:g} s)")
            points[seconds] = found.predict({})
    if len(refused) == len(points):
        raise InputError(refused[-1])
    return points


def _notes(
    profile: ProfileRun, attention: AttentionRun | None, labels: Sequence[str], lengths: Sequence[float]
) -> tuple[str, ...]:
    notes = []
    lacking: dict[str, list[float]] = {}
    for seconds, label in unmeasured(profile, ["dense", *dict.fromkeys(map(timed_as, labels))], lengths):
        lacking.setdefault(label, []).append(seconds)
    for label, at in lacking.items():
        where = ", ".join(f"{s:g}" for s in at)
        notes.append(
            f"{label} at all sites was not timed at {where} s: predicted from FLOPs if that can be, else left out"
        )
    if attention is None:
        notes.append("there is no capture: lift, recall and local error are not known")
    else:
        captured = {row["seconds"] for row in attention.summary["sites"]}
        missing = [s for s in lengths if s not in captured]
        if missing:
            where = ", ".join(f"{s:g}" for s in missing)
            notes.append(f"nothing was captured at {where} s: lift, recall and local error are not known there")
    return tuple(notes)
