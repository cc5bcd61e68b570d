"""The rendered clips as training reads them."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from focuslab.metrics.mel import HOP, log_mel


class Clips:
    """The clips of one split of a rendered directory, in the order of their index (the first `count` of them); sound
    stays on disk until it is asked for."""

    def __init__(self, directory: Path, split: str, count: int | None = None):
        self.directory = directory / split
        self._shards = [np.load(file, mmap_mode="r") for file in sorted(self.directory.glob("*.npy"))]
        lines = [file.read_text().splitlines() for file in sorted(self.directory.glob("*.jsonl"))]
        if not self._shards or len(lines) != len(self._shards):
            raise SystemExit(f"{self.directory} holds no whole set of clips: run render.py --out {directory} first")
        self._place = [(s, i) for s, shard in enumerate(self._shards) for i in range(len(shard))][:count]
        about = [json.loads(line) for shard in lines for line in shard][:count]
        self.captions = [entry["caption"] for entry in about]
        self.labels = [entry["label"] for entry in about]
        self.attributes = [entry["attributes"] for entry in about]

    def __len__(self) -> int:
        return len(self._place)

    def waveform(self, index: int, first: int = 0, count: int | None = None) -> Tensor:
        """Samples `[count]` of one clip from `first` on, in -1..1."""
        shard, place = self._place[index]
        samples = self._shards[shard][place, first : None if count is None else first + count]
        return torch.from_numpy(samples.astype(np.float32) / 32768)

    def waveforms(self, indices: Sequence[int]) -> Tensor:
        return torch.stack([self.waveform(index) for index in indices])

    @cached_property
    def mels(self) -> np.ndarray:
        """Log-mel spectrograms of the clips, float16 `[clips, frames, 64]`, made once and kept beside the sound."""
        file = self.directory / "mels" / f"{len(self)}.npy"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            frames = self._shards[0].shape[1] // HOP
            mels = np.empty((len(self), frames, 64), np.float16)
            for first in range(0, len(self), 16):
                batch = range(first, min(first + 16, len(self)))
                mels[batch.start : batch.stop] = log_mel(self.waveforms(batch)).numpy()
            partial = file.with_suffix(".partial.npy")
            np.save(partial, mels)
            partial.replace(file)
        return np.load(file, mmap_mode="r")


def crops(mels: np.ndarray, batch: int, frames: int, generator: torch.Generator) -> Tensor:
    """`[batch, frames, 64]`: a random stretch of random clips."""
    clips = torch.randint(len(mels), (batch,), generator=generator).tolist()
    firsts = torch.randint(mels.shape[1] - frames + 1, (batch,), generator=generator).tolist()
    return torch.stack(
        [torch.from_numpy(mels[c, f : f + frames].astype(np.float32)) for c, f in zip(clips, firsts, strict=True)]
    )
