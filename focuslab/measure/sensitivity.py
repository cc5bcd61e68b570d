"""How much the UNet's output moves when one group of sites runs a candidate, and when several groups do at once."""

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from focuslab.analysis.sensitivity import sensitivity_summary
from focuslab.hooks.compiled import eagerly
from focuslab.hooks.latents import latents_at
from focuslab.hooks.memory import LeftOut, check_fits
from focuslab.hooks.meta_cost import dry_run, meta_unet
from focuslab.hooks.output_error import Probe
from focuslab.io.prompts import check_prompts
from focuslab.measure.loop import Item, Say, measure_all
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
from focuslab.runs.directory import RunDirectory, place_of, read_arrays
from focuslab.runs.method_spec import MethodSpec
from focuslab.search.experiments import Group, choice_key, groups_of, joint_ablations, parse_choice, recorded_steps


@dataclass(frozen=True)
class SensitivityConfig:
    """What a sensitivity pass measures.

    Attributes
    ----------
    prompts : list of str
    seconds : list of float
        Lengths of audio.
    steps : int
        Denoising steps of a generation.
    seed : int
    methods : list of str or None
        Labels, without sites, of what is tried beside the paper's method where attention costs much, and elsewhere as
        far as they are candidates there. None is what `focuslab.search.tried` says.
    """

    prompts: Sequence[str]
    seconds: Sequence[float]
    steps: int = 20
    seed: int = 0
    methods: Sequence[str] | None = None

    def checked(self, pipe) -> "SensitivityConfig":
        """The same in Python's types. Raises `InputError` for what cannot be measured with this pipeline."""
        check_mel_latents(pipe)
        steps = check_count("steps", self.steps)
        schedule_of(pipe, steps)
        return SensitivityConfig(
            check_prompts(self.prompts),
            check_lengths(pipe, self.seconds),
            steps,
            check_seed(self.seed),
            None if self.methods is None else list(parse_methods(self.methods)),
        )


@torch.no_grad()
def measure_sensitivity(
    pipe,
    prompts: Iterable[str] | str,
    seconds: Iterable[float] | float = (10.0,),
    *,
    joint: Mapping[float, Sequence[Mapping[str, str]]] | None = None,
    out: str | os.PathLike | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> SensitivityRun:
    """Measure the relative error of the guided UNet output with each candidate at each group of sites.

    Each prompt is denoised densely with guidance, and what the UNet is given at a few of the steps is kept
    (`focuslab.search.experiments.recorded_steps`). There the UNet is called once for every candidate of every block,
    and for joint ablations, from which one learns how errors of blocks combine. Blocks before the sparse ones are not
    computed again. A length whose predicted memory is not free is skipped; the summary names it with the bytes.

    Parameters
    ----------
    pipe : AudioLDM2Pipeline
    prompts : str or iterable of str
    seconds : float or iterable of float
        Lengths of audio.
    joint : mapping, optional
        More joint ablations by length, each block -> label. They may be others when a run is resumed, and what is
        returned has the records of those asked for now.
    out : path, optional
        A run directory. The same run is resumed at the first error that is missing. None keeps the records in memory.
    force : bool
        Replace another run in `out`.
    progress : callable, optional
    **options
        The other fields of `SensitivityConfig`.

    Returns
    -------
    SensitivityRun

    Raises
    ------
    InputError
        Before anything is run or written, for a wrong argument, a pipeline without mel latents, or where no length
        fits into the memory that is free.
    FocuslabError
        Where an output is not finite.
    """
    config = SensitivityConfig(prompts, seconds, **options).checked(pipe)
    conditioning = [encode_prompt(pipe, prompt) for prompt in config.prompts]
    expected, skipped = _expect(pipe, conditioning[0], config.seconds)
    blocks = {site.name: site.block for site in find_sites(pipe)}
    groups = {s: groups_of(blocks, e.flop_share, config.methods) for s, e in expected.items()}
    recorded = {s: recorded_steps(config.steps, len(config.prompts), s) for s in config.seconds}
    info = run_info(
        pipe,
        "sensitivity",
        {
            "seconds": config.seconds,
            "steps": config.steps,
            "recorded_steps": {f"{s:g}": steps for s, steps in recorded.items()},
            "groups": {f"{s:g}": [group.to_json() for group in own] for s, own in groups.items()},
            "unet": unet_layout(pipe),
            "training_seconds": training_seconds(pipe),
        },
        seed=config.seed,
        prompts=config.prompts,
    )
    with (
        place_of(out) as place,
        RunDirectory(place, info, force=force) as run,
        eagerly(pipe.unet, "errors of its output are measured"),
    ):
        run.keep(lambda record: record["kind"] != SKIPPED)
        run.append(*skipped)
        run.note(grids={f"{s:g}": e.grids for s, e in expected.items()})
        sensitivity = _Pass(pipe, conditioning, run)
        items = []
        for s in config.seconds:
            if s in {record["seconds"] for record in skipped}:
                continue
            more = [parse_choice(choice) for choice in (joint or {}).get(s, ())]
            experiments = [*_single(groups[s]), *_joint(groups[s], more)]
            for prompt, steps in enumerate(recorded[s]):
                items += [sensitivity.item(s, prompt, step, experiments, expected[s].flops) for step in steps]
        done = {_key(record) for record in run.records if record["kind"] in ("sensitivity", "joint")}
        measure_all(pipe, run, items, done, lambda: sensitivity_summary(run.records), progress)
        asked_for = {key for item in items for key in item.parts}
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
class _Experiment:
    """What is recorded beside an error, and the methods that are attached for it."""

    of: dict[str, Any]
    methods: list[Attachable]


def _single(groups: Sequence[Group]) -> list[_Experiment]:
    return [
        _Experiment(
            {"kind": "sensitivity", "group": group.name, "method": str(method)}, [method_at(method, group.sites)]
        )
        for group in groups
        for method in group.methods
    ]


def _joint(groups: Sequence[Group], more: Sequence[Mapping[str, MethodSpec]]) -> list[_Experiment]:
    sites = {group.name: group.sites for group in groups}
    return [
        _Experiment(
            {"kind": "joint", "choice": {name: str(method) for name, method in choice.items()}},
            [method_at(method, sites[name]) for name, method in choice.items()],
        )
        for choice in joint_ablations(groups, more)
    ]


def method_at(method: MethodSpec, sites: Sequence[str]) -> Attachable:
    """The method that a spec names, at these sites."""
    return replace(parse_method(str(method)), sites=tuple(sites))


def _key(record: Mapping[str, Any]) -> Hashable:
    at = (record["kind"], record["seconds"], record["prompt"], record["step"])
    if record["kind"] == "joint":
        return *at, choice_key(parse_choice(record["choice"]))
    return *at, record["group"], MethodSpec.parse(record["method"]).without_sites()


class _Pass:
    """Measures error after error and puts each on disk at once."""

    def __init__(self, pipe, conditioning: Sequence[dict[str, Tensor]], run: RunDirectory):
        self.pipe = pipe
        self.conditioning = conditioning
        self.run = run
        self.steps: int = run.info.parameters["steps"]

    def item(self, seconds: float, prompt: int, step: int, experiments: Sequence[_Experiment], work: float) -> Item:
        """The errors at the latents of one step of one prompt; `work` is that of one of them, in FLOPs."""
        place = {"seconds": seconds, "prompt": prompt, "step": step}
        by_key = {}
        for experiment in experiments:
            of = {"kind": experiment.of["kind"], **place, **experiment.of}
            by_key[_key(of)] = _Experiment(of, experiment.methods)

        def measure(keys: Sequence[Hashable], say: Say) -> None:
            title = f"{seconds:g} s, prompt {prompt + 1} of {len(self.conditioning)}, step {step}"
            every = max(1, len(keys) // 5)
            for count, _ in enumerate(self._measure(place, [by_key[key] for key in keys]), start=1):
                if count % every == 0 or count == len(keys):
                    say(count * work, f"{title}: {count} of {len(keys)} errors")

        return Item(f"the sensitivity pass at {seconds:g} s", dict.fromkeys(by_key, work), measure)

    def _measure(self, place: Mapping[str, Any], experiments: Sequence[_Experiment]) -> Iterable[None]:
        """Yields after each error."""
        sample = self._latents(place)
        before = perf_counter()
        scheduler, step = self.pipe.scheduler, place["step"]
        scheduler.set_timesteps(self.steps, device=device_of(self.pipe))
        timestep = scheduler.timesteps[current_schedule(scheduler).first_call(step)].item()
        probe = Probe(self.pipe, self.conditioning[place["prompt"]], sample, step)
        for experiment in experiments:
            error = probe.error(experiment.methods)
            elapsed, before = perf_counter() - before, perf_counter()
            self.run.append({**experiment.of, "timestep": timestep, "error": error, "seconds_elapsed": elapsed})
            yield

    def _latents(self, place: Mapping[str, Any]) -> Tensor:
        """From disk, where this run has put them before, or else from a dense generation."""
        seconds, prompt = place["seconds"], place["prompt"]
        name = f"latents-{seconds:g}s-prompt{prompt}"
        key = f"{name}-step{place['step']}"
        if key not in self._kept:
            wanted = self.run.info.parameters["recorded_steps"][f"{seconds:g}"][prompt]
            before = perf_counter()
            found = latents_at(self.pipe, self.conditioning[prompt], seconds, self.steps, wanted, self.run.info.seed)
            arrays = {f"{name}-step{step}": sample.float().numpy() for step, sample in found.items()}
            self.run.write_arrays(name, arrays)
            self.run.append({"kind": "trajectory", **place, "seconds_elapsed": perf_counter() - before})
            self._kept.update(arrays)
        return torch.from_numpy(self._kept[key])

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return read_arrays(self.run.path)
