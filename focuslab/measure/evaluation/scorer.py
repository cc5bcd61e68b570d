"""Clips out of a pipeline, and what is kept of each: a few numbers, and the embeddings of its windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from focuslab.hooks.compiled import is_compiled
from focuslab.hooks.denoise import timed_call
from focuslab.hooks.memory import naming_what_did_not_fit
from focuslab.hooks.timers import clock_for
from focuslab.measure.evaluation.along import scores_along
from focuslab.measure.evaluation.config import METRICS
from focuslab.methods import Attachable
from focuslab.metrics import clap_by_pair, clipping_share, log_mel_l1, rms_ratio, silence_share, spectral_centroid
from focuslab.metrics.clap import Clap
from focuslab.metrics.embedders import Embedder, resample
from focuslab.models.conditioning import encode_prompt
from focuslab.models.placement import device_of

SCORED, NAN, SILENT = "scored", "nan", "silent"


@dataclass(frozen=True)
class Scored:
    """values: by name of the metric. arrays: by name of the embedder, `[windows, dimension]` float32. along: what is
    known of each window of a long clip, see `scores_along`."""

    status: str
    values: dict[str, float]
    arrays: dict[str, np.ndarray]
    along: dict[str, list[float]] = field(default_factory=dict)


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
        facts = ("name", "checkpoint", "protocol", "dimension")
        return {name: {fact: getattr(part, fact) for fact in facts} for name, part in self.embedders.items()}

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
        values: dict[str, Any] = {"silence_share": silence_share(clip, sampling_rate)}
        values["clipping_share"] = clipping_share(clip)
        if caption is not None:
            values["clap"] = clap_by_pair(arrays["clap"].mean(axis=0, keepdims=True), caption)
        if dense is not None:
            values |= _beside(clip, dense[None], sampling_rate)
        along = scores_along(samples, sampling_rate, self.clap, arrays["clap"], caption) if self.clap else {}
        return Scored(SCORED, {name: float(values[name][0]) for name in self.metrics if name in values}, arrays, along)


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


@dataclass(frozen=True)
class TimedClip:
    """samples: float32 `[n]`, finite or not. generation_seconds: from the encoded caption to the samples."""

    samples: np.ndarray
    step_seconds: list[float]
    generation_seconds: float


class ClipMaker:
    """A pipeline that makes clips, one at a time."""

    def __init__(self, pipe, methods: Mapping[str, Attachable], steps: int):
        self._pipe = pipe
        self._methods = methods
        self._steps = steps
        self._compiled = is_compiled(pipe.unet)
        self._clock = clock_for(device_of(pipe))
        self.sampling_rate: int = pipe.vocoder.config.sampling_rate

    def encode(self, text: str) -> Any:
        """A caption as `make` takes it."""
        return encode_prompt(self._pipe, text)

    def make(self, caption: Any, seconds: float, label: str, noise_seed: int) -> TimedClip:
        """The clip that `focuslab.generate` gives for this seed. Raises `FocuslabError` where memory runs out."""
        what, instead = f"{label} at {seconds:g} s", "leave out this length or this method"
        with (
            naming_what_did_not_fit(self._pipe, what, instead, lambda: "what was finished is kept"),
            self._methods[label](self._pipe),
        ):
            if self._compiled:
                # A step that is compiled first would count among those whose time is taken.
                timed_call(self._pipe, caption, seconds, 1, noise_seed, self._clock, "latent")
            start = perf_counter()
            output, step_seconds = timed_call(
                self._pipe, caption, seconds, self._steps, noise_seed, self._clock, output_type="np"
            )
            generation_seconds = perf_counter() - start
        return TimedClip(np.asarray(output[0], dtype=np.float32), step_seconds, generation_seconds)
