"""Where the attention of a pipeline goes, at every site, head, step and length, of prompts that are really denoised."""

import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from focuslab.analysis.attention import attention_summary
from focuslab.attention.grid import Grid
from focuslab.attention.statistics import Pattern
from focuslab.checks import plain, several, whole
from focuslab.errors import InputError
from focuslab.hooks.call_records import attention_record
from focuslab.hooks.compiled import eagerly
from focuslab.hooks.denoise import denoise, first_steps
from focuslab.hooks.map_crops import Crop, Piece, parse_crop, parse_queries, pieces_at
from focuslab.hooks.memory import LeftOut, PeakMemory, naming_what_did_not_fit
from focuslab.hooks.meta_cost import DryRun, dry_run_that_fits, meta_unet
from focuslab.hooks.recorder import HALVES, STATISTICS, Labels, Recorder, Request, SiteRecord
from focuslab.hooks.timers import clock_for
from focuslab.io.prompts import check_prompts
from focuslab.methods import LiteFocus
from focuslab.methods.base import check_choice, check_count, check_seed
from focuslab.models.conditioning import encode_prompt, unet_inputs
from focuslab.models.identity import run_info
from focuslab.models.latents import check_mel_latents
from focuslab.models.lengths import check_lengths, latent_frame_seconds, training_seconds
from focuslab.models.placement import device_of
from focuslab.models.schedule import Schedule, schedule_of
from focuslab.models.sites import Site, find_sites, select_sites
from focuslab.results import AttentionRun
from focuslab.runs import Progress
from focuslab.runs.arrays import read_arrays
from focuslab.runs.directory import RunDirectory, now, place_of

DEFAULT_STEPS = 20
DEFAULT_CAPTURED = 5
"""Recorded steps where none are named: at five of 200, one may cost three plain ones for the run to cost 1.05."""
DEFAULT_FRACTIONS = (0.0, 0.05, 0.1, 0.2)
ARRAY_BYTES = 200_000_000
DRY_RUN_TIMES = 4
"""Query time steps sampled in a dry run; at lengths where memory counts a block holds no more."""


@torch.no_grad()
def capture_attention(
    pipe,
    prompts: Iterable[str] | str,
    seconds: Iterable[float] | float = (10.0,),
    *,
    steps: int = DEFAULT_STEPS,
    capture_steps: Iterable[int] | int | None = None,
    sites: Iterable[str] | str | None = None,
    seed: int = 0,
    cross_fractions: Iterable[float] | float = DEFAULT_FRACTIONS,
    cross_weight: float | str = 1.0,
    statistics: Iterable[str] | str = STATISTICS,
    sampled_times: int = 64,
    labels: Labels | Mapping[str, Labels] | None = None,
    patterns: Mapping[str, Pattern] | None = None,
    queries: Iterable[str | tuple[int, int]] | str = (),
    crops: Iterable[str | Crop] | str | Crop = (),
    array_bytes: int = ARRAY_BYTES,
    out: str | os.PathLike | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> AttentionRun:
    """Denoise each prompt at each length with classifier-free guidance, and record where attention goes.

    The sound itself is not decoded. Recording leaves what the pipeline computes as it was: bit for bit where its own
    attention is the kernel that returns a log-sum-exp (as on the CPU), else within that kernel's rounding.

    steps: denoising steps. capture_steps: those recorded, from 0, each in its first UNet call; None is up to 5 of them
    spread over the run, not more than half. sites: names, blocks or patterns; None is every self-attention. seed: of
    the first noise, of the drawn keys and of the sampled queries.
    statistics, some of `STATISTICS`, each for every site, head, recorded step and half of the guidance batch:

    * "mass", same-frequency mass of every query. Costs 1/F of the site's dense attention.
    * "recall" and "output_error" of LiteFocus with each of `cross_fractions` (and `cross_weight`) at this site alone,
      of every query, with the keys that it would draw. Cost its own share of query-key pairs.
    * "entropy", "rows" (the F x F matrix of mass from query row to key row) and "lag" (mass by time lag, for the own
      row and for the others): exact for the queries of `sampled_times` time steps, one drawn from each of as many
      equal stretches, and so for all where there are no more. Unfused, so a query costs several times the dense one.

    labels: a function `grid -> (label of each key as LongTensor [N], how many)` or several by name: mean mass by label.
    patterns: by name functions `(grid, query tokens [Q]) -> bool [Q, N]` on the device of the tokens, which keys belong
    to a pattern for each of these queries: mass in it and its share of all keys. Both of the sampled queries.
    queries: tokens "t:f" or (t, f) of the finest grid among the sites, whose attention is kept whole at the sites with
    that grid. crops: "SITE:first-last" keeps the map of these tokens against themselves, "SITE:first-last:first-last"
    against those keys. Both are refused where they would write more than `array_bytes` in all.
    out: a run directory; one that holds the same run is gone on with at the first prompt and length that is not
    complete. None keeps everything in memory only.

    A length whose predicted memory is not free is skipped; the summary names it with the bytes.

    Raises `InputError` before anything is run or written for a wrong argument, a pipeline without mel latents, or where
    no length fits into the memory that is free; `FocuslabError` naming site, step and dtype where attention is not
    finite, with the steps before it on disk.
    """
    check_mel_latents(pipe)
    prompts = check_prompts(prompts)
    lengths = check_lengths(pipe, seconds)
    steps, sampled_times = check_count("steps", steps), check_count("sampled_times", sampled_times)
    array_bytes, seed = check_count("array_bytes", array_bytes), check_seed(seed)
    schedule = schedule_of(pipe, steps)
    capture_steps = _check_capture_steps(capture_steps, steps)
    chosen = select_sites(find_sites(pipe), "*" if sites is None else sites)
    queries, crops = parse_queries(queries), [parse_crop(crop) for crop in several(crops)]
    labels, patterns = _by_name(labels, "labels"), _by_name(patterns, "patterns")
    request = Request(
        statistics=_check_statistics(statistics, bool(labels or patterns or queries or crops)),
        focus=_focus(several(cross_fractions), cross_weight, seed),
        sampled_times=sampled_times,
        seed=seed,
    )
    clock_for(device_of(pipe))

    conditioning = [encode_prompt(pipe, prompt) for prompt in prompts]
    names = [site.name for site in chosen]
    twin = meta_unet(pipe.unet)
    expected, skipped = _expect(pipe, twin, conditioning[0], lengths, request, names)
    pieces = {s: _pieces(s, chosen, run.grids, queries, crops) for s, run in expected.items()}
    _check_bytes(chosen, pieces, len(prompts) * len(capture_steps), array_bytes)
    for grid in dict.fromkeys(grid for run in expected.values() for grid in run.grids.values()):
        _check_labels(labels, patterns, grid)
    # Labels of a grid are the same at every site and step that has it.
    request = replace(request, labels={name: functools.cache(f) for name, f in labels.items()}, patterns=patterns)

    info = run_info(
        pipe,
        "capture-attn",
        {
            "seconds": lengths,
            "steps": steps,
            "capture_steps": capture_steps,
            "sites": [{**vars(site)} for site in chosen],
            "statistics": list(request.statistics),
            "cross_fractions": [method.cross_fraction for method in request.focus.values()],
            "cross_weight": plain(cross_weight),
            "sampled_times": sampled_times,
            "labels": sorted(labels),
            "patterns": sorted(patterns),
            "queries": [f"{t}:{f}" for t, f in queries],
            "crops": [str(crop) for crop in crops],
            "training_seconds": training_seconds(pipe),
        },
        seed=seed,
        prompts=prompts,
    )
    items = [_Item(p, s, run.total_flops * steps) for s, run in expected.items() for p in range(len(prompts))]
    with (
        place_of(out) as place,
        RunDirectory(place, info, force=force) as run,
        eagerly(pipe.unet, "attention is recorded"),
    ):
        run.note(grids={f"{s:g}": _grid_rows(e) for s, e in expected.items()})
        _Capture(pipe, conditioning, request, pieces, names, run, schedule).measure(
            items, skipped, progress or (lambda *_: None)
        )
        summary = attention_summary(run.info, run.records)
        return AttentionRun(run.info, summary, tuple(run.records), read_arrays(run.path), run.path if out else None)


def default_capture_steps(steps: int) -> list[int]:
    """Up to `DEFAULT_CAPTURED` steps from the first to the last, and not more than half of them, so that as many are
    left to compare their time with."""
    count = min(DEFAULT_CAPTURED, (steps + 1) // 2)
    return [round(i * (steps - 1) / max(count - 1, 1)) for i in range(count)]


def _check_capture_steps(capture_steps: Iterable[int] | int | None, steps: int) -> list[int]:
    if capture_steps is None:
        return default_capture_steps(steps)
    expected = f"different steps from 0 to {steps - 1}, the last"
    capture_steps = [whole("capture_steps", step, expected, 0, steps - 1) for step in several(capture_steps)]
    if not capture_steps or len(set(capture_steps)) < len(capture_steps):
        raise InputError(f"capture_steps must be {expected}, not {capture_steps}")
    return sorted(capture_steps)


def _check_statistics(statistics: Iterable[str] | str, something_else: bool) -> tuple[str, ...]:
    statistics = tuple(dict.fromkeys(several(statistics)))
    for name in statistics:
        check_choice("a statistic", name, STATISTICS)
    if not (statistics or something_else):
        raise InputError(f"nothing would be recorded: name some statistics of {', '.join(STATISTICS)}")
    return statistics


def _focus(cross_fractions: Sequence[float], cross_weight: float | str, seed: int) -> dict[str, LiteFocus]:
    methods = [LiteFocus(cross_fraction=r, cross_weight=cross_weight, seed=seed) for r in cross_fractions]
    named = {f"{method.cross_fraction:g}": method for method in methods}
    if len(named) < len(methods):
        raise InputError(f"cross_fractions must be different numbers, not {list(cross_fractions)}")
    return named


def _by_name(functions, name: str) -> dict[str, Any]:
    named = {name: functions} if callable(functions) else dict(functions or {})
    wrong = [key for key, function in named.items() if not isinstance(key, str) or not callable(function)]
    if wrong:
        raise InputError(f"{name} must be functions by name, but {wrong[0]!r} is {named[wrong[0]]!r}")
    return named


def _check_labels(labels: Mapping[str, Labels], patterns: Mapping[str, Pattern], grid: Grid) -> None:
    """Try the functions on a grid, on the CPU. Raises `InputError` for what is not as it has to be."""
    on = f"on a grid of {grid.time} time steps x {grid.mel_rows} mel rows"
    for name, function in labels.items():
        made = function(grid)
        of_keys, count = made if isinstance(made, tuple) and len(made) == 2 else (None, None)
        if not isinstance(of_keys, Tensor) or of_keys.dtype != torch.long or of_keys.shape != (grid.tokens,):
            raise InputError(f"labels {name!r} must be a LongTensor of {grid.tokens} and a number {on}")
        if type(count) is not int or of_keys.min() < 0 or of_keys.max() >= count:
            raise InputError(f"labels {name!r} must be from 0 to below their number {count!r} {on}")
    for name, function in patterns.items():
        tokens = torch.arange(min(2, grid.tokens))
        members = function(grid, tokens)
        if (
            not isinstance(members, Tensor)
            or members.dtype != torch.bool
            or members.shape != (len(tokens), grid.tokens)
        ):
            raise InputError(f"pattern {name!r} must be a bool tensor [queries, {grid.tokens} keys] {on}")


def _expect(
    pipe, twin: nn.Module, conditioning: dict[str, Tensor], lengths: Sequence[float], request: Request, names: list[str]
) -> tuple[dict[float, DryRun], list[dict[str, Any]]]:
    """A dry run of a recorded step at each length where it fits into memory, and records of where it does not.

    Raises `InputError` where it fits nowhere.
    """
    # What is made one after the other is held one at a time: a few blocks and the most drawn keys are the peak.
    most = sorted(request.focus.items(), key=lambda named: named[1].cross_fraction)[-1:]
    sampled_times = min(request.sampled_times, DRY_RUN_TIMES)
    recorder = Recorder(replace(request, focus=dict(most), sampled_times=sampled_times), steps={0})
    expected, left_out = {}, LeftOut()
    for seconds in lengths:
        inputs, what = unet_inputs(pipe, conditioning, seconds), f"recording at {seconds:g} s"
        with left_out.unless_it_fits(seconds, prompt=None):
            expected[seconds] = dry_run_that_fits(
                pipe, twin, inputs, lambda unet: recorder.attach(unet, names), what, "leave out this length"
            )
    left_out.refuse_if(not expected)
    return expected, left_out.records


def _pieces(
    seconds: float,
    sites: Sequence[Site],
    grids: dict[str, Grid],
    queries: Sequence[tuple[int, int]],
    crops: Sequence[Crop],
) -> dict[str, list[Piece]]:
    try:
        return pieces_at(sites, grids, queries, crops)
    except InputError as error:
        raise InputError(f"at {seconds:g} s: {error}") from None


def _check_bytes(sites: Sequence[Site], pieces: dict[float, dict[str, list[Piece]]], times: int, limit: int) -> None:
    """Raises `InputError` where queries and crops, kept `times` times of each half, pass the limit."""
    a_time = sum(piece.bytes_for(site) for at in pieces.values() for site in sites for piece in at[site.name])
    needed = a_time * times * len(HALVES)
    if needed > limit:
        raise InputError(
            f"the queries and crops would take {needed / 1e6:.0f} MB ({needed} bytes) and array_bytes allows {limit}: "
            "ask for fewer, at fewer sites, steps or prompts, or allow more"
        )


def _grid_rows(run: DryRun) -> dict[str, list[int]]:
    return {name: [grid.time, grid.mel_rows] for name, grid in run.grids.items()}


@dataclass(frozen=True)
class _Item:
    """One prompt at one length; `weight` is its expected share of the work, in FLOPs."""

    prompt: int
    seconds: float
    weight: float

    @property
    def key(self) -> tuple[int, float]:
        return self.prompt, self.seconds


class _Capture:
    """Denoises items one by one and puts each recorded step on disk when it is over."""

    def __init__(self, pipe, conditioning, request, pieces, names, run: RunDirectory, schedule: Schedule):
        self.pipe = pipe
        self.conditioning: list[dict[str, Tensor]] = conditioning
        self.request: Request = request
        self.pieces: dict[float, dict[str, list[Piece]]] = pieces
        self.names: list[str] = names
        self.run = run
        self.schedule = schedule
        self.steps: int = run.info.parameters["steps"]
        self.device = device_of(pipe)
        self.clock = clock_for(self.device)
        self.plain_peaks: dict[float, int | None] = {}

    def measure(self, items: Sequence[_Item], skipped: Sequence[dict[str, Any]], progress: Progress) -> None:
        complete = {(r["prompt"], r["seconds"]) for r in self.run.records if r["kind"] == "pass"}
        self.run.keep(lambda record: (record["prompt"], record["seconds"]) in complete)
        self.run.append(*skipped)
        total = sum(item.weight for item in items)
        done = sum(item.weight for item in items if item.key in complete)
        try:
            for item in items:
                if item.key not in complete:
                    self._guarded(item, lambda share, text, i=item, d=done: progress(d + share * i.weight, total, text))
                    done += item.weight
        finally:
            if self.run.records:
                self.run.write_summary(attention_summary(self.run.info, self.run.records))
        self.run.note(ended=self.run.info.ended or now())

    def _guarded(self, item: _Item, progress) -> None:
        what = f"recording at {item.seconds:g} s"
        with naming_what_did_not_fit(self.pipe, what, "leave out this length", self.run.kept):
            self._measure(item, progress)

    def _measure(self, item: _Item, progress) -> None:
        if item.seconds not in self.plain_peaks:
            self.plain_peaks[item.seconds] = self._warm_up(item)
        request = replace(self.request, pieces=self.pieces[item.seconds])
        recorder = Recorder(request, map(self.schedule.first_call, self.run.info.parameters["capture_steps"]))
        title = f"{item.seconds:g} s, prompt {item.prompt + 1} of {len(self.conditioning)}"
        report_every = max(1, self.steps // 20)
        recorded = []

        def after_step(step: int) -> None:
            if site_records := recorder.take():
                recorded.append(step)
                self._keep(item, step, site_records)
            if (step + 1) % report_every == 0 or step + 1 == self.steps:
                progress((step + 1) / self.steps, f"{title}: step {step + 1} of {self.steps}")

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

    def _warm_up(self, item: _Item) -> int | None:
        """One plain step, untimed; the peak memory of the pipeline as it is."""
        with PeakMemory(self.device) as peak:
            first_steps(*self._generation(item), 1, self.run.info.seed, self.clock)
        return peak.peak_bytes

    def _generation(self, item: _Item) -> tuple:
        return self.pipe, self.conditioning[item.prompt], item.seconds

    def _keep(self, item: _Item, step: int, site_records: list[SiteRecord]) -> None:
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
