"""What the bundled model is judged on: held-out captions with their recordings, and a tagger of their classes."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from focuslab.io.audio import encode_wav
from focuslab.metrics.embedders import Embedder
from focuslab.metrics.mel import SAMPLE_RATE, log_mel
from focuslab.runs.directory import write_atomically

TINY = Path(__file__).parents[1] / "tiny_model"
sys.path.insert(0, str(TINY))
import components  # noqa: E402
import data  # noqa: E402
import render  # noqa: E402
from sounds import CLASSES, SAMPLES  # noqa: E402

RECORDINGS = 240
"""Clips that generated sound is compared with; captions are those of the first of them."""


@dataclass(frozen=True, eq=False)
class ClassTagger(Embedder):
    """Logits of the classes that the bundled model's sounds are of; it has heard no generated clip."""

    model: nn.Module = field(repr=False)

    def _embed(self, windows: list[np.ndarray]) -> np.ndarray:
        with torch.no_grad():
            return torch.cat([self.model(log_mel(torch.from_numpy(window)[None])) for window in windows]).numpy()


def class_tagger() -> ClassTagger:
    checkpoint = f"the classifier of analyses/tiny_model, {len(CLASSES)} classes"
    return ClassTagger("classes", checkpoint, SAMPLE_RATE, SAMPLES, len(CLASSES), components.trained_classifier())


def write_held_out(directory: Path, count: int = RECORDINGS) -> tuple[Path, Path]:
    """A file of captions and the directory of their recordings as WAVs, below `directory`; what is there is kept.

    Caption i names its recording, and the classes take turns.
    """
    captions, recordings = directory / "captions.jsonl", directory / "recordings"
    if not captions.exists():
        for number in range(-(-count // render.SHARD)):
            render.render_shard(directory / "rendered", "test", number, render.SHARD)
        clips = data.Clips(directory / "rendered", "test", count)
        recordings.mkdir(parents=True, exist_ok=True)
        lines = []
        for i, caption in enumerate(clips.captions):
            name = f"{i:05d}.wav"
            write_atomically(recordings / name, encode_wav(clips.waveform(i).numpy(), SAMPLE_RATE))
            lines.append(json.dumps({"caption": caption, "file": name}))
        # Written last, so that it marks a whole set.
        write_atomically(captions, ("\n".join(lines) + "\n").encode())
    return captions, recordings
