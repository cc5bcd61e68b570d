"""Clips and errors of a plan's validation, choice after choice beside dense."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from focuslab.hooks.denoise import LatentRecorder
from focuslab.hooks.output_error import OutputError
from focuslab.measure.generate import Sound, generate
from focuslab.measure.loop import Report
from focuslab.methods import Attachable
from focuslab.metrics import log_mel_l1, rms_ratio, spectral_centroid
from focuslab.models.conditioning import encode_prompt
from focuslab.models.placement import device_of
from focuslab.models.schedule import Schedule
from focuslab.runs import Progress
from focuslab.runs.directory import RunDirectory, now

SOUNDS = "sounds"


def key_of(record: Mapping[str, Any]) -> tuple[float, int, str]:
    """What a record is of."""
    return record["seconds"], record["prompt"], record["method"]


@dataclass(frozen=True)
class Pair:
    """One prompt at one length: dense, and every other choice beside it. weights: FLOPs of a step by choice."""

    seconds: float
    prompt: int
    weights: Mapping[str, float]

    @property
    def key(self) -> tuple[float, int]:
        return self.seconds, self.prompt

    @property
    def title(self) -> str:
        return f"the validation at {self.seconds:g} s"

    @property
    def weight(self) -> float:
        return sum(self.weights.values())

    @property
    def comparisons(self) -> set[tuple[float, int, str]]:
        return {(*self.key, name) for name in self.weights if name != "dense"}


class Comparison:
    """Compares choice after choice with dense and puts each comparison on disk at once, without those there already."""

    def __init__(self, pipe, choices: Mapping[str, Attachable], run: RunDirectory, schedule: Schedule):
        self.pipe = pipe
        self.schedule = schedule
        self.choices = choices
        self.run = run
        self.steps: int = run.info.parameters["steps"]
        self.done = {key_of(record) for record in run.records if record["kind"] == "sound"}

    def measure(self, pair: Pair, report: Report) -> None:
        place = {"seconds": pair.seconds, "prompt": pair.prompt}
        left = [name for name in self.choices if name != "dense" and (*pair.key, name) not in self.done]
        done = pair.weight - sum(pair.weights[name] for name in ("dense", *left))

        def generated(name: str) -> Sound:
            nonlocal done
            every, before = max(1, self.steps // 4), done
            where = f"{pair.seconds:g} s, prompt {pair.prompt + 1} of {len(self.run.info.prompts)}, {name}"

            def on_step(step: float, steps: float, _text: str) -> None:
                if step % every == 0 or step == steps:
                    share = (before + pair.weights[name] * step / steps) / pair.weight
                    report(share, f"{where}: step {step} of {steps}")

            clip = self._generate(place, name, on_step)
            done += pair.weights[name]
            return clip

        with LatentRecorder(self.pipe.unet, self.run.info.parameters["recorded_steps"], self.schedule) as recorder:
            dense = generated("dense")
        for name in left:
            records = self._errors(place, name, recorder.latents)
            found = distances(generated(name), dense)
            self.run.append(*records, {"kind": "sound", **place, "method": name, **found, "at": now()})

    def _errors(self, place: Mapping[str, Any], name: str, latents: Mapping[int, Tensor]) -> list[dict[str, Any]]:
        """Of the UNet's output, at latents `[1, C, T, F]` of some steps of the dense generation."""
        conditioning = encode_prompt(self.pipe, self.run.info.prompts[place["prompt"]])
        self.pipe.scheduler.set_timesteps(self.steps, device=device_of(self.pipe))
        records = []
        for step, sample in latents.items():
            error = OutputError(self.pipe, conditioning, sample, step).error(self.choices[name])
            records.append({"kind": "error", **place, "method": name, "step": step, "error": error})
        return records

    def _generate(self, place: Mapping[str, Any], name: str, progress: Progress) -> Sound:
        prompt, method = self.run.info.prompts[place["prompt"]], self.choices[name]
        given = {"method": method, "steps": self.steps, "seed": self.run.info.seed}
        sound = generate(self.pipe, prompt, place["seconds"], **given, progress=progress)
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
