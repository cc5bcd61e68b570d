"""The work of a capture: each prompt at each length is denoised, and its recorded steps are put on disk."""

import json
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from torch import Tensor

from focuslab.hooks.call_records import attention_record
from focuslab.hooks.denoise import denoise, first_steps
from focuslab.hooks.map_crops import MapCrop
from focuslab.hooks.memory import PeakMemory
from focuslab.hooks.recorder import HALVES, Recorder, Request, SiteRecord
from focuslab.hooks.timers import clock_for
from focuslab.measure.loop import Report
from focuslab.models.lengths import latent_frame_seconds
from focuslab.models.placement import device_of
from focuslab.models.schedule import Schedule
from focuslab.runs.directory import RunDirectory, now

RECORDING = "recording"


@dataclass(frozen=True)
class Item:
    """One prompt at one length; `weight` is its expected share of the work, in FLOPs."""

    prompt: int
    seconds: float
    weight: float

    @property
    def key(self) -> tuple[int, float]:
        return self.prompt, self.seconds

    @property
    def title(self) -> str:
        return f"{RECORDING} at {self.seconds:g} s"


@dataclass
class Capture:
    """Denoises items one by one and puts each recorded step on disk when it is over."""

    pipe: Any
    conditioning: list[dict[str, Tensor]]
    request: Request
    pieces: dict[float, dict[str, list[MapCrop]]]
    run: RunDirectory
    schedule: Schedule

    def __post_init__(self):
        parameters = self.run.info.parameters
        self.names = [site["name"] for site in parameters["sites"]]
        self.steps: int = parameters["steps"]
        self.capture_steps: list[int] = parameters["capture_steps"]
        self.device = device_of(self.pipe)
        self.clock = clock_for(self.device)
        self.plain_peaks: dict[float, int | None] = {}

    def measure(self, item: Item, report: Report) -> None:
        if item.seconds not in self.plain_peaks:
            self.plain_peaks[item.seconds] = self._warm_up(item)
        request = replace(self.request, pieces=self.pieces[item.seconds])
        recorder = Recorder(request, {self.schedule.first_call(step) for step in self.capture_steps})
        title = f"{item.seconds:g} s, prompt {item.prompt + 1} of {len(self.conditioning)}"
        report_every = max(1, self.steps // 20)
        recorded = []

        def after_step(step: int) -> None:
            if site_records := recorder.take():
                recorded.append(step)
                self._keep(item, step, site_records)
            if (step + 1) % report_every == 0 or step + 1 == self.steps:
                report((step + 1) / self.steps, f"{title}: step {step + 1} of {self.steps}")

        start = perf_counter()
        with PeakMemory(self.device) as peak, recorder.attach(self.pipe, self.names):
            step_seconds = denoise(*self._generation(item), self.steps, self.run.info.seed, self.clock, after_step)
        self.run.append(
            {
                "kind": "pass",
                "prompt": item.prompt,
                "seconds": item.seconds,
                "seconds_elapsed": perf_counter() - start,
                "recorded_steps": recorded,
                "unet_calls": list(self.schedule.calls),
                "plain_step_seconds": [s for step, s in enumerate(step_seconds) if step not in recorded],
                "recorded_step_seconds": [step_seconds[step] for step in recorded],
                "peak_bytes": peak.peak_bytes,
                "plain_peak_bytes": self.plain_peaks[item.seconds],
                "at": now(),
            }
        )

    def _warm_up(self, item: Item) -> int | None:
        """One plain step, untimed; the peak memory of the pipeline as it is."""
        with PeakMemory(self.device) as peak:
            first_steps(*self._generation(item), 1, self.run.info.seed, self.clock)
        return peak.peak_bytes

    def _generation(self, item: Item) -> tuple[Any, dict[str, Tensor], float]:
        return self.pipe, self.conditioning[item.prompt], item.seconds

    def _keep(self, item: Item, step: int, site_records: list[SiteRecord]) -> None:
        lines, arrays, notes = [], {}, {}
        frame_seconds = latent_frame_seconds(self.pipe)
        timestep = self.pipe.scheduler.timesteps[self.schedule.first_call(step)].item()
        for record in site_records:
            site, grid = record.call.site.name, record.call.grid
            for i, half in enumerate(HALVES):
                key = {"prompt": item.prompt, "seconds": item.seconds, "step": step, "timestep": timestep, "half": half}
                lines.append({"kind": "attention", **key, **attention_record(record, i, frame_seconds)})
                for piece, maps in record.pieces:
                    name = f"{piece.kind}/{item.prompt}/{item.seconds:g}/{step}/{half}/{site}/{piece.label}"
                    arrays[name] = maps[i].numpy()
                    rows, keys = ([tokens.start, tokens.stop - 1] for tokens in (piece.rows, piece.keys))
                    notes[name] = json.dumps({"rows": rows, "keys": keys, "grid": [grid.time, grid.mel_rows]})
        if arrays:
            self.run.write_arrays(f"prompt{item.prompt}-{item.seconds:g}s-step{step}", arrays, notes)
        self.run.append(*lines)
