"""What an evaluation is asked for: the metrics by name, and which share of it this process does."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from focuslab.checks import settle, several, switch
from focuslab.errors import InputError, did_you_mean
from focuslab.methods import as_methods
from focuslab.methods.base import check_count, check_seed
from focuslab.metrics.embedders import Embedder
from focuslab.models.callables import as_recorded
from focuslab.models.schedulers import check_scheduler_name

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Process `rank` of `world`, as `accelerate launch` and `torchrun` tell it; `local_rank` counts those on a machine.

    Nothing is sent between the processes: each knows its share of the work, and they meet in the run directory alone.
    So none waits for another to start, to finish or to live, and the tasks of a batch system's array do as well as a
    launcher (accelerate's own `PartialState` would have all of them join one process group first).
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @classmethod
    def of_launcher(cls, environment: Mapping[str, str] = os.environ) -> "Share":
        """What RANK, WORLD_SIZE and LOCAL_RANK say; the only process where they say nothing. Raises `InputError`."""
        share = cls(*(_number(environment, name, default) for name, default in _VARIABLES.items()))
        if share.rank >= share.world:
            raise InputError(
                f"RANK is {share.rank} and WORLD_SIZE {share.world}: expected a RANK from 0 to WORLD_SIZE - 1, as "
                "accelerate launch and torchrun set them"
            )
        return share

    def of(self, work: Sequence[T]) -> Sequence[T]:
        """Every `world`th piece of the work, from the `rank`th on."""
        return work[self.rank :: self.world]

    def device(self, wanted: str) -> str:
        """The device that is `wanted` of this process: of several GPUs its own, unless it names one."""
        import torch

        if self.world == 1 or wanted not in ("auto", "cuda") or not torch.cuda.is_available():
            return wanted
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"


_VARIABLES = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < default:
        raise InputError(f"the environment says {name}={text}: expected a whole number of at least {default}")
    return number


class Metric(NamedTuple):
    """embedder: whose rows it is made of, None for the clip itself. against: "reference" is the recordings where
    there are some, else the dense clip; "dense" always the dense clip of the same noise; None nothing."""

    title: str
    unit: str
    better: Literal["lower", "higher"] | None
    embedder: Literal["clap", "ast"] | None
    against: Literal["reference", "dense"] | None


METRICS = {
    "frechet": Metric("Frechet distance of CLAP embeddings", "", "lower", "clap", "reference"),
    "kernel": Metric("Kernel distance of CLAP embeddings", "", "lower", "clap", "reference"),
    "kl_softmax": Metric("KL divergence of classes, softmax", "nats", "lower", "ast", "reference"),
    "kl_sigmoid": Metric("KL divergence of classes, sigmoid", "nats", "lower", "ast", "reference"),
    "clap": Metric("CLAP score", "cosine", "higher", "clap", None),
    "log_mel_l1": Metric("Log-mel L1 distance", "nats", "lower", None, "dense"),
    "rms_ratio": Metric("RMS ratio, geometric mean", "", None, None, "dense"),
    "centroid_ratio": Metric("Spectral centroid ratio, geometric mean", "", None, None, "dense"),
    "silence_share": Metric("Share of silent frames", "", None, None, None),
    "clipping_share": Metric("Share of clipped samples", "", "lower", None, None),
}
GROUPS = {
    "fad": ("frechet", "kernel"),
    "kl": ("kl_softmax", "kl_sigmoid"),
    "clap": ("clap",),
    "fidelity": ("log_mel_l1", "rms_ratio", "centroid_ratio", "silence_share", "clipping_share"),
}
"""Names of the command line -> what they stand for."""
_OLDER = {"closeness": "fidelity"}
"""Names of earlier versions, which scripts may use."""
FEWEST = {"frechet": 2, "kernel": 3}
"""Clips of one length and method that a metric needs, where that is more than one."""


def parse_metrics(names: Iterable[str] | str) -> tuple[str, ...]:
    """The metrics that names, or names of groups, stand for, in the order of `METRICS`. Raises `InputError`."""
    names = [_OLDER.get(name, name) if isinstance(name, str) else name for name in several(names)]
    known = (*GROUPS, *METRICS)
    for name in names:
        if name not in known:
            raise InputError(
                f"there is no metric {name!r}, only {', '.join(dict.fromkeys(known))}{did_you_mean(str(name), known)}"
            )
    if not names:
        raise InputError(f"no metric was named: expected some of {', '.join(GROUPS)}")
    meant = {metric for name in names for metric in GROUPS.get(name, (name,))}
    return tuple(metric for metric in METRICS if metric in meant)


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
    scheduler : str, optional
        A name of `focuslab.models.schedulers`. By default the pipeline's own.
    metrics : str or iterable of str, optional
        Names or groups of `focuslab.measure.evaluation.config`. By default all of them, those of AST's classes only
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
    scheduler: str | None = None

    def __post_init__(self):
        seeds = [check_seed(seed) for seed in several(self.seeds)]
        if not seeds or len(set(seeds)) < len(seeds):
            raise InputError(f"expected one or more different seeds, not {seeds}")
        settle(self, methods=as_methods(self.methods), seeds=seeds, steps=check_count("steps", self.steps))
        settle(self, scheduler=check_scheduler_name(self.scheduler))
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
            # Runs of earlier versions have none.
            **({"scheduler": self.scheduler} if self.scheduler else {}),
        }
