"""The work of a capture: each prompt at each length is denoised, and its recorded steps are put on disk."""

import json
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from torch import Tensor

from focuslab.hooks.denoise import first_steps, timed_call
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
            given = (*self._generation(item), self.steps, self.run.info.seed, self.clock)
            _, step_seconds = timed_call(*given, "latent", after_step)
        elapsed, calls = perf_counter() - start, list(self.schedule.calls)
        place = {"kind": "pass", "prompt": item.prompt, "seconds": item.seconds, "seconds_elapsed": elapsed}
        taken = {
            "plain_step_seconds": [s for step, s in enumerate(step_seconds) if step not in recorded],
            "recorded_step_seconds": [step_seconds[step] for step in recorded],
        }
        held = {"peak_bytes": peak.peak_bytes, "plain_peak_bytes": self.plain_peaks[item.seconds]}
        self.run.append({**place, "recorded_steps": recorded, "unet_calls": calls, **taken, **held, "at": now()})

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


def attention_record(record: SiteRecord, half: int, frame_seconds: float) -> dict[str, Any]:
    """One half of what a call left, in JSON's types, with numbers rounded to 6 significant digits.

    frame_seconds: of a time step of the latent, in which lags are counted.
    """
    values = {name: value[half] for name, value in record.values.items()}
    line: dict[str, Any] = {
        "site": record.call.site.name,
        "time": record.call.grid.time,
        "mel_rows": record.call.grid.mel_rows,
    }
    for name, value in values.items():
        kind, _, label = name.partition("/")
        if name in ("mass", "entropy"):
            line[name] = _mean_and_std(value)
        elif name == "rows":
            line[name] = rounded(value)
        elif name == "lag_own":
            edges = [0.0, *(frame_seconds * 2**i for i in range(value.shape[-1]))]
            line["lag"] = {
                "edges": rounded(edges),
                "own": rounded(value),
                "other": rounded(values["lag_other"]),
                "chance": rounded(values["lag_chance"]),
            }
        elif kind == "recall":
            line.setdefault(kind, {})[label] = _mean_and_std(value)
        elif kind == "output_error":
            error = {"all": rounded(values[f"site_error/{label}"]), "heads": rounded(value)}
            line.setdefault(kind, {})[label] = error
        elif name == "sampling":
            pooled, heads = rounded(values["sampling_all"]), rounded(value)
            parts = enumerate(("own", "other"))
            line[name] = {part: {"all": pooled[i], "heads": [head[i] for head in heads]} for i, part in parts}
        elif kind == "sampled_error":
            error = {"all": rounded(values[f"sampled_error_all/{label}"]), "heads": rounded(value)}
            line.setdefault(kind, {})[label] = error
        elif kind == "labels":
            line.setdefault(kind, {})[label] = rounded(value)
        elif kind == "patterns":
            chance = rounded(values[f"patterns_chance/{label}"])
            line.setdefault(kind, {})[label] = {**_mean_and_std(value), "chance": chance}
    return line


def _mean_and_std(value: Tensor) -> dict[str, list[float]]:
    return {"mean": rounded(value[:, 0]), "std": rounded(value[:, 1])}


def rounded(value: Tensor | list | float) -> Any:
    """A tensor as nested lists of numbers with 6 significant digits."""
    value = value.tolist() if isinstance(value, Tensor) else value
    return [rounded(part) for part in value] if isinstance(value, list) else float(f"{value:.6g}")
