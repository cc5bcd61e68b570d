"""From one clip to what is kept of it: a few numbers, and the embeddings of its windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from focuslab.measure.evaluation.metrics import METRICS
from focuslab.metrics import (
    clap_by_pair,
    clipping_share,
    log_mel_l1,
    rms_ratio,
    silence_share,
    spectral_centroid,
)
from focuslab.metrics.clap import Clap
from focuslab.metrics.embedders import Embedder, resample

SCORED, NAN, SILENT = "scored", "nan", "silent"


@dataclass(frozen=True)
class Scored:
    """values: by name of the metric. arrays: by name of the embedder, `[windows, dimension]` float32."""

    status: str
    values: dict[str, float]
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Scorer:
    """metrics: those wanted, by name. An embedder that none of them needs is None."""

    metrics: tuple[str, ...]
    clap: Clap | None = None
    tagger: Embedder | None = None

    @property
    def embedders(self) -> dict[str, Embedder]:
        return {name: part for name, part in (("clap", self.clap), ("ast", self.tagger)) if part is not None}

    @property
    def needs_dense(self) -> bool:
        """Whether a metric compares each clip with the dense one."""
        return any(METRICS[name].against == "dense" for name in self.metrics)

    def describe(self) -> dict[str, dict[str, Any]]:
        """What has to stand beside every number made with an embedder."""
        return {
            name: {
                "name": part.name,
                "checkpoint": part.checkpoint,
                "protocol": part.protocol,
                "dimension": part.dimension,
            }
            for name, part in self.embedders.items()
        }

    def caption(self, text: str) -> np.ndarray | None:
        """The row `[1, dimension]` of a caption, where a metric needs it."""
        return self.clap.embed_text([text]) if self.clap is not None and "clap" in self.metrics else None

    def score(
        self,
        samples: np.ndarray,
        sampling_rate: int,
        caption: np.ndarray | None = None,
        dense: np.ndarray | None = None,
    ) -> Scored:
        """Score one clip `[n]`; `dense` is the dense clip of the same noise, where there is one to compare with."""
        clip = samples[None]
        status = status_of(samples, sampling_rate)
        if status != SCORED:
            return Scored(status, {}, {})
        arrays = {name: part.embed(clip, sampling_rate)[0] for name, part in self.embedders.items()}
        values: dict[str, Any] = {
            "silence_share": silence_share(clip, sampling_rate),
            "clipping_share": clipping_share(clip),
        }
        if caption is not None:
            values["clap"] = clap_by_pair(arrays["clap"].mean(axis=0, keepdims=True), caption)
        if dense is not None:
            values |= _beside(clip, dense[None], sampling_rate)
        return Scored(SCORED, {name: float(values[name][0]) for name in self.metrics if name in values}, arrays)


def status_of(samples: np.ndarray, sampling_rate: int) -> str:
    """Whether a clip can be scored: not with NaN or infinity in it, nor where every frame of 50 ms is silent."""
    if not np.isfinite(samples).all():
        return NAN
    return SILENT if silence_share(samples[None], sampling_rate)[0] == 1 else SCORED


def _beside(clip: np.ndarray, dense: np.ndarray, sampling_rate: int) -> dict[str, Sequence[float]]:
    from focuslab.metrics.mel import SAMPLE_RATE

    at_mel_rate = (resample(sound, sampling_rate, SAMPLE_RATE) for sound in (clip, dense))
    return {
        "log_mel_l1": log_mel_l1(*at_mel_rate),
        "rms_ratio": rms_ratio(clip, dense),
        "centroid_ratio": spectral_centroid(clip, sampling_rate) / spectral_centroid(dense, sampling_rate),
    }
