"""What methods do to the sound: generate, embed and score, item by item, over as many processes as there are."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from focuslab.errors import InputError
from focuslab.hooks.compiled import compiling_every_variant
from focuslab.io.captions import Caption
from focuslab.measure.evaluation.config import Share
from focuslab.measure.evaluation.job import Job, prepare
from focuslab.measure.evaluation.scorer import ClipMaker
from focuslab.measure.evaluation.shared import SharedDirectory
from focuslab.measure.evaluation.worker import Worker
from focuslab.methods import AnyMethod
from focuslab.models.schedulers import using_scheduler
from focuslab.results import EvaluationRun
from focuslab.runs import Progress
from focuslab.runs.directory import place_of


@torch.no_grad()
def evaluate(
    pipe,
    prompts: Iterable[str | Caption] | str | Caption,
    seconds: Iterable[float] | float = (10.0,),
    methods: Iterable[str] | str | Mapping[str, AnyMethod] = ("dense", "litefocus"),
    *,
    out: str | os.PathLike | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> EvaluationRun | None:
    """Generate every prompt at every length by every method with every seed, score each clip, and make one table.

    Parameters
    ----------
    pipe
        The pipeline.
    prompts : str, Caption, or iterable of them
        A Caption may name the recording that it belongs to.
    seconds : float or iterable of float
        Lengths.
    methods : str, iterable of str, or mapping of str to method
        Names with parameters, or label -> method or plan. What is called "dense" is what others are compared with.
    out : path, optional
        A run directory. One that holds the same run is resumed, and a run of fewer captions of the same list, lengths,
        methods or seeds is extended. The result is the table of what is asked for here; the directory's own is of
        everything in it. By default nothing but the result is kept. Several processes share one directory: each does
        its share, and the one that finds everything done makes the table.
    force : bool
        Replace another run in `out`.
    progress : Progress, optional
    **options
        Fields of `focuslab.measure.evaluation.config.EvaluationConfig`: `seeds`, `steps`, `metrics`, `reference`,
        `clap`, `tagger`, `keep_audio`, `offline`, `share`, `scheduler`.

    Returns
    -------
    EvaluationRun or None
        None in a process that leaves the table to another one.

    Raises
    ------
    InputError
        Before anything is generated or written: a wrong argument, fewer clips than a metric needs, or an embedder that
        is not there.
    """
    share = options.get("share") or Share.of_launcher()
    if share.world > 1 and (out is None or force):
        raise InputError(
            "several processes meet in a directory: give out, the same for all"
            if out is None
            else "force would let several processes remove each other's work: give another out"
        )
    with using_scheduler(pipe, options.get("scheduler")):
        job = prepare(pipe, prompts, seconds, methods, **{**options, "share": share})
        return _run(pipe, job, out, force, progress)


def _run(pipe, job: Job, out: str | os.PathLike | None, force: bool, progress: Progress | None) -> EvaluationRun | None:
    share = job.config.share or Share()
    with (
        place_of(out) as place,
        SharedDirectory(place, job.info, share.rank, force=force) as run,
        compiling_every_variant(pipe.unet),
    ):
        maker = ClipMaker(pipe, job.config.methods, job.config.steps)
        worker = Worker(job, maker, run, share, progress if progress and share.rank == 0 else lambda *_: None)
        finished = worker.finish() if worker.work() else None
        if finished is None:
            return None
        summary, records = finished
        return EvaluationRun(run.asked, summary, tuple(records), run.path if out is not None else None)
