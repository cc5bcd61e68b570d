"""What an evaluation is asked for, checked as far as no pipeline is needed."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from focuslab.checks import several, switch
from focuslab.errors import InputError
from focuslab.measure.config import settle
from focuslab.measure.evaluation.launch import Share
from focuslab.measure.evaluation.metrics import parse_metrics
from focuslab.methods import as_methods
from focuslab.methods.base import check_count, check_seed
from focuslab.metrics.embedders import Embedder
from focuslab.models.callables import as_recorded

STEPS = 200
"""Denoising steps where none are given: AudioLDM2's own default, and the paper's."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What `focuslab.evaluate` generates and scores.

    A field of type Any takes several forms, which stand below, and holds one of them once it is checked.

    Attributes
    ----------
    seconds : float or iterable of float
        Lengths.
    methods : str, iterable of str, or mapping of str to method
        Names with parameters, or label -> method or plan. What is called "dense" is what others are compared with.
    seeds : int or iterable of int
        Each gives every caption a noise of its own, the same for all methods and lengths. It depends on the caption's
        text and not on its place.
    steps : int
        Denoising steps.
    metrics : str or iterable of str, optional
        Names or groups of `focuslab.measure.evaluation.metrics`. By default all of them, those of AST's classes only
        with a `tagger` or a model that is neither bundled nor random.
    reference : path, optional
        A directory of recordings (WAV, FLAC, OGG) to compare distributions and classes with. By default the dense clips
        are compared with.
    clap : path or str, optional
        The checkpoint that scores; "own" is the one that conditions the pipeline. By default LAION's
        630k-audioset-best, and "own" for bundled and random models.
    tagger : path, str or Embedder, optional
        The AST, or an embedder whose rows are logits.
    keep_audio : bool
        Keep the clips as WAV files, as `audio/` in the run directory.
    offline : bool
        Download no checkpoint.
    share : Share, optional
        Which of several processes this is. By default what the launcher says.
    """

    seconds: Iterable[float] | float = (10.0,)
    methods: Any = ("dense", "litefocus")
    seeds: Any = (0,)
    steps: int = STEPS
    metrics: Any = None
    reference: str | os.PathLike | None = None
    clap: str | os.PathLike | None = None
    tagger: str | os.PathLike | Embedder | None = None
    keep_audio: bool = False
    offline: bool = False
    share: Share | None = None

    def __post_init__(self):
        seeds = [check_seed(seed) for seed in several(self.seeds)]
        if not seeds or len(set(seeds)) < len(seeds):
            raise InputError(f"expected one or more different seeds, not {seeds}")
        settle(self, methods=as_methods(self.methods), seeds=seeds, steps=check_count("steps", self.steps))
        settle(self, keep_audio=switch("keep_audio", self.keep_audio), share=self.share or Share.of_launcher())
        if self.metrics is not None:
            settle(self, metrics=parse_metrics(self.metrics))

    def to_json(self) -> dict[str, Any]:
        """The parameters that run.json holds; lengths, metrics and what scores are those of the pipeline."""
        return {
            "methods": {label: as_recorded(method) for label, method in self.methods.items()},
            "seeds": self.seeds,
            "steps": self.steps,
            "keep_audio": self.keep_audio,
        }
