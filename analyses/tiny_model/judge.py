"""What judges clips: the classifier, which never hears a generated clip in training, and the model's own CLAP."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import components
from focuslab.metrics import posteriors
from focuslab.metrics.clap import clap_of
from focuslab.metrics.embedders import cut
from focuslab.metrics.kl import kl_by_pair
from focuslab.metrics.mel import HOP, SAMPLE_RATE, log_mel
from sounds import CLASSES


class Judge:
    """Classes by the classifier, and embeddings by the CLAP of a pipeline."""

    def __init__(self, pipe):
        self._clap = clap_of(pipe)
        self._classifier = components.trained_classifier()
        self._names = sorted(CLASSES)

    @torch.no_grad()
    def logits(self, samples: np.ndarray) -> np.ndarray:
        """`[windows, classes]` of a clip, over the windows that CLAP is given."""
        windows = cut(samples, self._clap.window_samples)
        return torch.cat([self._classifier(log_mel(torch.from_numpy(w)[None])) for w in windows]).numpy()

    @torch.no_grad()
    def logits_of_mel(self, mel: Tensor) -> np.ndarray:
        """The same of a log-mel spectrogram `[frames, 64]`."""
        windows = cut(mel.float().numpy(), self._clap.window_samples // HOP)
        return torch.cat([self._classifier(torch.from_numpy(window)[None]) for window in windows]).numpy()

    def name(self, logits: np.ndarray) -> str:
        """The class, by the mean of the logits over windows."""
        return self._names[int(logits.mean(axis=0).argmax())]

    def label(self, samples: np.ndarray) -> str:
        return self.name(self.logits(samples))

    def audio(self, samples: np.ndarray) -> np.ndarray:
        """The CLAP embedding `[D]`, the mean over windows."""
        return self._clap.embed(samples[None], SAMPLE_RATE)[0].mean(axis=0)

    def text(self, caption: str) -> np.ndarray:
        return self._clap.embed_text([caption])[0]


def kl(reference: np.ndarray, generated: np.ndarray) -> float:
    """KL(reference || generated) in nats, of class posteriors, means over windows; logits `[windows, classes]`."""
    p, q = (posteriors(logits).mean(axis=0)[None] for logits in (reference, generated))
    return float(kl_by_pair(p, q)[0])


@contextmanager
def mels_given(vocoder) -> Iterator[list[Tensor]]:
    """The log-mel spectrograms `[frames, 64]` that a vocoder is given meanwhile."""
    given: list[Tensor] = []
    handle = vocoder.register_forward_pre_hook(
        lambda _, inputs: given.append(inputs[0].detach().reshape(-1, inputs[0].shape[-1]))
    )
    try:
        yield given
    finally:
        handle.remove()


def steps_by_frames(log: Path) -> str:
    """How many steps of the UNet were at which length, from the log of its training."""
    counts: dict[float, int] = {}
    before = 0
    for line in map(json.loads, log.read_text().splitlines()):
        # A line of the log is the mean over its steps, so it holds a length between two where a stage ends.
        frames = line["frames"]
        counts[frames] = counts.get(frames, 0) + line["step"] - before
        before = line["step"]
    seconds = components.CLIP_SECONDS / components.LATENT_FRAMES
    return ", ".join(f"{count} at {frames * seconds:.2f} s" for frames, count in sorted(counts.items()))
