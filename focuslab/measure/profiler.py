"""How one thing of a profile is measured: memory, FLOPs, steps, modules, a stage or a trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any

import torch

from focuslab.hooks.attach import Handle
from focuslab.hooks.compiled import eagerly
from focuslab.hooks.denoise import first_steps
from focuslab.hooks.memory import AddedMemory, PeakMemory
from focuslab.hooks.timers import ModuleTimer, clock_for
from focuslab.hooks.trace import write_trace
from focuslab.measure.loop import Report, grid_rows
from focuslab.measure.profile_work import Expected, Item, Subjects, density
from focuslab.models.conditioning import components_of, run_stage
from focuslab.models.placement import device_of
from focuslab.models.schedule import projected_schedule, schedule_to_begin
from focuslab.models.sites import module_kinds, unet_of, unit_names
from focuslab.models.specs import stand_ins
from focuslab.runs.directory import RunDirectory, now
from focuslab.runs.modules import UNITS, columns, units_record


@dataclass
class Profiler:
    """Measures items one by one and records each as soon as it is measured."""

    pipe: Any
    conditioning: dict[str, torch.Tensor]
    subjects: Subjects
    expected: Expected
    run: RunDirectory

    def __post_init__(self):
        parameters = self.run.info.parameters
        self.steps: int = parameters["steps"]
        self.compiled: bool = parameters["compiled"]
        self.device = device_of(self.pipe)
        self.clock = clock_for(self.device)
        self.unet = unet_of(self.pipe)
        self.units = unit_names(self.unet)
        self.warm: set[tuple[float, str]] = set()
        self.calls_per_step = schedule_to_begin(self.pipe, self.steps).order
        self.projected = projected_schedule(self.pipe)

    def name_units(self) -> None:
        """Record the names of the modules, which their times and FLOPs follow."""
        if not any(record["kind"] == UNITS for record in self.run.records):
            self.run.append(units_record(self.units, module_kinds(self.unet)))

    def measure(self, item: Item, report: Report) -> None:
        getattr(self, f"_measure_{item.kind}")(item)
        report(1, f"{item.seconds:g} s, {item.label}: {_TITLES[item.kind]}")

    @contextmanager
    def _attached(self, item: Item) -> Iterator[Handle]:
        with self.subjects[item.seconds][item.label].method(self.pipe) as handle:
            if self.compiled:
                # What was just attached may have to be compiled, and what runs eagerly now may not have run before.
                self._denoise(item, 1, handle.cycle)
            yield handle

    def _denoise(self, item: Item, steps: int, cycle: int) -> list[float]:
        return first_steps(self.pipe, self.conditioning, item.seconds, steps, self.run.info.seed, self.clock, cycle)

    def _ensure_warm(self, item: Item) -> None:
        # A resumed run is a new process, in which every method has to be warmed up again.
        if (item.seconds, item.label) not in self.warm:
            self._warm_up(item)

    def _warm_up(self, item: Item) -> dict[str, list[int]]:
        self.warm.add((item.seconds, item.label))
        with self._attached(item) as handle:
            self._denoise(item, 1, handle.cycle)
        return grid_rows(handle)

    def _record(self, item: Item, **measured: Any) -> None:
        key = {"stage": item.label} if item.kind == "stage" else {"method": item.label}
        self.run.append(
            {"kind": item.kind, "seconds": item.seconds, **key, "repeat": item.repeat, "at": now(), **measured}
        )

    def _measure_memory(self, item: Item) -> None:
        if self.compiled or not self.warm:
            # What the compiler holds, and what libraries keep from their first step on, is not what a step needs.
            self._warm_up(item)
        with AddedMemory(self.device) as memory:
            grids = self._warm_up(item)
        length = f"{item.seconds:g}"
        known = self.run.info.grids
        self.run.note(grids={**known, length: {**known.get(length, {}), **grids}})
        self._record_expected(item)
        self._record(item, peak_bytes=memory.peak_bytes, held_bytes=memory.held_bytes)

    def _record_expected(self, item: Item) -> None:
        subject, run = self.subjects[item.seconds][item.label], self.expected[item.seconds, item.label]
        what = {"kind": "expected", "seconds": item.seconds, "method": item.label, "repeat": 0}
        attached = {"sites": len(run.grids), "sparse": subject.has_ideal, "bound": subject.bound}
        mixed = subject.cache is not None and any(subject.dense_steps)
        calls = {
            "dense_steps": sum(subject.dense_steps),
            "dense_calls": self.projected.calls_at_ends(*subject.dense_steps) if self.projected else None,
            # Dense steps of a plan are cached too, so they take neither the time of dense ones nor that of others.
            "projected_calls": self.projected.total_calls if self.projected and not mixed else None,
            "calls_per_step": self.calls_per_step,
        }
        counted = {"flops": run.flops, "predicted_peak_bytes": run.peak_bytes, "compiled": self.compiled}
        kept_pairs = None if subject.cache else density(subject.sites, self.pipe, run)
        self.run.append({**what, **attached, **calls, **counted, "kept_pairs": kept_pairs})

    def _measure_flops(self, item: Item) -> None:
        counted = self.expected[item.seconds, item.label].module_flops
        self._record(item, flops=[counted.get(name, 0) for name in self.units])

    def _measure_steps(self, item: Item) -> None:
        self._ensure_warm(item)
        with self._attached(item) as handle:
            step_seconds = self._denoise(item, self.steps, handle.cycle)
        self._record(item, step_seconds=step_seconds)

    def _measure_modules(self, item: Item) -> None:
        self._ensure_warm(item)
        timer = ModuleTimer(self.unet, self.clock, self.units)
        # The modules of a compiled UNet are no longer called one by one.
        with eagerly(self.pipe.unet), self._attached(item) as handle, timer:
            step_seconds = self._denoise(item, self.steps, handle.cycle)
        rows = list(map(astuple, timer.times()))
        if handle.cycle > 1:
            # A step is the mean of several.
            each = self.steps * self.calls_per_step / rows[0][1]
            rows = [(name, *(value * each for value in values)) for name, *values in rows]
        self._record(item, step_seconds=step_seconds, modules=columns(rows, self.units))

    def _measure_stage(self, item: Item) -> None:
        seconds, peak, note = [], None, None
        left_out = [name for name in components_of(self.pipe, item.label) if name in stand_ins(self.pipe)]
        if left_out:
            note = f"not measured: this model has stand-ins for {', '.join(left_out)}"
        else:
            try:
                with PeakMemory(self.device) as memory:
                    start = self.clock.mark()
                    run_stage(self.pipe, item.label, self.run.info.prompts[0], item.seconds, self.run.info.seed)
                    end = self.clock.mark()
                    self.clock.synchronize()
                seconds, peak = [self.clock.seconds(start, end)], memory.peak_bytes
            except torch.OutOfMemoryError:
                # No dry run predicts what a stage needs, and the steps of this length are measured.
                note = f"not measured: it ran out of memory on {self.device}"
        self._record(item, stage_seconds=seconds, peak_bytes=peak, note=note)

    def _measure_trace(self, item: Item) -> None:
        self._ensure_warm(item)
        worker = f"{item.label}_{item.seconds:g}s"
        with eagerly(self.pipe.unet), self._attached(item) as handle:
            path = write_trace(
                lambda: self._denoise(item, 1, handle.cycle), self.unet, self.run.path / "trace", worker, prefix="unet"
            )
        self._record(item, file=f"trace/{path.name}")


_TITLES = {
    "memory": "warm-up, peak memory",
    "flops": "FLOPs of each module",
    "steps": "steps",
    "modules": "time of each module",
    "stage": "stage",
    "trace": "trace",
}
