"""A plan beside the paper's choice, all sites and dense, on prompts and seeds that its choice never saw."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from focuslab.analysis.validation import Predictions, validation_summary
from focuslab.checks import switch
from focuslab.errors import InputError
from focuslab.hooks.compiled import eagerly
from focuslab.hooks.latents import LatentRecorder
from focuslab.hooks.output_error import Probe
from focuslab.io.prompts import check_prompts
from focuslab.measure.generate import Sound, generate
from focuslab.measure.loop import Item, Say, measure_all
from focuslab.measure.profile import profile
from focuslab.methods import Attachable, Dense, LiteFocus, Plan, as_method
from focuslab.methods.base import check_count, check_seed
from focuslab.metrics import log_mel_l1, rms_ratio, spectral_centroid
from focuslab.models.conditioning import encode_prompt
from focuslab.models.identity import run_info
from focuslab.models.lengths import check_lengths
from focuslab.models.placement import device_of
from focuslab.models.schedule import Schedule, schedule_of
from focuslab.results import ValidationRun
from focuslab.runs import Progress
from focuslab.runs.directory import RunDirectory, now, place_of
from focuslab.search.experiments import middles

RECORDED_STEPS = 4
"""Steps of each dense generation at whose latents the UNet's error is measured."""
TIMED = "time"
"""The run directory within a validation's that holds its timings, a profile."""
SOUNDS = "sounds"
TIMING_SHARE = 0.25
"""About how much of a validation's work its timings are."""

OTHERS: Mapping[str, Attachable] = {"dense": Dense(), "paper": LiteFocus(), "all sites": LiteFocus(sites="*")}
"""What a plan is compared with: the paper's r = 0.1 and weight 1 at its own blocks, and at every site."""


@dataclass(frozen=True)
class ValidationConfig:
    """What a validation measures.

    Attributes
    ----------
    prompts : list of str
        Others than those that the plan was chosen with, or it validates nothing.
    seconds : list of float
        Lengths of audio.
    steps : int
        Denoising steps of a generation.
    repeats : int
        Interleaved timings of each choice.
    seed : int
        Another than that which the plan was chosen with.
    keep_audio : bool
        Write every clip, with its settings beside it, to sounds/ in the run directory.
    """

    prompts: Sequence[str]
    seconds: Sequence[float]
    steps: int = 20
    repeats: int = 5
    seed: int = 1
    keep_audio: bool = False

    def checked(self, pipe) -> "ValidationConfig":
        """The same in Python's types. Raises `InputError` for what cannot be measured with this pipeline."""
        return ValidationConfig(
            check_prompts(self.prompts),
            check_lengths(pipe, self.seconds),
            check_count("steps", self.steps),
            check_count("repeats", self.repeats),
            check_seed(self.seed),
            switch("keep_audio", self.keep_audio),
        )


@torch.no_grad()
def validate(
    pipe,
    plan: Plan,
    prompts: Iterable[str] | str,
    seconds: Iterable[float] | float,
    *,
    predictions: Predictions | None = None,
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
    pipe : AudioLDM2Pipeline
    plan : Plan
    prompts, seconds
        See `ValidationConfig`.
    predictions : mapping, optional
        "points" of the choice summary by length, to compare with.
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
    config = ValidationConfig(prompts, seconds, **options).checked(pipe)
    schedule = schedule_of(pipe, config.steps)
    if config.keep_audio and out is None:
        raise InputError("clips are files: give out, the directory to write them to")
    choices = {"dense": OTHERS["dense"], "plan": as_method(plan), **OTHERS}
    for choice in choices.values():
        choice.sites_at(pipe, config.seconds[0])
    info = run_info(
        pipe,
        "proof",
        {
            "seconds": config.seconds,
            "plan": plan.fingerprint,
            "steps": config.steps,
            "recorded_steps": middles(config.steps, RECORDED_STEPS),
            "repeats": config.repeats,
            "keep_audio": config.keep_audio,
        },
        seed=config.seed,
        prompts=config.prompts,
    )

    def part(start: float, end: float) -> Progress:
        return lambda done, total, text: progress and progress(start + (end - start) * done / total, 1.0, text)

    with place_of(out) as place, RunDirectory(place, info, force=force) as run:
        timings = profile(
            pipe,
            config.seconds,
            choices,
            prompt=config.prompts[0],
            repeats=config.repeats,
            seed=config.seed,
            only_steps=True,
            out=run.path / TIMED,
            force=force,
            progress=part(0, TIMING_SHARE),
        )
        weights = {(row["seconds"], row["method"]): row["flops_per_step"] for row in timings.rows}
        # Where one of the choices did not fit into memory there is nothing to compare.
        compared = [s for s in config.seconds if all((s, name) in weights for name in choices)]
        rows = [row for row in timings.rows if row["seconds"] in compared and row["method"] in choices]
        timed = [_with_dense_share(row, pipe, choices, schedule) for row in rows]

        def summarise() -> dict[str, Any]:
            found = validation_summary(run.records, timed, predictions or {}, config.steps)
            return {**found, "skipped": timings.summary["skipped"]}

        done = {_place(record) for record in run.records if record["kind"] == "sound"}
        # What belongs to a comparison that was cut off is measured anew, whole.
        run.keep(lambda record: _place(record) in done)
        comparison = _Comparison(pipe, choices, run, schedule)
        items = [comparison.item(s, p, weights) for s in compared for p in range(len(config.prompts))]
        with eagerly(pipe.unet, "a plan's errors and clips are made"):
            measure_all(pipe, run, items, done, summarise, part(TIMING_SHARE, 1))
        return ValidationRun(run.info, summarise(), tuple(run.records), run.path if out else None)


def _with_dense_share(row: Mapping[str, Any], pipe, choices, schedule: Schedule) -> dict[str, Any]:
    """With the share of the UNet calls that a plan made by hand keeps dense."""
    ends = choices[row["method"]].dense_steps_at(pipe, row["seconds"])
    return {**row, "dense_share": schedule.calls_at_ends(*ends) / schedule.total_calls}


def _place(record: Mapping[str, Any]) -> tuple[float, int, str]:
    return record["seconds"], record["prompt"], record["method"]


class _Comparison:
    """Compares choice after choice with dense and puts each comparison on disk at once."""

    def __init__(self, pipe, choices: Mapping[str, Attachable], run: RunDirectory, schedule: Schedule):
        self.pipe = pipe
        self.schedule = schedule
        self.choices = choices
        self.run = run
        self.steps: int = run.info.parameters["steps"]

    def item(self, seconds: float, prompt: int, weights: Mapping[tuple[float, str], float]) -> Item:
        """All choices at one prompt and length. weights: FLOPs of a step by length and choice."""
        place = {"seconds": seconds, "prompt": prompt}
        parts = {(seconds, prompt, name): weights[seconds, name] for name in self.choices if name != "dense"}

        def measure(keys: Sequence[tuple[float, int, str]], say: Say) -> None:
            work = 0.0

            def step(name: str) -> Callable[[int, int, str], None]:
                title = f"{seconds:g} s, prompt {prompt + 1} of {len(self.run.info.prompts)}, {name}"
                every, before, weight = max(1, self.steps // 4), work, weights[seconds, name]

                def on_step(step: int, steps: int, _text: str) -> None:
                    if step % every == 0 or step == steps:
                        say(before + weight * step / steps, f"{title}: step {step} of {steps}")

                return on_step

            with LatentRecorder(self.pipe.unet, self.run.info.parameters["recorded_steps"], self.schedule) as recorder:
                dense = self._generate(place, "dense", step("dense"))
            work += weights[seconds, "dense"]
            for _, _, name in keys:
                records = self._errors(place, name, recorder.latents)
                sound = self._generate(place, name, step(name))
                compared = {"kind": "sound", **place, "method": name, **distances(sound, dense), "at": now()}
                self.run.append(*records, compared)
                work += weights[seconds, name]

        return Item(f"the validation at {seconds:g} s", parts, measure, preparing=weights[seconds, "dense"])

    def _errors(self, place: Mapping[str, Any], name: str, latents: Mapping[int, Tensor]) -> list[dict[str, Any]]:
        """Of the UNet's output, at latents `[1, C, T, F]` of some steps of the dense generation."""
        conditioning = encode_prompt(self.pipe, self.run.info.prompts[place["prompt"]])
        self.pipe.scheduler.set_timesteps(self.steps, device=device_of(self.pipe))
        return [
            {
                "kind": "error",
                **place,
                "method": name,
                "step": step,
                "error": Probe(self.pipe, conditioning, sample, step).error(self.choices[name]),
            }
            for step, sample in latents.items()
        ]

    def _generate(self, place: Mapping[str, Any], name: str, progress: Progress) -> Sound:
        sound = generate(
            self.pipe,
            self.run.info.prompts[place["prompt"]],
            place["seconds"],
            method=self.choices[name],
            steps=self.steps,
            seed=self.run.info.seed,
            progress=progress,
        )
        if self.run.info.parameters["keep_audio"]:
            file = f"prompt{place['prompt']}-{place['seconds']:g}s-{name.replace(' ', '-')}.wav"
            sound.write(self.run.path / SOUNDS / file, force=True)
        return sound


def distances(sound: Sound, dense: Sound) -> dict[str, float | None]:
    """How far a clip is from the dense clip of the same seed; None all over where one of them is all zeros."""
    names = ("log_mel_l1", "rms_ratio", "centroid_ratio")
    if not (np.any(sound.samples) and np.any(dense.samples)):
        return dict.fromkeys(names)
    one, other = sound.samples[None], dense.samples[None]
    centroids = [spectral_centroid(samples, sound.sampling_rate)[0] for samples in (one, other)]
    values = log_mel_l1(one, other)[0], rms_ratio(one, other)[0], centroids[0] / centroids[1]
    return dict(zip(names, map(float, values), strict=True))
