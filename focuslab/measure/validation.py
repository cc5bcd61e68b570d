"""A plan beside the paper's choice, all sites and dense, on prompts and seeds that its choice never saw."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from focuslab.analysis.validation import Predictions, proof_summary
from focuslab.checks import switch
from focuslab.errors import InputError
from focuslab.hooks.compiled import eagerly
from focuslab.hooks.latents import LatentRecorder
from focuslab.hooks.memory import naming_what_did_not_fit
from focuslab.hooks.output_error import Probe
from focuslab.io.prompts import check_prompts
from focuslab.measure.generate import Sound, generate
from focuslab.measure.profile import profile
from focuslab.methods import Attachable, Dense, LiteFocus, Plan, as_method
from focuslab.methods.base import check_count, check_seed
from focuslab.metrics import log_mel_l1, rms_ratio, spectral_centroid
from focuslab.models.conditioning import encode_prompt
from focuslab.models.identity import run_info
from focuslab.models.lengths import check_lengths
from focuslab.models.placement import device_of
from focuslab.models.schedule import Schedule, schedule_of
from focuslab.results import ProofRun
from focuslab.runs import Progress
from focuslab.runs.directory import RunDirectory, now, place_of
from focuslab.search.experiments import middles

DEFAULT_STEPS = 20
RECORDED_STEPS = 4
"""Steps of each dense generation at whose latents the UNet's error is measured."""
TIMED = "time"
"""The run directory within a proof's that holds its timings, a profile."""
SOUNDS = "sounds"
TIMING_SHARE = 0.25
"""About how much of a proof's work its timings are."""

OTHERS: Mapping[str, Attachable] = {"dense": Dense(), "paper": LiteFocus(), "all sites": LiteFocus(sites="*")}
"""What a plan is compared with: the paper's r = 0.1 and weight 1 at its own blocks, and at every site."""


@torch.no_grad()
def prove(
    pipe,
    plan: Plan,
    prompts: Iterable[str] | str,
    seconds: Iterable[float] | float,
    *,
    predictions: Predictions | None = None,
    steps: int = DEFAULT_STEPS,
    repeats: int = 5,
    seed: int = 1,
    keep_audio: bool = False,
    out: str | os.PathLike | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ProofRun:
    """Measure step time, the UNet's error and the distance of the final sound to the dense one, of plan and `OTHERS`.

    Times are interleaved, `repeats` of each choice, as `focuslab.profile` takes them. Then each prompt is generated at
    each length, dense first; at the latents of a few of its steps the UNet's error is measured, and every other choice
    generates from the same noise. prompts, seed: others than those that the plan was chosen with, or it proves nothing.
    predictions: "points" of the choice summary by length, to compare with. keep_audio: write every sound, with its
    settings beside it, to sounds/ in `out`.
    out: a run directory; one that holds the same run is gone on with at the first sound that is missing. None keeps the
    records in memory only.

    Raises `InputError` before anything is run or written for a wrong argument or a plan for another UNet.
    """
    prompts = check_prompts(prompts)
    lengths = check_lengths(pipe, seconds)
    steps, repeats = check_count("steps", steps), check_count("repeats", repeats)
    seed, keep_audio = check_seed(seed), switch("keep_audio", keep_audio)
    schedule = schedule_of(pipe, steps)
    if keep_audio and out is None:
        raise InputError("sounds are files: give out, the directory to write them to")
    choices = {"dense": OTHERS["dense"], "plan": as_method(plan), **OTHERS}
    for choice in choices.values():
        choice.sites_at(pipe, lengths[0])
    info = run_info(
        pipe,
        "proof",
        {
            "seconds": lengths,
            "plan": plan.fingerprint,
            "steps": steps,
            "recorded_steps": middles(steps, RECORDED_STEPS),
            "repeats": repeats,
            "keep_audio": keep_audio,
        },
        seed=seed,
        prompts=prompts,
    )
    progress = progress or (lambda *_: None)
    with place_of(out) as place, RunDirectory(place, info, force=force) as run:
        timings = profile(
            pipe,
            lengths,
            choices,
            prompt=prompts[0],
            repeats=repeats,
            seed=seed,
            only_steps=True,
            out=run.path / TIMED,
            force=force,
            progress=lambda done, total, text: progress(TIMING_SHARE * done / total, 1.0, text),
        )
        weights = {(row["seconds"], row["method"]): row["flops_per_step"] for row in timings.rows}
        # Where one of the choices did not fit into memory there is nothing to compare.
        compared = [s for s in lengths if all((s, name) in weights for name in choices)]
        rows = [row for row in timings.rows if row["seconds"] in compared and row["method"] in choices]
        timed = [_with_dense_share(row, pipe, choices, schedule) for row in rows]

        def summarise() -> dict[str, Any]:
            return {
                **proof_summary(run.records, timed, predictions or {}, steps),
                "skipped": timings.summary["skipped"],
            }

        items = [_Item(s, p, weights) for s in compared for p in range(len(prompts))]
        with eagerly(pipe.unet, "a plan's errors and clips are made"):
            _Prover(pipe, choices, run, schedule).measure(
                items, summarise, lambda share, text: progress(TIMING_SHARE + (1 - TIMING_SHARE) * share, 1.0, text)
            )
        return ProofRun(run.info, summarise(), tuple(run.records), run.path if out else None)


def _with_dense_share(row: Mapping[str, Any], pipe, choices, schedule: Schedule) -> dict[str, Any]:
    ends = choices[row["method"]].dense_steps_at(pipe, row["seconds"])
    return {**row, "dense_share": schedule.calls_at_ends(*ends) / schedule.total_calls}


@dataclass(frozen=True)
class _Item:
    """One prompt at one length; `weights`: FLOPs of a step by length and choice."""

    seconds: float
    prompt: int
    weights: Mapping[tuple[float, str], float]

    def weight(self, choice: str) -> float:
        return self.weights[self.seconds, choice]

    @property
    def key(self) -> tuple[float, int]:
        return self.seconds, self.prompt

    @property
    def place(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "prompt": self.prompt}


@dataclass(frozen=True)
class _Dense:
    """The dense generation that others are compared with, and latents of some of its steps `[1, C, T, F]`."""

    sound: Sound
    latents: Mapping[int, Tensor]


class _Prover:
    """Compares choice after choice and puts each comparison on disk at once."""

    def __init__(self, pipe, choices: Mapping[str, Attachable], run: RunDirectory, schedule: Schedule):
        self.pipe = pipe
        self.schedule = schedule
        self.choices = choices
        self.others = [name for name in choices if name != "dense"]
        self.run = run
        self.steps: int = run.info.parameters["steps"]

    def measure(self, items: Sequence[_Item], summarise, progress) -> None:
        complete = {_place(r) for r in self.run.records if r["kind"] == "sound"}
        # What belongs to a comparison that was cut off is measured anew, whole.
        self.run.keep(lambda record: _place(record) in complete)
        left = [(item, [name for name in self.others if (*item.key, name) not in complete]) for item in items]
        left = [(item, ["dense", *names]) for item, names in left if names]
        total = sum(item.weight(name) for item in items for name in self.choices)
        done = total - sum(item.weight(name) for item, names in left for name in names)
        try:
            for item, names in left:
                self._guarded(item, names, done, lambda now_done, text: progress(now_done / total, text))
                done += sum(map(item.weight, names))
        finally:
            self.run.write_summary(summarise())
        self.run.note(ended=self.run.info.ended or now())

    def _guarded(self, item: _Item, names: Sequence[str], done: float, progress) -> None:
        what = f"the proof at {item.seconds:g} s"
        with naming_what_did_not_fit(self.pipe, what, "leave out this length", self.run.kept):
            for name in names:
                if name == "dense":
                    dense = self._dense(item, done, progress)
                else:
                    self._compare(item, name, dense, done, progress)
                done += item.weight(name)

    def _dense(self, item: _Item, done: float, progress) -> _Dense:
        recorded_steps = self.run.info.parameters["recorded_steps"]
        with LatentRecorder(self.pipe.unet, recorded_steps, self.schedule) as recorder:
            sound = self._generate(item, "dense", done, progress)
        return _Dense(sound, recorder.latents)

    def _compare(self, item: _Item, name: str, dense: _Dense, done: float, progress) -> None:
        conditioning = encode_prompt(self.pipe, self.run.info.prompts[item.prompt])
        self.pipe.scheduler.set_timesteps(self.steps, device=device_of(self.pipe))
        records = [
            {
                "kind": "error",
                **item.place,
                "method": name,
                "step": step,
                "error": Probe(self.pipe, conditioning, latents, step).error(self.choices[name]),
            }
            for step, latents in dense.latents.items()
        ]
        sound = self._generate(item, name, done, progress)
        records.append({"kind": "sound", **item.place, "method": name, **distances(sound, dense.sound), "at": now()})
        self.run.append(*records)

    def _generate(self, item: _Item, name: str, done: float, progress) -> Sound:
        prompts = self.run.info.prompts
        title = f"{item.seconds:g} s, prompt {item.prompt + 1} of {len(prompts)}, {name}"
        report_every = max(1, self.steps // 4)

        def on_step(step: int, steps: int, _text: str) -> None:
            if step % report_every == 0 or step == steps:
                progress(done + item.weight(name) * step / steps, f"{title}: step {step} of {steps}")

        sound = generate(
            self.pipe,
            prompts[item.prompt],
            item.seconds,
            method=self.choices[name],
            steps=self.steps,
            seed=self.run.info.seed,
            progress=on_step,
        )
        if self.run.info.parameters["keep_audio"]:
            file = f"prompt{item.prompt}-{item.seconds:g}s-{name.replace(' ', '-')}.wav"
            sound.write(self.run.path / SOUNDS / file, force=True)
        return sound


def distances(sound: Sound, dense: Sound) -> dict[str, float | None]:
    """How far a sound is from the dense sound of the same seed; None all over where one of them is all zeros."""
    names = ("log_mel_l1", "rms_ratio", "centroid_ratio")
    if not (np.any(sound.samples) and np.any(dense.samples)):
        return dict.fromkeys(names)
    one, other = sound.samples[None], dense.samples[None]
    centroids = [spectral_centroid(samples, sound.sampling_rate)[0] for samples in (one, other)]
    values = log_mel_l1(one, other)[0], rms_ratio(one, other)[0], centroids[0] / centroids[1]
    return dict(zip(names, map(float, values), strict=True))


def _place(record: Mapping[str, Any]) -> tuple[float, int, str]:
    return record["seconds"], record["prompt"], record["method"]
