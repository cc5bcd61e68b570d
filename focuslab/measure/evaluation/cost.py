"""What an evaluation would take, from one measured step of each method and length."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch

from focuslab.hooks.denoise import first_steps
from focuslab.hooks.timers import Clock, clock_for
from focuslab.io.audio import HEADER_BYTES
from focuslab.measure.evaluation.items import DENSE
from focuslab.measure.evaluation.job import Job
from focuslab.models.conditioning import STAGES, components_of, encode_prompt, run_stage
from focuslab.models.placement import device_of
from focuslab.models.schedule import schedule_of
from focuslab.models.specs import stand_ins
from focuslab.runs import Progress
from focuslab.tables.table import BYTES, LONG_SECONDS, SECONDS, Table, amounts, formatter, labels, numbers, seconds_of
from focuslab.tables.text import in_terminal

_RECORD_BYTES = 900
"""A line of records and the header of an item's arrays, roughly."""


@dataclass(frozen=True)
class Estimate:
    """rows: by length and method, with what was measured of one item. hours: of one process that does it all.
    audio_bytes: of all WAVs, None where they are not kept. not_measured: components that only stand in."""

    rows: tuple[dict[str, Any], ...]
    items: int
    hours: float
    kept_bytes: int
    audio_bytes: int | None
    processes: int
    not_measured: tuple[str, ...]

    def __repr__(self) -> str:
        """A row a length and method, then the whole in words."""

        def of(key: str) -> list:
            return [row[key] for row in self.rows]

        columns = [
            seconds_of(self.rows),
            labels("method", of("method")),
            numbers("items", of("items"), "d"),
            amounts("step", of("step_seconds"), SECONDS),
            amounts("item", of("item_seconds"), LONG_SECONDS),
            numbers("whole", of("hours"), ".3g", "h"),
        ]
        shared = f", {self.hours / self.processes:.3g} h on {self.processes}" if self.processes > 1 else ""
        kept = "no audio" if self.audio_bytes is None else f"{_bytes(self.audio_bytes)} of audio"
        notes = [
            f"{self.items} items: {self.hours:.3g} h on one process such as this{shared}; "
            f"{_bytes(self.kept_bytes)} of embeddings and records, {kept}.",
            "From one measured step of each row, the decoding and the scoring of one clip.",
        ]
        if self.not_measured:
            notes.append(f"Not measured, of stand-ins: {', '.join(self.not_measured)}.")
        return in_terminal([Table("What it would take", columns, notes)])


def _bytes(count: int) -> str:
    number, unit = formatter(BYTES, [count])
    return f"{number(count)} {unit}"


@torch.no_grad()
def estimate(pipe, job: Job, processes: int = 1, progress: Progress | None = None) -> Estimate:
    """Measure a step, the stages after it and the scoring once for each length and method; nothing is written."""
    work, steps = job.work, job.info.parameters["steps"]
    rate = pipe.vocoder.config.sampling_rate
    schedule = schedule_of(pipe, steps)
    clock = clock_for(device_of(pipe))
    text = work.captions[0].text
    conditioning = encode_prompt(pipe, text)
    encoding = _timed(clock, lambda: encode_prompt(pipe, text))
    caption = job.scorer.caption(text)
    clips = len(work.captions) * len(work.seeds)
    rows: list[dict[str, Any]] = []
    kept = 0
    for number, seconds in enumerate(work.seconds):
        dense_step = None
        decoding = _decoding(pipe, clock, text, seconds)
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, round(seconds * rate)).astype(np.float32)
        job.scorer.score(noise, rate, caption, noise)
        start = perf_counter()
        arrays = job.scorer.score(noise, rate, caption, noise).arrays
        scoring = perf_counter() - start
        kept += clips * len(work.methods) * (_RECORD_BYTES + sum(array.nbytes for array in arrays.values()))
        for label in work.in_group:
            method = job.config.methods[label]
            with method.at_every_step()(pipe) as handle:
                # The first one warms up.
                step = [first_steps(pipe, conditioning, seconds, 1, 0, clock, handle.cycle)[0] for _ in range(2)][1]
            dense_step = step if label == DENSE else dense_step
            dense_calls = schedule.calls_at_ends(*method.dense_steps_at(pipe, seconds))
            calls = (schedule.total_calls - dense_calls) * step + dense_calls * (dense_step or step)
            denoising = calls / schedule.order
            item = denoising + decoding + scoring + encoding / len(work.methods)
            taken = {"step_seconds": step, "item_seconds": item, "scoring_seconds": scoring}
            rows.append({"seconds": seconds, "method": label, "items": clips, **taken, "hours": clips * item / 3600})
        if progress:
            progress(number + 1, len(work.seconds), f"{seconds:g} s: a step of each method")
    audio = None
    if job.info.parameters["keep_audio"]:
        audio = sum(HEADER_BYTES + 2 * round(row["seconds"] * rate) for row in rows) * clips
    hours = sum(row["hours"] for row in rows)
    return Estimate(tuple(rows), work.total, hours, kept, audio, processes, stand_ins(pipe))


def _decoding(pipe, clock: Clock, text: str, seconds: float) -> float:
    stages = [stage for stage in STAGES if stage != "prompt_encoding"]
    real = [stage for stage in stages if not set(components_of(pipe, stage)) & set(stand_ins(pipe))]
    return sum(_timed(clock, partial(run_stage, pipe, stage, text, seconds, 0)) for stage in real)


def _timed(clock: Clock, work: Callable[[], Any]) -> float:
    start = clock.mark()
    work()
    end = clock.mark()
    clock.synchronize()
    return clock.seconds(start, end)
