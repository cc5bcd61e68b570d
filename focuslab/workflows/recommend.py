"""From a model to a validated plan: measures whatever records are missing, chooses, and runs what was chosen."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from focuslab.attention.grid import Grid
from focuslab.checks import make_config
from focuslab.measure.profile import profile
from focuslab.measure.validation import OTHERS, validate
from focuslab.methods import Plan
from focuslab.methods.base import site_method
from focuslab.models.identity import run_info
from focuslab.models.lengths import training_grid, training_seconds
from focuslab.models.sites import find_sites
from focuslab.results import ValidationRun
from focuslab.runs import Progress, RunInfo
from focuslab.runs.directory import RunDirectory
from focuslab.runs.method_spec import MethodSpec
from focuslab.search.budget import Timings
from focuslab.search.cost_model import Flops
from focuslab.search.experiments import Choice
from focuslab.search.plan_builder import check_comparable
from focuslab.search.plan_files import check_plan_path, check_same, plan_directory, publish
from focuslab.search.quality import QUALITY, with_quality
from focuslab.search.select import Selection, select
from focuslab.workflows.config import RecommendConfig
from focuslab.workflows.records import RECORDS, Parts, Records, measured_lengths

VALIDATION, TIMINGS = "proof", "timings"
"""The directories within a plan's: its validation, and the runs in which its choice was timed as a whole."""
REMEASURED = 2
"""How often the joint errors beside the choice are measured and the choice is made anew."""
TIMED_CHOICES, TIMED_REPEATS = 3, 9
"""How many choices of a speed are timed as a whole, one after another where each is too slow, and how often each."""


@dataclass(frozen=True)
class Recommendation:
    """A plan, how it was chosen, and its validation (None if there is none). `notes`: what records lack, in words."""

    plan: Plan
    path: Path
    selection: Selection
    validation: ValidationRun | None
    notes: tuple[str, ...]

    @property
    def directory(self) -> Path:
        return plan_directory(self.path)

    @property
    def missed(self) -> list[str]:
        """What the validation missed of its prediction, in words."""
        return self.validation.summary["missed"] if self.validation else []


@torch.no_grad()
def recommend(
    pipe,
    seconds: Iterable[float] | float = (10, 20, 40, 80),
    *,
    out: str | os.PathLike = "plan.json",
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Recommendation:
    """Choose for each length which sites to make sparse, how much and how, from measurements, and validate it.

    Missing records are measured: a profile of all candidates at all sites, a sensitivity pass and, unless both are
    given, a capture. They lie in records/ beside the plan, where the next plan finds them. The joint errors at and
    beside the choice are measured and, where it is to reach a speed, it is timed as a whole. Then the plan, the paper's
    choice, all sites and dense run on other prompts with another seed.

    Parameters
    ----------
    pipe : DiffusionPipeline
    seconds : float or iterable of float
        Lengths of audio.
    out : path
        The plan, a name that ends in .json. Its summary, figures and validation are in the directory of that name
        without the ending. The same call resumes what is there.
    force : bool
        Replace another plan, and records of another run.
    progress : callable, optional
    **options
        The other fields of `RecommendConfig`.

    Returns
    -------
    Recommendation

    Raises
    ------
    InputError
        Before anything is run or written, for a wrong argument or records of another model, device or dtype; after the
        measurements, for a budget that nothing meets.
    """
    config = make_config(RecommendConfig, {"seconds": seconds, **options}).at(pipe)
    path = check_plan_path(out, force)
    info = run_info(pipe, "recommend", config.parameters(), seed=config.seed, prompts=config.prompts)
    check_comparable({"model given": info, **{name: run.info for name, run in config.given.items()}})
    check_same(path, info, force)
    work = _Work(pipe, config, path, force, Parts(progress or (lambda *_: None)))
    work.measure()
    return work.publish(info)


class _Work:
    """One recommendation: measures what is missing, chooses, and writes."""

    def __init__(self, pipe, config: RecommendConfig, path: Path, force: bool, parts: Parts):
        self.pipe = pipe
        self.config = config
        self.path = path
        self.force = force
        self.records = Records(pipe, config, path.parent / RECORDS, force, parts)
        self.flops: Flops | None = None
        self.timings = Timings({})

    def measure(self) -> None:
        """Make the records that are missing, and choose."""
        config = self.config
        self.attention = config.attention
        # It says why and chooses nothing, so it is made only where there is something to measure anyway.
        if config.attention is None and (config.profile is None or config.sensitivity is None):
            self.attention = self.records.capture()
        self.profile = self.records.profile() if config.profile is None else config.profile
        if config.profile is not None:
            self.flops = self.records.flops(config.profile)
        self.sensitivity = config.sensitivity or self.records.sensitivity({}, "sensitivity pass")
        self.lengths, self.notes = measured_lengths(config.seconds, self.profile, self.sensitivity)
        self.selection = self._select()
        if config.sensitivity is not None:
            return
        # Only what this choice asks for counts, so that what other plans beside it asked for does not change it.
        asked_for: dict[float, list[Choice]] = {at: [] for at in self.lengths}
        for _ in range(REMEASURED):
            for at, choices in self.selection.to_remeasure().items():
                asked_for[at] += choices
            self.sensitivity = self.records.sensitivity(asked_for, "joint errors")
            self.selection = self._select()

    def publish(self, info: RunInfo) -> Recommendation:
        """Time the choice where it is to reach a speed, validate it, and write all of it."""
        config = self.config
        with RunDirectory(plan_directory(self.path), info, force=self.force) as run:
            if config.min_speedup is not None:
                self._time(run.path / TIMINGS)
            plan, selection = Plan.of(self.selection.plan), self.selection
            if config.evaluation is not None:
                budgets = {row["seconds"]: row["budget"]["min_speedup"] for row in selection.summary["lengths"]}
                found = (selection.points, selection.frontiers, config.evaluation)
                plan = with_quality(plan, *found, config.objective, training_seconds(self.pipe), budgets)
            validation = None
            if config.validate and any(entry.sites for entry in plan.entries):
                validation = self._validate(plan, run.path / VALIDATION)
                plan = replace(plan, evidence={**plan.evidence, "measured": _evidence(validation)})
            publish(self.path, run, selection, plan, validation)
        return Recommendation(plan, self.path, selection, validation, selection.notes)

    def _select(self) -> Selection:
        found = select(
            self.profile,
            self.sensitivity,
            self.attention,
            seconds=self.lengths,
            budget=self.config.budget,
            flops=self.flops,
            timings=self.timings,
            density=self._density,
        )
        return replace(found, notes=(*found.notes, *self.notes))

    def _density(self, seconds: float, methods: Mapping[str, MethodSpec]) -> float | None:
        """Share of the pairs of all self-attention that a choice computes; sites without a method compute all."""
        grids = self.profile.info.grids.get(f"{seconds:g}", {})
        sites = [site for site in find_sites(self.pipe) if site.name in grids]
        computed = whole = 0.0
        for site in sites:
            grid = Grid(*grids[site.name])
            pairs = float(site.heads * site.head_width * grid.tokens**2)
            whole += pairs
            if method := methods.get(site.name):
                trained = training_grid(self.pipe.unet, site, grid)
                pairs *= site_method(site.name, method.to_site()).density_at(grid, trained)
            computed += pairs
        return computed / whole if whole else None

    def _time(self, out: Path) -> None:
        """Time the choice as a whole, and choose anew where it is too slow."""
        for count in range(1, TIMED_CHOICES + 1):
            untimed = [at for at, point in self.selection.points.items() if point.sparse and not point.timed]
            if not untimed:
                return
            timing = self.records.made(
                "re-timing",
                profile,
                untimed,
                {"dense": OTHERS["dense"], "paper": OTHERS["paper"], "plan": self.selection.plan},
                prompt=self.config.prompts[0],
                repeats=TIMED_REPEATS,
                only_steps=True,
                out=out / f"{count}",
                force=True,
            )
            self.timings = replace(self.timings.after(timing, self.selection.points), closed=count == TIMED_CHOICES)
            self.selection = self._select()

    def _validate(self, plan: Plan, out: Path) -> ValidationRun:
        return self.records.made(
            "validation",
            validate,
            plan,
            self.config.validation_prompts,
            self.lengths,
            predictions=_predictions(self.selection, plan),
            steps=self.config.steps,
            seed=self.config.seed + 1,
            keep_audio=self.config.keep_audio,
            out=out,
            force=True,
        )


def _predictions(selection: Selection, plan: Plan) -> dict[float, dict[str, dict[str, Any]]]:
    """What was predicted, without the plan's where quality put something else in its place."""
    by_quality = [float(s) for s, what in plan.evidence.get("objective", {}).items() if what == QUALITY]
    return {
        seconds: {name: point for name, point in points.items() if not (name == "plan" and seconds in by_quality)}
        for seconds, points in selection.predictions.items()
    }


def _evidence(validation: ValidationRun) -> dict[str, Any]:
    """The part of a validation that belongs into a plan."""
    return {
        "prompts": list(validation.info.prompts),
        "seed": validation.info.seed,
        "steps": validation.summary["steps"],
        "rows": [{k: v for k, v in row.items() if k not in ("predicted", "missed")} for row in validation.rows],
        "missed": validation.summary["missed"],
    }
