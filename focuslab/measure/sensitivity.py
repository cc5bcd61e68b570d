"""How much the UNet's output moves when one group of sites runs a candidate, and when several groups do at once."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from focuslab.analysis.sensitivity import sensitivity_summary
from focuslab.checks import make_config, settle
from focuslab.hooks.compiled import eagerly
from focuslab.io.captions import check_prompts
from focuslab.measure.loop import Loop, dry_runs, grid_rows
from focuslab.measure.sensitivity_pass import Latents, SensitivityPass, key_of
from focuslab.methods import Bound, parse_methods
from focuslab.methods.base import check_count, check_seed
from focuslab.models.conditioning import encode_prompt
from focuslab.models.families import check_mel_latents
from focuslab.models.identity import run_info, unet_layout
from focuslab.models.lengths import check_lengths, training_seconds
from focuslab.models.schedule import schedule_of
from focuslab.models.sites import find_sites
from focuslab.results import SensitivityRun
from focuslab.runs import SKIPPED, Progress
from focuslab.runs.directory import RunDirectory, place_of
from focuslab.search.experiments import experiments_of, groups_of, parse_choice, recorded_steps


@dataclass(frozen=True)
class SensitivityConfig:
    """What a sensitivity pass measures."""

    prompts: Sequence[str]
    seconds: Sequence[float]  # lengths of audio
    steps: int = 20  # denoising steps of a generation
    seed: int = 0
    # Labels, without sites, of what is tried beside the paper's method where attention costs much.
    methods: Sequence[str] | None = None

    def __post_init__(self):
        settle(self, prompts=check_prompts(self.prompts), steps=check_count("steps", self.steps))
        settle(self, seed=check_seed(self.seed))
        if self.methods is not None:
            settle(self, methods=list(parse_methods(self.methods)))


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
    pipe : DiffusionPipeline
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
    check_mel_latents(pipe)
    config = make_config(SensitivityConfig, {"prompts": prompts, "seconds": seconds, **options})
    lengths = check_lengths(pipe, config.seconds)
    schedule_of(pipe, config.steps)
    conditioning = [encode_prompt(pipe, prompt) for prompt in config.prompts]
    expected, skipped = _expect(pipe, conditioning[0], lengths)
    blocks = {site.name: site.block for site in find_sites(pipe)}
    groups = {s: groups_of(blocks, e.flop_share, config.methods) for s, e in expected.items()}
    recorded = {s: recorded_steps(config.steps, len(config.prompts), s) for s in lengths}
    parameters = {
        "seconds": lengths,
        "steps": config.steps,
        "recorded_steps": {f"{s:g}": steps for s, steps in recorded.items()},
        "groups": {f"{s:g}": [group.to_json() for group in own] for s, own in groups.items()},
        "unet": unet_layout(pipe),
        "training_seconds": training_seconds(pipe),
    }
    info = run_info(pipe, "sensitivity", parameters, seed=config.seed, prompts=config.prompts)
    with (
        place_of(out) as place,
        RunDirectory(place, info, force=force) as run,
        eagerly(pipe.unet, "errors of its output are measured"),
    ):
        run.keep(lambda record: record["kind"] != SKIPPED)
        run.append(*skipped)
        run.note(grids={f"{s:g}": e.grids for s, e in expected.items()})
        places = []
        for s in lengths:
            if s not in {record["seconds"] for record in skipped}:
                choices = experiments_of(groups[s], map(parse_choice, (joint or {}).get(s, ())))
                at = [(prompt, step) for prompt, steps in enumerate(recorded[s]) for step in steps]
                places += [Latents(s, *place, groups[s], choices, expected[s].flops) for place in at]
        work = SensitivityPass(pipe, conditioning, run)
        done = {place.key for place in places if place.experiments.keys() <= work.done}
        loop = Loop(pipe, run, lambda: sensitivity_summary(run.records), "leave out this length", progress)
        loop.measure(places, done, work.measure)
        asked_for = {key for place in places for key in place.experiments}
        records = tuple(r for r in run.records if r["kind"] in ("trajectory", SKIPPED) or key_of(r) in asked_for)
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
    width = {site.name: site.heads * site.head_width for site in find_sites(pipe)}
    runs, skipped = dry_runs(pipe, conditioning, lengths, "the sensitivity pass", Bound(sites="*"))
    expected = {}
    for seconds, run in runs.items():
        # Two products of N x N x width, two operations each, for both halves of the guidance batch.
        cores = {name: 8 * grid.tokens**2 * width[name] for name, grid in run.grids.items()}
        flops = run.total_flops + sum(cores.values())
        shares = {name: core / flops for name, core in cores.items()}
        expected[seconds] = _Expected(flops, shares, grid_rows(run))
    return expected, skipped
