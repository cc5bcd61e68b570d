"""What an embedder is: fixed windows of a sound in, one row of numbers a window out.

Nothing of it is random: where a checkpoint's own preprocessing takes a random part of a long clip, it is given windows
that are not too long. An embedder is one file beside this one: a subclass with its `_embed`, and its loader.
"""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from focuslab.checks import shown, whole
from focuslab.errors import InputError
from focuslab.metrics.arrays import waveforms as checked
from focuslab.models.checks import check_configuration, read_json

_BATCH = 16
"""Windows embedded at a time: bounds the memory of a long clip."""


@dataclass(frozen=True, eq=False)
class Embedder(ABC):
    """A model that turns sound into rows of numbers, and what has to stand beside every metric made of them."""

    name: str
    """The family, "clap" or "ast"."""
    checkpoint: str
    """What was loaded: a hub id with its revision, a directory, or the pipeline it belongs to."""
    sampling_rate: int
    """Hz; other sounds are resampled to it."""
    window_samples: int
    """The longest stretch of sound that the checkpoint takes whole, in samples at `sampling_rate`."""
    dimension: int
    """Numbers a window."""

    @property
    def protocol(self) -> str:
        """How sound is put to the checkpoint, in words for a table's footnote."""
        seconds = self.window_samples / self.sampling_rate
        return f"windows of {seconds:g} s spread evenly over the whole clip, mono at {self.sampling_rate} Hz"

    def embed(self, waveforms: Any, sampling_rate: int) -> np.ndarray:
        """Float32 `[B, windows, dimension]` of clips `[B, samples]`, floating-point with full scale at 1, mono.

        A clip is covered by the fewest windows that do, spread evenly, so they overlap unless the lengths divide; a
        shorter clip is one window, filled up as the checkpoint was trained. A clip's rows do not depend on the clips
        beside it. Raises `InputError` for other arrays, NaN, or a rate that is no positive integer.
        """
        clips = resample(checked(waveforms), sampling_rate, self.sampling_rate)
        return np.stack([self._embed_clip(clip) for clip in clips])

    def _embed_clip(self, clip: np.ndarray) -> np.ndarray:
        windows = cut(clip, self.window_samples)
        return np.concatenate([self._embed(windows[i : i + _BATCH]) for i in range(0, len(windows), _BATCH)])

    @abstractmethod
    def _embed(self, windows: list[np.ndarray]) -> np.ndarray:
        """Float32 `[len(windows), dimension]` of windows, each of at most `window_samples`."""


def cut(clip: np.ndarray, window: int) -> list[np.ndarray]:
    """The fewest windows of `window` samples that cover `clip` `[samples]`, spread evenly; a shorter clip as it is."""
    if len(clip) <= window:
        return [clip]
    count = -(-len(clip) // window)
    starts = np.linspace(0, len(clip) - window, count).round().astype(int)
    return [clip[start : start + window] for start in starts]


def resample(waveforms: np.ndarray, sampling_rate: int, wanted: int) -> np.ndarray:
    """Float32 `[B, samples]` at `wanted` Hz, as long as the clip lasts, rounded up.

    By soxr at its high quality, the resampler of librosa and of transformers' own audio loading, and so of what the
    published checkpoints were fed with. Raises `InputError` for a `sampling_rate` that is no positive integer.
    """
    sampling_rate = whole("a sampling rate", sampling_rate, "a positive integer, in Hz", 1)
    waveforms = waveforms.astype(np.float32)
    if sampling_rate == wanted:
        return waveforms
    import soxr

    length = -(-waveforms.shape[1] * wanted // sampling_rate)
    resampled = np.zeros((len(waveforms), length), dtype=np.float32)
    for row, clip in zip(resampled, waveforms, strict=True):
        found = soxr.resample(clip, sampling_rate, wanted, quality="HQ")[:length]
        row[: len(found)] = found
    return resampled


def locate(checkpoint: "str | os.PathLike[str]", model_type: str, expected: str, offline: bool) -> tuple[Path, str]:
    """The directory of a checkpoint, and its name for the records: as given, with the revision if it is of the hub.

    model_type: what its config.json has to say it is; expected: the same in words, with an example, for messages.
    Raises `InputError`.
    """
    # What knows the pipelines of the hub imports torch.
    from focuslab.models.hub import fetch_checkpoint, is_hub_id

    given = os.fspath(checkpoint)

    def check(config: Path) -> None:
        content = read_json(config)
        check_configuration(config, content)
        found = content.get("model_type")
        if found != model_type:
            raise InputError(f"{given} is of model type {shown(found)} by its config.json: expected {expected}")

    path = Path(given).expanduser()
    if given and path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"{given} has no config.json: expected {expected}, or its directory")
        check(path / "config.json")
        return path, given
    if path.is_file():
        raise InputError(f"{given} is a file: expected the directory that holds config.json of {expected}")
    if is_hub_id(given):
        directory = fetch_checkpoint(given, check, expected, offline)
        return directory, f"{given}@{directory.name}"
    raise InputError(f"no checkpoint {given!r}: there is no such directory, and a hub id is org/name; give {expected}")
