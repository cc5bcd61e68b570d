"""A plan beside the paper's choice, all sites and dense, on prompts and seeds that its choice never saw."""

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from focuslab.analysis.validation import Predictions, validation_summary
from focuslab.checks import make_config, settle, switch
from focuslab.errors import InputError
from focuslab.hooks.compiled import eagerly
from focuslab.io.captions import check_prompts
from focuslab.measure.comparison import Comparison, Pair, key_of
from focuslab.measure.loop import Loop
from focuslab.measure.profile import profile
from focuslab.methods import Attachable, Dense, LiteFocus, Plan, as_method
from focuslab.methods.base import check_count, check_seed
from focuslab.models.identity import run_info
from focuslab.models.lengths import check_lengths
from focuslab.models.schedule import Schedule, schedule_of
from focuslab.results import ValidationRun
from focuslab.runs import Progress
from focuslab.runs.directory import RunDirectory, place_of
from focuslab.search.experiments import middles

RECORDED_STEPS = 4
"""Steps of each dense generation at whose latents the UNet's error is measured."""
TIMED = "time"
"""The run directory within a validation's that holds its timings, a profile."""
TIMING_SHARE = 0.25
"""About how much of a validation's work its timings are."""

OTHERS: Mapping[str, Attachable] = {"dense": Dense(), "paper": LiteFocus(), "all sites": LiteFocus(sites="*")}
"""What a plan is compared with: the paper's r = 0.1 and weight 1 at its own blocks, and at every site."""


@dataclass(frozen=True)
class ValidationConfig:
    """What a validation measures."""

    prompts: Sequence[str]  # others than those that the plan was chosen with
    seconds: Sequence[float]  # lengths of audio
    steps: int = 20  # denoising steps of a generation
    repeats: int = 5  # interleaved timings of each choice
    seed: int = 1  # another than that which the plan was chosen with
    keep_audio: bool = False  # write every clip, with its settings beside it, to sounds/ in the run directory
    predictions: Predictions = field(default_factory=dict)  # "points" of a choice summary, to compare with

    def __post_init__(self):
        counts = {name: check_count(name, getattr(self, name)) for name in ("steps", "repeats")}
        settle(self, prompts=check_prompts(self.prompts), seed=check_seed(self.seed), **counts)
        settle(self, keep_audio=switch("keep_audio", self.keep_audio))


@torch.no_grad()
def validate(
    pipe,
    plan: Plan,
    prompts: Iterable[str] | str,
    seconds: Iterable[float] | float,
    *,
    out: str | os.PathLike | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> ValidationRun:
    """Measure step time, the UNet's error and the distance of the final clip to the dense one, of plan and `OTHERS`.

    Times are interleaved, as `focuslab.profile` takes them. Then each prompt is generated at each length, dense first.
    At the latents of a few of its steps the UNet's error is measured, and every other choice generates from the same
    noise.

    Parameters
    ----------
    pipe : DiffusionPipeline
    plan : Plan
    prompts, seconds
        See `ValidationConfig`.
    out : path, optional
        A run directory. The same run is resumed at the first clip that is missing. None keeps the records in memory.
    force : bool
        Replace another run in `out`.
    progress : callable, optional
    **options
        The other fields of `ValidationConfig`.

    Returns
    -------
    ValidationRun

    Raises
    ------
    InputError
        Before anything is run or written, for a wrong argument or a plan for another UNet.
    """
    config = make_config(ValidationConfig, {"prompts": prompts, "seconds": seconds, **options})
    lengths = check_lengths(pipe, config.seconds)
    schedule = schedule_of(pipe, config.steps)
    if config.keep_audio and out is None:
        raise InputError("clips are files: give out, the directory to write them to")
    choices = {"dense": OTHERS["dense"], "plan": as_method(plan), **OTHERS}
    for choice in choices.values():
        choice.sites_at(pipe, lengths[0])
    parameters = {
        "seconds": lengths,
        "plan": plan.fingerprint,
        "recorded_steps": middles(config.steps, RECORDED_STEPS),
        **{name: getattr(config, name) for name in ("steps", "repeats", "keep_audio")},
    }
    info = run_info(pipe, "proof", parameters, seed=config.seed, prompts=config.prompts)

    def part(start: float, end: float) -> Progress:
        return lambda done, total, text: progress and progress(start + (end - start) * done / total, 1.0, text)

    with place_of(out) as place, RunDirectory(place, info, force=force) as run:
        timed = {"prompt": config.prompts[0], "repeats": config.repeats, "seed": config.seed, "only_steps": True}
        where = {"out": run.path / TIMED, "force": force}
        timings = profile(pipe, lengths, choices, **timed, **where, progress=part(0, TIMING_SHARE))
        weights = {(row["seconds"], row["method"]): row["flops_per_step"] for row in timings.rows}
        # Where one of the choices did not fit into memory there is nothing to compare.
        compared = [s for s in lengths if all((s, name) in weights for name in choices)]
        rows = [row for row in timings.rows if row["seconds"] in compared and row["method"] in choices]
        with_share = [_with_dense_share(row, pipe, choices, schedule) for row in rows]

        def summarise() -> dict[str, Any]:
            found = validation_summary(run.records, with_share, config.predictions, config.steps)
            return {**found, "skipped": timings.summary["skipped"]}

        work = Comparison(pipe, choices, run, schedule)
        # What belongs to a comparison that was cut off is measured anew, whole.
        run.keep(lambda record: key_of(record) in work.done)
        places = itertools.product(compared, range(len(config.prompts)))
        pairs = [Pair(s, prompt, {name: weights[s, name] for name in choices}) for s, prompt in places]
        done = {pair.key for pair in pairs if pair.comparisons <= work.done}
        with eagerly(pipe.unet, "a plan's errors and clips are made"):
            loop = Loop(pipe, run, summarise, "leave out this length", part(TIMING_SHARE, 1))
            loop.measure(pairs, done, work.measure)
        return ValidationRun(run.info, summarise(), tuple(run.records), run.path if out else None)


def _with_dense_share(row: Mapping[str, Any], pipe, choices, schedule: Schedule) -> dict[str, Any]:
    """With the share of the UNet calls that a plan made by hand keeps dense."""
    ends = choices[row["method"]].dense_steps_at(pipe, row["seconds"])
    return {**row, "dense_share": schedule.calls_at_ends(*ends) / schedule.total_calls}
