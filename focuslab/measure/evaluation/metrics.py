"""The metrics of an evaluation by name: what each is, what it needs and what it is compared with."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from focuslab.checks import several
from focuslab.errors import InputError, did_you_mean


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
