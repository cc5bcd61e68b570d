"""What methods do to the sound: generate, embed, score, item by item, over as many processes as there are."""

import os
from collections.abc import Iterable, Mapping

import torch

from focuslab.errors import InputError
from focuslab.hooks.compiled import compiling_every_variant
from focuslab.io.captions import Caption
from focuslab.measure.evaluation.clips import Sounds
from focuslab.measure.evaluation.job import STEPS, prepare
from focuslab.measure.evaluation.launch import Share
from focuslab.measure.evaluation.shared import SharedDirectory
from focuslab.measure.evaluation.worker import Worker
from focuslab.methods import AnyMethod
from focuslab.metrics.embedders import Embedder
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
    seeds: Iterable[int] | int = (0,),
    steps: int = STEPS,
    metrics: Iterable[str] | str | None = None,
    reference: str | os.PathLike | None = None,
    clap: str | os.PathLike | None = None,
    tagger: str | os.PathLike | Embedder | None = None,
    keep_audio: bool = False,
    offline: bool = False,
    out: str | os.PathLike | None = None,
    force: bool = False,
    share: Share | None = None,
    progress: Progress | None = None,
) -> EvaluationRun | None:
    """Generate every prompt at every length by every method with every seed, score each sound, and make one table.

    methods: names with parameters, or label -> method or plan; what is called "dense" is what others are compared with.
    seeds: each gives every prompt a noise of its own, the same for all methods and lengths; it depends on the prompt's
    text and not on its place. metrics: names or groups of `focuslab.measure.evaluation.metrics`; None is all of them,
    those of AST's classes only with a `tagger` or a model that is neither bundled nor random. reference: a directory of
    recordings (WAV, FLAC, OGG) to compare distributions and classes with; None is the dense sound. clap: the checkpoint
    that scores, "own" for the one that conditions the pipeline; None is LAION's 630k-audioset-best, for bundled and
    random models "own". tagger: the AST, or an embedder whose rows are logits. offline: no checkpoint is downloaded.
    out: a run directory. It may hold a run that was stopped, or one of other lengths, methods and seeds, or of more or
    fewer captions of the same list: only what is missing is made, and the result is the table of what is asked for
    here, while the directory's own is of everything in it. None keeps nothing but the result. keep_audio: WAVs as
    `audio/` in it. share: which of several processes this is; None is what the launcher says. They meet in `out` alone:
    each does its share, and the one that finds everything done makes the table. The others return None.

    Raises `InputError` before anything is generated or written for a wrong argument, fewer clips than a metric needs,
    or an embedder that is not there.
    """
    share = share or Share.of_launcher()
    if share.world > 1 and (out is None or force):
        raise InputError(
            "several processes meet in a directory: give out, the same for all"
            if out is None
            else "force would let several processes remove each other's work: give another out"
        )
    job = prepare(
        pipe,
        prompts,
        seconds,
        methods,
        seeds=seeds,
        steps=steps,
        metrics=metrics,
        reference=reference,
        clap=clap,
        tagger=tagger,
        keep_audio=keep_audio,
        offline=offline,
    )
    with (
        place_of(out) as place,
        SharedDirectory(place, job.info, share.rank, force=force) as run,
        compiling_every_variant(pipe.unet),
    ):
        sounds = Sounds(pipe, job.methods, steps)
        worker = Worker(job, sounds, run, share, progress if progress and share.rank == 0 else lambda *_: None)
        finished = worker.finish() if worker.work() else None
        if finished is None:
            return None
        summary, records = finished
        return EvaluationRun(run.asked, summary, tuple(records), run.path if out is not None else None)
