"""How much the UNet's output moves when one group of sites runs a candidate, and when several groups do at once."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from focuslab.analysis.sensitivity import sensitivity_summary
from focuslab.checks import switch
from focuslab.hooks.compiled import eagerly
from focuslab.hooks.latents import latents_at
from focuslab.hooks.memory import LeftOut, check_fits, naming_what_did_not_fit
from focuslab.hooks.meta_cost import dry_run, meta_unet
from focuslab.hooks.output_error import Probe
from focuslab.io.prompts import check_prompts
from focuslab.methods import Bound, parse_method, parse_methods
from focuslab.methods.base import Attachable, check_count, check_seed
from focuslab.models.conditioning import encode_prompt, unet_inputs
from focuslab.models.identity import run_info, unet_layout
from focuslab.models.latents import check_mel_latents
from focuslab.models.lengths import check_lengths, training_seconds
from focuslab.models.placement import device_of
from focuslab.models.schedule import current_schedule, schedule_of
from focuslab.models.sites import find_sites
from focuslab.results import SensitivityRun
from focuslab.runs import SKIPPED, Progress
from focuslab.runs.arrays import read_arrays
from focuslab.runs.directory import RunDirectory, now, place_of
from focuslab.runs.method_spec import without_sites
from focuslab.search.experiments import Choice, Group, choice_key, groups_of, joint_choices, recorded_steps

DEFAULT_STEPS = 20


@torch.no_grad()
def measure_sensitivity(
    pipe,
    prompts: Iterable[str] | str,
    seconds: Iterable[float] | float = (10.0,),
    *,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    per_site: bool = False,
    methods: Iterable[str] | str | None = None,
    joint: Mapping[float, Sequence[Choice]] | None = None,
    out: str | os.PathLike | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> SensitivityRun:
    """The relative error of the guided UNet output with each candidate at each group of sites, at the same latents.

    Each prompt is denoised densely with guidance, and what the UNet is given at a few of the `steps` is kept
    (`focuslab.search.experiments.recorded_steps`). There the UNet is called once for every candidate of every group,
    and for joint choices, from which one learns how errors of groups combine. Blocks before the group are not computed
    again.

    A group is a block; with `per_site` the blocks whose attention costs much are taken apart into their sites.
    `focuslab.search.candidates` says what is tried where; with `methods` (labels without sites) it is these beside the
    paper's where attention costs much, and elsewhere as far as they are candidates there. joint: more joint choices by
    length, beside those made here; they may be others when a run is gone on with, and what is returned has the records
    of those asked for now. out: a run directory; one that holds the same run is gone on with at the first error that is
    missing. None keeps the records in memory only.

    A length whose predicted memory is not free is skipped; the summary names it with the bytes.

    Raises `InputError` before anything is run or written for a wrong argument, a pipeline without mel latents, or where
    no length fits into the memory that is free; `FocuslabError` where an output is not finite.
    """
    check_mel_latents(pipe)
    prompts = check_prompts(prompts)
    lengths = check_lengths(pipe, seconds)
    steps, seed = check_count("steps", steps), check_seed(seed)
    per_site = switch("per_site", per_site)
    methods = None if methods is None else list(parse_methods(methods))
    schedule_of(pipe, steps)
    conditioning = [encode_prompt(pipe, prompt) for prompt in prompts]
    expected, skipped = _expect(pipe, conditioning[0], lengths)
    blocks = {site.name: site.block for site in find_sites(pipe)}
    groups = {s: groups_of(blocks, e.flop_share, per_site, methods) for s, e in expected.items()}
    info = run_info(
        pipe,
        "sensitivity",
        {
            "seconds": lengths,
            "steps": steps,
            "recorded_steps": {f"{s:g}": recorded_steps(steps, len(prompts), s) for s in lengths},
            "groups": {f"{s:g}": [{**vars(group)} for group in gs] for s, gs in groups.items()},
            "unet": unet_layout(pipe),
            "training_seconds": training_seconds(pipe),
        },
        seed=seed,
        prompts=prompts,
    )
    with (
        place_of(out) as place,
        RunDirectory(place, info, force=force) as run,
        eagerly(pipe.unet, "errors of its output are measured"),
    ):
        run.keep(lambda record: record["kind"] != SKIPPED)
        run.append(*skipped)
        run.note(grids={f"{s:g}": e.grids for s, e in expected.items()})
        work = [
            _Latents(p, s, step, groups[s], joint_choices(groups[s], (joint or {}).get(s, ())), expected[s].flops)
            for s in lengths
            if s not in {record["seconds"] for record in skipped}
            for p in range(len(prompts))
            for step in info.parameters["recorded_steps"][f"{s:g}"][p]
        ]
        _Pass(pipe, conditioning, run).measure(work, progress or (lambda *_: None))
        asked_for = {key for latents in work for key in latents.trials()}
        records = tuple(r for r in run.records if r["kind"] in ("trajectory", SKIPPED) or _key(r) in asked_for)
        return SensitivityRun(run.info, sensitivity_summary(records), records, run.path if out else None)


@dataclass(frozen=True)
class _Expected:
    """flops: of a dense step. flop_share: site -> share of them in its attention core. grids: site -> [T, F]."""

    flops: int
    flop_share: dict[str, float]
    grids: dict[str, list[int]]


def _expect(
    pipe, conditioning: dict[str, Tensor], lengths: Sequence[float]
) -> tuple[dict[float, _Expected], list[dict[str, Any]]]:
    """Of a dry run at each length, and records of lengths at which a dense step does not fit into memory.

    Raises `InputError` where it fits nowhere.
    """
    twin = meta_unet(pipe.unet)
    width = {site.name: site.heads * site.head_width for site in find_sites(pipe)}
    expected, left_out = {}, LeftOut()
    for seconds in lengths:
        run = dry_run(twin, unet_inputs(pipe, conditioning, seconds), Bound(sites="*"), device_of(pipe))
        with left_out.unless_it_fits(seconds):
            check_fits(pipe, run.peak_bytes, f"the sensitivity pass at {seconds:g} s", "leave out this length")
        # Two products of N x N x width, two operations each, for both halves of the guidance batch.
        cores = {name: 8 * grid.tokens**2 * width[name] for name, grid in run.grids.items()}
        flops = run.total_flops + sum(cores.values())
        expected[seconds] = _Expected(
            flops,
            {name: core / flops for name, core in cores.items()},
            {name: [grid.time, grid.mel_rows] for name, grid in run.grids.items()},
        )
    left_out.refuse_if(len(left_out.records) == len(lengths))
    return expected, left_out.records


@dataclass(frozen=True)
class _Latents:
    """One step of one prompt at one length, and what is tried there; `weight` is the work of one error, in FLOPs."""

    prompt: int
    seconds: float
    step: int
    groups: Sequence[Group]
    joint: Sequence[Choice]
    weight: float

    @property
    def place(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "prompt": self.prompt, "step": self.step}

    def trials(self) -> dict[tuple, tuple[dict[str, Any], list[Attachable]]]:
        """Key -> what is recorded beside the error, and the methods that are attached for it."""
        found = {}
        for group in self.groups:
            for label in group.methods:
                what = {"kind": "sensitivity", **self.place, "group": group.name, "method": label}
                found[_key(what)] = what, [method_at(label, group.sites)]
        sites = {group.name: group.sites for group in self.groups}
        for choice in self.joint:
            what = {"kind": "joint", **self.place, "choice": dict(choice)}
            found[_key(what)] = what, [method_at(label, sites[name]) for name, label in choice.items()]
        return found


def method_at(label: str, sites: Sequence[str]) -> Attachable:
    """The method of a label at these sites."""
    return replace(parse_method(label), sites=tuple(sites))


def _key(record: Mapping[str, Any]) -> tuple:
    at = (record["kind"], record["seconds"], record["prompt"], record["step"])
    if record["kind"] == "joint":
        return (*at, choice_key(record["choice"]))
    return (*at, record.get("group"), without_sites(record.get("method", "")))


class _Pass:
    """Measures error after error and puts each on disk at once."""

    def __init__(self, pipe, conditioning: Sequence[dict[str, Tensor]], run: RunDirectory):
        self.pipe = pipe
        self.conditioning = conditioning
        self.run = run
        self.steps: int = run.info.parameters["steps"]

    def measure(self, work: Sequence[_Latents], progress: Progress) -> None:
        done_before = {_key(record) for record in self.run.records if record["kind"] != SKIPPED}
        all_trials = [(latents, latents.trials()) for latents in work]
        total = sum(latents.weight * len(trials) for latents, trials in all_trials)
        left = [(latents, {k: v for k, v in trials.items() if k not in done_before}) for latents, trials in all_trials]
        done = total - sum(latents.weight * len(trials) for latents, trials in left)
        try:
            for latents, trials in left:
                for text in self._guarded(latents, list(trials.values())):
                    done += latents.weight
                    if text:
                        progress(done, total, text)
        finally:
            self.run.write_summary(sensitivity_summary(self.run.records))
        self.run.note(ended=self.run.info.ended or now())

    def _guarded(self, latents: _Latents, trials) -> Iterator[str | None]:
        what = f"the sensitivity pass at {latents.seconds:g} s"
        with naming_what_did_not_fit(self.pipe, what, "leave out this length", self.run.kept):
            if trials:
                yield from self._measure(latents, trials)

    def _measure(self, latents: _Latents, trials) -> Iterator[str | None]:
        """Measures one error at a time; yields for each what to say of it, now and then."""
        title = f"{latents.seconds:g} s, prompt {latents.prompt + 1} of {len(self.conditioning)}, step {latents.step}"
        report_every = max(1, len(trials) // 5)
        sample = self._latents_of(latents)
        before = perf_counter()
        scheduler = self.pipe.scheduler
        scheduler.set_timesteps(self.steps, device=device_of(self.pipe))
        timestep = scheduler.timesteps[current_schedule(scheduler).first_call(latents.step)].item()
        probe = Probe(self.pipe, self.conditioning[latents.prompt], sample, latents.step)
        for count, (what, methods) in enumerate(trials, start=1):
            error = probe.error(methods)
            elapsed, before = perf_counter() - before, perf_counter()
            self.run.append({**what, "timestep": timestep, "error": error, "seconds_elapsed": elapsed})
            said = count % report_every == 0 or count == len(trials)
            yield f"{title}: {count} of {len(trials)} errors" if said else None

    def _latents_of(self, latents: _Latents) -> Tensor:
        """From disk, where this run has put them before, or else from a dense generation."""
        name = f"latents-{latents.seconds:g}s-prompt{latents.prompt}"
        key = f"{name}-step{latents.step}"
        if key not in self._kept:
            wanted = self.run.info.parameters["recorded_steps"][f"{latents.seconds:g}"][latents.prompt]
            conditioning = self.conditioning[latents.prompt]
            before = perf_counter()
            found = latents_at(self.pipe, conditioning, latents.seconds, self.steps, wanted, self.run.info.seed)
            arrays = {f"{name}-step{step}": sample.float().numpy() for step, sample in found.items()}
            self.run.write_arrays(name, arrays)
            self.run.append({"kind": "trajectory", **latents.place, "seconds_elapsed": perf_counter() - before})
            self._kept.update(arrays)
        return torch.from_numpy(self._kept[key])

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return read_arrays(self.run.path)
