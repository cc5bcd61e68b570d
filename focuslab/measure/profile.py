"""Time, memory and FLOPs of a pipeline's denoising step, method against method, length by length."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from typing import Any

import torch

from focuslab.analysis.cost import profile_summary, record_key
from focuslab.checks import several, switch, text
from focuslab.errors import InputError
from focuslab.hooks.attach import Handle
from focuslab.hooks.compiled import compiling_every_variant, eagerly, is_compiled
from focuslab.hooks.denoise import first_steps
from focuslab.hooks.memory import LeftOut, PeakMemory, naming_what_did_not_fit
from focuslab.hooks.meta_cost import DryRun, dry_run_that_fits, meta_unet
from focuslab.hooks.step_memory import AddedMemory
from focuslab.hooks.timers import ModuleTimer, clock_for
from focuslab.hooks.trace import write_trace
from focuslab.methods import AnyMethod, Attachable, Bound, Method, as_methods
from focuslab.methods.base import check_count, check_seed
from focuslab.models.conditioning import encode_prompt, unet_inputs
from focuslab.models.identity import run_info
from focuslab.models.kinds import module_kinds, unit_names
from focuslab.models.lengths import check_lengths
from focuslab.models.placement import device_of
from focuslab.models.schedule import Schedule, projected_schedule, schedule_to_begin
from focuslab.models.sites import find_sites, unet_of
from focuslab.models.specs import stand_ins
from focuslab.models.stages import STAGES, run_stage
from focuslab.results import ProfileRun
from focuslab.runs import SKIPPED, Progress
from focuslab.runs.directory import RunDirectory, now, place_of
from focuslab.runs.modules import UNITS, columns, units_record

PROMPT = "gentle rain on a tin roof, distant thunder"


@dataclass(frozen=True)
class _Item:
    """One thing to measure; `weight` is its expected share of the work, in FLOPs."""

    kind: str
    seconds: float
    label: str
    repeat: int
    weight: float

    @property
    def key(self) -> tuple[str, float, str, int]:
        return self.kind, self.seconds, self.label, self.repeat


@torch.no_grad()
def profile(
    pipe,
    seconds: Iterable[float] | float = (10, 20, 40, 80),
    methods: Iterable[str] | str | Mapping[str, AnyMethod] = ("dense", "litefocus"),
    *,
    prompt: str = PROMPT,
    steps: int = 1,
    repeats: int = 3,
    module_repeats: int = 1,
    seed: int = 0,
    trace: bool = False,
    only_steps: bool = False,
    out: str | os.PathLike | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ProfileRun:
    """Measure denoising steps of a pipeline at each length with each method, interleaved, and where their time goes.

    methods: names with parameters ("litefocus:cross_fraction=0.2", "plan:plan.json"), or label -> method (or plan) for
    your own. Beside every sparse method its bound is measured too, as a method "bound", and its ideal speed derived
    from it. A plan is measured in the steps that are not dense; those that are count in the projected generation.
    steps: denoising steps in one timing, the first ones of a long generation (`first_steps`); a scheduler of second
    order calls the UNet twice in each. repeats: timings of each method at each length; medians are of all steps.
    For each length: one untimed step of each method (it warms up, and shows the peak memory), then `repeats` rounds in
    which the methods follow each other, then `module_repeats` rounds of one generation of `steps` each with a clock on
    every module, then the other stages of the pipeline. trace: write one more step of each under the torch profiler, as
    `trace/` in `out`.
    A compiled UNet is timed as it runs, after it was compiled for each length and method; its modules are timed, and
    traced, while it runs eagerly, and the summary says so.
    only_steps: take the timings and the peak memory alone, without bounds, modules and other stages.
    out: a run directory; one that holds the same run is gone on with. None keeps the records in memory only.

    A method whose predicted memory is not free at a length is skipped there; the summary names it with the bytes.

    Raises `InputError` before anything is run or written for a wrong argument, a length that is too short, or where
    nothing fits into the memory that is free.
    """
    lengths = check_lengths(pipe, seconds)
    methods, prompt = as_methods(methods), text("a prompt", prompt)
    steps, repeats = check_count("steps", steps), check_count("repeats", repeats)
    module_repeats, seed = check_count("module_repeats", module_repeats), check_seed(seed)
    trace = switch("trace", trace)
    if trace and out is None:
        raise InputError("a trace is a file: give out, the directory to write it to")
    subjects = {s: _subjects(pipe, s, methods, with_bounds=not only_steps) for s in lengths}
    clock_for(device_of(pipe))
    schedule_to_begin(pipe, steps)

    conditioning = encode_prompt(pipe, prompt)
    expected, skipped = _expect(pipe, conditioning, subjects, methods)
    info = run_info(
        pipe,
        "profile",
        {
            "seconds": lengths,
            "methods": {
                label: repr(methods.get(label, subject.method))
                for at_length in subjects.values()
                for label, subject in at_length.items()
            },
            "steps": steps,
            "repeats": repeats,
            "module_repeats": module_repeats,
            "trace": trace,
            "compiled": is_compiled(pipe.unet),
            **({"only_steps": True} if only_steps else {}),
        },
        seed=seed,
        prompts=(prompt,),
    )
    with (
        place_of(out) as place,
        RunDirectory(place, info, force=force) as run,
        compiling_every_variant(pipe.unet),
    ):
        # What fits may have changed since the run was stopped.
        run.keep(lambda record: record["kind"] != SKIPPED)
        run.append(*skipped)
        subjects = {s: {label: own[label] for label in own if (s, label) in expected} for s, own in subjects.items()}
        subjects = {s: own for s, own in subjects.items() if not methods.keys().isdisjoint(own)}
        _Profiler(pipe, conditioning, subjects, expected, run, prompt, steps, seed).measure(
            _items(subjects, expected, steps, repeats, module_repeats, trace, only_steps), progress or (lambda *_: None)
        )
        return ProfileRun(run.info, profile_summary(run.records), tuple(run.records), run.path if out else None)


@dataclass(frozen=True)
class _Subject:
    """What is measured under one label at one length.

    sites: what runs at each site. dense_steps: of a whole generation, the first and last ones that are not measured
    because all sites stay dense in them. bound: the label of the bound of these sites, where any is sparse.
    """

    method: Attachable
    sites: dict[str, Method]
    dense_steps: tuple[int, int] = (0, 0)
    bound: str | None = None

    @property
    def sparse(self) -> bool:
        return any(method.sparse for method in self.sites.values())


Subjects = dict[float, dict[str, _Subject]]
"""By length and label."""


def _subjects(pipe, seconds: float, methods: dict[str, Attachable], with_bounds: bool) -> dict[str, _Subject]:
    """The methods at one length, and a bound for every choice of sites among the sparse ones."""
    subjects = {
        label: _Subject(method.at_every_step(), method.sites_at(pipe, seconds), method.dense_steps_at(pipe, seconds))
        for label, method in methods.items()
    }
    if not with_bounds:
        return subjects
    bounds = {frozenset(s.sites): label for label, s in subjects.items() if isinstance(s.method, Bound)}
    for label, subject in list(subjects.items()):
        if not subject.sparse:
            continue
        names = frozenset(subject.sites)
        if names not in bounds:
            bounds[names], bound = _bound(label, subject)
            subjects[bounds[names]] = _Subject(bound, bound.sites_at(pipe, seconds))
        subjects[label] = replace(subject, bound=bounds[names])
    return subjects


def _bound(label: str, subject: _Subject) -> tuple[str, Bound]:
    """The label and the method of the bound of a subject's sites."""
    method = subject.method
    if not isinstance(method, Method):
        return f"bound:{label}", Bound(sites=tuple(subject.sites))
    name = "bound" if method.sites is None else f"bound:sites={'+'.join(several(method.sites))}"
    return name, Bound(sites=method.sites)


def _expect(pipe, conditioning, subjects: Subjects, asked_for) -> tuple[dict[tuple[float, str], DryRun], list[dict]]:
    """A dry run of each method at each length where it fits into memory, and records of where one does not.

    Raises `InputError` where none of those that were `asked_for` fits; bounds are measured beside them.
    """
    twin = meta_unet(pipe.unet)
    expected, left_out = {}, LeftOut()
    for seconds, at_length in subjects.items():
        inputs = unet_inputs(pipe, conditioning, seconds)
        for label, subject in at_length.items():
            what, instead = f"{label} at {seconds:g} s", "leave out this length or this method"
            with left_out.unless_it_fits(seconds, method=label, repeat=0):
                expected[seconds, label] = dry_run_that_fits(pipe, twin, inputs, subject.method, what, instead)
    left_out.refuse_if(not any(label in asked_for for _, label in expected))
    return expected, left_out.records


def _items(subjects: Subjects, expected, steps, repeats, module_repeats, trace, only_steps) -> list[_Item]:
    """Everything to measure, in order."""
    wanted = {"memory", "steps", "trace"} | (set() if only_steps else {"flops", "modules", "stage"})
    items = []
    for seconds, labels in subjects.items():
        first = next(iter(labels))

        def item(kind: str, label: str, repeat: int = 0, seconds=seconds, first=first, count: int = steps) -> None:
            if kind in wanted:
                flops = expected[seconds, first if kind == "stage" else label].total_flops
                items.append(_Item(kind, seconds, label, repeat, flops * count))

        for label in labels:
            item("memory", label, count=1)
            item("flops", label, count=0)
        for repeat in range(repeats):
            for label in labels:
                item("steps", label, repeat)
                # Where a step is short the instrument costs most. There its cost is measured, in every round.
                if seconds == min(subjects) and label == first:
                    item("modules", label, repeat)
        for repeat in range(module_repeats):
            for label in labels:
                if not (seconds == min(subjects) and label == first):
                    item("modules", label, repeat)
        for stage in STAGES:
            item("stage", stage, count=1)
        for label in labels if trace else ():
            item("trace", label, count=1)
    return items


def _cut_rounds(items: Sequence[_Item], done: set) -> set:
    """Keys of timings that were done in a round that a stop cut in two.

    Methods are compared within a round because the machine's speed drifts: such a round is measured anew, whole.
    """
    rounds = defaultdict(set)
    for item in items:
        if item.kind == "steps":
            rounds[item.seconds, item.repeat].add(item.key)
    return {key for keys in rounds.values() if not keys <= done for key in keys & done}


class _Profiler:
    """Measures items one by one and records each as soon as it is measured."""

    def __init__(self, pipe, conditioning, subjects, expected, run: RunDirectory, prompt, steps, seed):
        self.pipe = pipe
        self.conditioning = conditioning
        self.subjects: Subjects = subjects
        self.expected: dict[tuple[float, str], DryRun] = expected
        self.run = run
        self.prompt = prompt
        self.steps = steps
        self.seed = seed
        self.device = device_of(pipe)
        self.clock = clock_for(self.device)
        self.unet = unet_of(pipe)
        self.kinds = module_kinds(self.unet)
        self.units = unit_names(self.unet)
        self.compiled: bool = run.info.parameters["compiled"]
        self.warm: set[tuple[float, str]] = set()
        self.calls_per_step = schedule_to_begin(pipe, steps).order
        self.projected: Schedule | None = projected_schedule(pipe)

    def measure(self, items: Sequence[_Item], progress: Progress) -> None:
        done_before = {record_key(record) for record in self.run.records}
        done_before -= _cut_rounds(items, done_before)
        total = sum(item.weight for item in items)
        done = sum(item.weight for item in items if item.key in done_before)
        todo = [item for item in items if item.key not in done_before]
        named = any(record["kind"] == UNITS for record in self.run.records)
        if not named and any(item.kind in ("flops", "modules") for item in todo):
            self.run.append(units_record(self.units, self.kinds))
        try:
            for item in todo:
                self._guarded(item)
                done += item.weight
                progress(done, total, f"{item.seconds:g} s, {item.label}: {_TITLES[item.kind]}")
        finally:
            self.run.write_summary(profile_summary(self.run.records))
        self.run.note(ended=self.run.info.ended or now())

    def _guarded(self, item: _Item) -> None:
        what = f"{item.label} at {item.seconds:g} s"
        with naming_what_did_not_fit(self.pipe, what, "leave out this length or this method", self.run.kept):
            getattr(self, f"_measure_{item.kind}")(item)

    @contextmanager
    def _attached(self, item: _Item) -> Iterator[Handle]:
        with self.subjects[item.seconds][item.label].method(self.pipe) as handle:
            if self.compiled:
                # What was just attached may have to be compiled, and what runs eagerly now may not have run before.
                self._denoise(item, 1)
            yield handle

    def _denoise(self, item: _Item, steps: int) -> list[float]:
        return first_steps(self.pipe, self.conditioning, item.seconds, steps, self.seed, self.clock)

    def _ensure_warm(self, item: _Item) -> None:
        # A resumed run is a new process: what it goes on with has to be warm again.
        if (item.seconds, item.label) not in self.warm:
            self._warm_up(item)

    def _warm_up(self, item: _Item) -> dict[str, list[int]]:
        self.warm.add((item.seconds, item.label))
        with self._attached(item) as handle:
            self._denoise(item, 1)
        return {name: [grid.time, grid.mel_rows] for name, grid in handle.grids.items()}

    def _record(self, item: _Item, **measured: Any) -> None:
        key = {"stage": item.label} if item.kind == "stage" else {"method": item.label}
        self.run.append(
            {"kind": item.kind, "seconds": item.seconds, **key, "repeat": item.repeat, "at": now(), **measured}
        )

    def _measure_memory(self, item: _Item) -> None:
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

    def _record_expected(self, item: _Item) -> None:
        subject, run = self.subjects[item.seconds][item.label], self.expected[item.seconds, item.label]
        self.run.append(
            {
                "kind": "expected",
                "seconds": item.seconds,
                "method": item.label,
                "repeat": 0,
                "sites": len(run.grids),
                "sparse": subject.sparse,
                "bound": subject.bound,
                "dense_steps": sum(subject.dense_steps),
                "dense_calls": self.projected.calls_at_ends(*subject.dense_steps) if self.projected else None,
                "projected_calls": self.projected.total_calls if self.projected else None,
                "calls_per_step": self.calls_per_step,
                "compiled": self.compiled,
                "kept_pairs": kept_pairs(subject.sites, self.pipe, run),
                "flops": run.flops,
                "predicted_peak_bytes": run.peak_bytes,
            }
        )

    def _measure_flops(self, item: _Item) -> None:
        counted = self.expected[item.seconds, item.label].module_flops
        self._record(item, flops=[counted.get(name, 0) for name in self.units])

    def _measure_steps(self, item: _Item) -> None:
        self._ensure_warm(item)
        with self._attached(item):
            step_seconds = self._denoise(item, self.steps)
        self._record(item, step_seconds=step_seconds)

    def _measure_modules(self, item: _Item) -> None:
        self._ensure_warm(item)
        timer = ModuleTimer(self.unet, self.clock, self.units)
        # The modules of a compiled UNet are no longer called one by one.
        with eagerly(self.pipe.unet), self._attached(item), timer:
            step_seconds = self._denoise(item, self.steps)
        self._record(item, step_seconds=step_seconds, modules=columns(map(astuple, timer.times()), self.units))

    def _measure_stage(self, item: _Item) -> None:
        seconds, peak, note = [], None, None
        left_out = [name for name in STAGES[item.label] if name in stand_ins(self.pipe)]
        if left_out:
            note = f"not measured: this model has stand-ins for {', '.join(left_out)}"
        else:
            try:
                with PeakMemory(self.device) as memory:
                    start = self.clock.mark()
                    run_stage(self.pipe, item.label, self.prompt, item.seconds, self.seed)
                    end = self.clock.mark()
                    self.clock.synchronize()
                seconds, peak = [self.clock.seconds(start, end)], memory.peak_bytes
            except torch.OutOfMemoryError:
                # No dry run predicts what a stage needs, and the steps of this length are measured.
                note = f"not measured: it ran out of memory on {self.device}"
        self._record(item, stage_seconds=seconds, peak_bytes=peak, note=note)

    def _measure_trace(self, item: _Item) -> None:
        self._ensure_warm(item)
        worker = f"{item.label}_{item.seconds:g}s"
        with eagerly(self.pipe.unet), self._attached(item):
            path = write_trace(
                lambda: self._denoise(item, 1), self.unet, self.run.path / "trace", worker, prefix="unet"
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


def kept_pairs(methods: Mapping[str, Method], pipe, run: DryRun) -> float | None:
    """Share of the query-key products that the methods compute at their sites, weighted by the work at each; None where
    there is no site."""
    widths = {site.name: site.heads * site.head_width for site in find_sites(pipe)}
    work = {name: widths[name] * grid.tokens**2 for name, grid in run.grids.items()}
    if not work:
        return None
    return sum(methods[name].density(grid) * work[name] for name, grid in run.grids.items()) / sum(work.values())
