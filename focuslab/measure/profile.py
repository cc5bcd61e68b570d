"""Time, memory and FLOPs of a pipeline's denoising step, method against method, length by length."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from focuslab.analysis.cost import profile_summary, record_key
from focuslab.checks import make_config, several
from focuslab.errors import InputError
from focuslab.hooks.compiled import compiling_every_variant, is_compiled
from focuslab.hooks.timers import clock_for
from focuslab.measure.loop import Loop
from focuslab.measure.profile_config import ProfileConfig
from focuslab.measure.profile_work import cut_rounds, expect, items_of, subjects_of
from focuslab.measure.profiler import Profiler
from focuslab.methods import AnyMethod
from focuslab.models.callables import as_recorded
from focuslab.models.conditioning import encode_prompt
from focuslab.models.identity import run_info
from focuslab.models.lengths import check_lengths
from focuslab.models.placement import device_of
from focuslab.models.schedule import schedule_to_begin
from focuslab.models.schedulers import using_scheduler
from focuslab.results import ProfileRun
from focuslab.runs import SKIPPED, Progress
from focuslab.runs.directory import RunDirectory, place_of


@torch.no_grad()
def profile(
    pipe,
    seconds: Iterable[float] | float = (10, 20, 40, 80),
    methods: Iterable[str] | str | Mapping[str, AnyMethod] = ("dense", "litefocus"),
    *,
    out: str | os.PathLike | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> ProfileRun:
    """Measure denoising steps of a pipeline at each length with each method, interleaved, and where their time goes.

    Beside every sparse method its bound is measured too, as a method "bound", and its ideal speed derived from it. A
    plan is measured in the steps that are not dense; those that are count in the projected generation. With a cache a
    step is the mean of a cycle of steps; its composition with a sparse method has a bound of its own and no ideal.

    For each length there is one untimed step of each method, which warms up and shows the peak memory. Then come
    `repeats` rounds in which the methods follow each other, `module_repeats` rounds with a clock on every module, and
    the other stages of the pipeline. A method whose predicted memory is not free at a length is skipped there; the
    summary names it with the bytes.

    A compiled UNet is timed as it runs, after it was compiled for each length and method. Its modules are timed, and
    traced, while it runs eagerly, and the summary says so.

    Parameters
    ----------
    pipe
        The pipeline.
    seconds : float or iterable of float
        Lengths.
    methods : str, iterable of str, or mapping of str to method
        Names with parameters, or label -> method or plan.
    out : path, optional
        A run directory. One that holds the same run is resumed. By default the records are kept in memory only.
    force : bool
        Replace another run in `out`.
    progress : Progress, optional
    **options
        Fields of `focuslab.measure.profile_config.ProfileConfig`: `prompt`, `steps`, `repeats`, `module_repeats`,
        `seed`, `trace`, `only_steps`, `scheduler`.

    Returns
    -------
    ProfileRun

    Raises
    ------
    InputError
        Before anything is run or written: a wrong argument, a length that is too short, or nothing that fits into the
        memory that is free.
    """
    with using_scheduler(pipe, options.get("scheduler")):
        lengths = check_lengths(pipe, seconds)
        config = make_config(ProfileConfig, {"seconds": lengths, "methods": methods, **options})
        return _profile(pipe, config, out, force, progress)


def _profile(
    pipe, config: ProfileConfig, out: str | os.PathLike | None, force: bool, progress: Progress | None
) -> ProfileRun:
    lengths = list(several(config.seconds))
    if config.trace and out is None:
        raise InputError("a trace is a file: give out, the directory to write it to")
    asked = {s: subjects_of(pipe, s, config) for s in lengths}
    clock_for(device_of(pipe))
    schedule_to_begin(pipe, config.steps)

    conditioning = encode_prompt(pipe, config.prompt)
    subjects, expected, skipped = expect(pipe, conditioning, asked, config)
    labelled = {label: subject.method for own in asked.values() for label, subject in own.items()}
    about = {
        "seconds": lengths,
        "methods": {label: as_recorded(config.methods.get(label, method)) for label, method in labelled.items()},
        "compiled": is_compiled(pipe.unet),
    }
    info = run_info(pipe, "profile", {**config.to_json(), **about}, seed=config.seed, prompts=(config.prompt,))
    with place_of(out) as place, RunDirectory(place, info, force=force) as run, compiling_every_variant(pipe.unet):
        items = items_of(subjects, expected, config)
        cut = cut_rounds(items, {record_key(record) for record in run.records})
        # What fits may have changed since the run was stopped.
        run.keep(lambda record: record["kind"] != SKIPPED and record_key(record) not in cut)
        run.append(*skipped)
        done = {record_key(record) for record in run.records}
        profiler = Profiler(pipe, conditioning, subjects, expected, run)
        if not {item.key for item in items if item.kind in ("flops", "modules")} <= done:
            profiler.name_units()
        loop = Loop(pipe, run, lambda: profile_summary(run.records), progress=progress)
        loop.measure(items, done, profiler.measure)
        return ProfileRun(run.info, loop.summarise(), tuple(run.records), run.path if out else None)
