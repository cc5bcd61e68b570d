"""Where the attention of a pipeline goes, at every site, head, step and length, of prompts that are really denoised."""

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from focuslab.analysis.attention import attention_summary
from focuslab.attention.grid import Grid
from focuslab.checks import make_config
from focuslab.errors import InputError
from focuslab.hooks.compiled import eagerly
from focuslab.hooks.map_crops import MapCrop, map_crops_at
from focuslab.hooks.meta_cost import MetaCost
from focuslab.hooks.recorder import HALVES, Recorder, Request
from focuslab.hooks.timers import clock_for
from focuslab.io.captions import check_prompts
from focuslab.measure.capture_config import CaptureConfig
from focuslab.measure.capture_work import RECORDING, Capture, Item
from focuslab.measure.loop import Loop, dry_runs, grid_rows
from focuslab.models.conditioning import encode_prompt
from focuslab.models.families import check_mel_latents
from focuslab.models.identity import run_info
from focuslab.models.lengths import check_lengths, training_seconds
from focuslab.models.placement import device_of
from focuslab.models.schedule import schedule_of
from focuslab.models.sites import Site, find_sites, select_sites
from focuslab.results import AttentionRun
from focuslab.runs import Progress
from focuslab.runs.arrays import read_arrays
from focuslab.runs.directory import RunDirectory, place_of

DRY_RUN_TIMES = 4
"""Query time steps sampled in a dry run; at lengths where memory counts a block holds no more."""


@torch.no_grad()
def capture_attention(
    pipe,
    prompts: Iterable[str] | str,
    seconds: Iterable[float] | float = (10.0,),
    *,
    out: str | os.PathLike | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> AttentionRun:
    """Denoise each prompt at each length with classifier-free guidance, and record where attention goes.

    The sound itself is not decoded. Recording leaves what the pipeline computes as it was: bit for bit where its own
    attention is the kernel that returns a log-sum-exp (as on the CPU), else within that kernel's rounding.
    A length whose predicted memory is not free is skipped; the summary names it with the bytes.

    Parameters
    ----------
    pipe
        A pipeline whose latents have a mel axis.
    prompts : str or iterable of str
        What is denoised.
    seconds : float or iterable of float
        Lengths.
    out : path, optional
        A run directory. One that holds the same run is resumed at the first prompt and length that is not complete. By
        default everything is kept in memory only.
    force : bool
        Replace another run in `out`.
    progress : Progress, optional
    **options
        Fields of `focuslab.measure.capture_config.CaptureConfig`: `steps`, `capture_steps`, `sites`, `seed`,
        `cross_fractions`, `cross_weight`, `key_counts`, `statistics`, `sampled_times`, `labels`, `patterns`,
        `queries`, `crops`, `array_bytes`.

    Returns
    -------
    AttentionRun

    Raises
    ------
    InputError
        Before anything is run or written: a wrong argument, a pipeline without mel latents, or no length that fits into
        the memory that is free.
    FocuslabError
        Attention is not finite; it names site, step and dtype, and the steps before it are on disk.
    """
    check_mel_latents(pipe)
    prompts = check_prompts(prompts)
    lengths = check_lengths(pipe, seconds)
    config = make_config(CaptureConfig, {"seconds": lengths, **options})
    schedule = schedule_of(pipe, config.steps)
    chosen = select_sites(find_sites(pipe), "*" if config.sites is None else config.sites)
    clock_for(device_of(pipe))

    conditioning = [encode_prompt(pipe, prompt) for prompt in prompts]
    request = Request(
        statistics=config.statistics,
        focus=config.focus,
        cores=config.cores,
        sampled_times=config.sampled_times,
        seed=config.seed,
    )
    expected, skipped = _expect(pipe, conditioning[0], request, lengths, chosen)
    pieces = {s: _pieces(s, chosen, run.grids, config) for s, run in expected.items()}
    _check_bytes(chosen, pieces, len(prompts) * len(config.capture_steps), config.array_bytes)
    for grid in dict.fromkeys(grid for run in expected.values() for grid in run.grids.values()):
        config.try_on(grid)
    # Labels of a grid are the same at every site and step that has it.
    labels = {name: functools.cache(function) for name, function in config.labels.items()}
    request = replace(request, labels=labels, patterns=config.patterns)

    sites = [{**vars(site)} for site in chosen]
    about = {"seconds": lengths, "sites": sites, "training_seconds": training_seconds(pipe)}
    info = run_info(pipe, "capture-attn", {**config.to_json(), **about}, seed=config.seed, prompts=prompts)
    items = [Item(p, s, run.total_flops * config.steps) for s, run in expected.items() for p in range(len(prompts))]
    with (
        place_of(out) as place,
        RunDirectory(place, info, force=force) as run,
        eagerly(pipe.unet, "attention is recorded"),
    ):
        run.note(grids={f"{s:g}": grid_rows(e) for s, e in expected.items()})
        complete = {(r["prompt"], r["seconds"]) for r in run.records if r["kind"] == "pass"}
        run.keep(lambda record: (record["prompt"], record["seconds"]) in complete)
        run.append(*skipped)
        capture = Capture(pipe, conditioning, request, pieces, run, schedule)
        loop = Loop(pipe, run, lambda: attention_summary(run.info, run.records), "leave out this length", progress)
        loop.measure(items, complete, capture.measure)
        kept_in = run.path if out else None
        return AttentionRun(run.info, loop.summarise(), tuple(run.records), kept_in, read_arrays(run.path))


def _expect(
    pipe, conditioning: dict[str, Tensor], request: Request, lengths: Sequence[float], sites: Sequence[Site]
) -> tuple[dict[float, MetaCost], list[dict[str, Any]]]:
    """A dry run of a recorded step at each length where it fits into memory, and records of where it does not.

    Raises `InputError` where it fits nowhere.
    """
    # What is made one after the other is held one at a time: a few blocks and the most sampled keys are the peak.
    most = sorted(request.focus.items(), key=lambda named: named[1].cross_fraction)[-1:]
    sampled_times = min(request.sampled_times, DRY_RUN_TIMES)
    recorder = Recorder(replace(request, focus=dict(most), sampled_times=sampled_times), steps={0})
    names = [site.name for site in sites]
    expected, skipped = dry_runs(pipe, conditioning, lengths, RECORDING, lambda unet: recorder.attach(unet, names))
    return expected, [{**record, "prompt": None} for record in skipped]


def _pieces(
    seconds: float, sites: Sequence[Site], grids: dict[str, Grid], config: CaptureConfig
) -> dict[str, list[MapCrop]]:
    try:
        return map_crops_at(sites, grids, config.queries, config.crops)
    except InputError as error:
        raise InputError(f"at {seconds:g} s: {error}") from None


def _check_bytes(sites: Sequence[Site], pieces: dict[float, dict[str, list[MapCrop]]], times: int, limit: int) -> None:
    """Raises `InputError` where queries and crops, kept `times` times of each half, pass the limit."""
    a_time = sum(piece.bytes_for(site) for at in pieces.values() for site in sites for piece in at[site.name])
    needed = a_time * times * len(HALVES)
    if needed > limit:
        raise InputError(
            f"the queries and crops would take {needed / 1e6:.0f} MB ({needed} bytes) and array_bytes allows {limit}: "
            "ask for fewer, at fewer sites, steps or prompts, or allow more"
        )
