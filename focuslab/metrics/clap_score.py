"""How well sounds fit their captions, by the embeddings of a model of both.

Source: CLAP, Wu et al. 2023, arXiv:2211.06687; as a metric of generated audio: Huang et al. 2023, arXiv:2301.12661.
"""

from typing import Any

import numpy as np

from focuslab.errors import InputError
from focuslab.metrics.arrays import pairs


def clap_score(audio: Any, text: Any) -> float:
    """Mean cosine, -1 to 1, of embeddings of sounds `[N, D]` and of their captions `[N, D]`; row i of both is one clip.

    Tables show it in percent. The rows need not have length 1. Of a clip in windows, average the windows' embeddings
    first. Scores of different checkpoints cannot be compared, and a model scored by the CLAP that conditions it is
    flattered: name the checkpoint. Raises `InputError` for different shapes, NaN, or a row of zeros.
    """
    return float(clap_by_pair(audio, text).mean())


def clap_by_pair(audio: Any, text: Any) -> np.ndarray:
    """`[N]` cosines, one a clip, whose mean is `clap_score(audio, text)`."""
    audio, text = pairs(audio, text, "audio", "text")
    return np.einsum("nd,nd->n", _unit(audio, "audio"), _unit(text, "text"))


def _unit(values: np.ndarray, name: str) -> np.ndarray:
    # Scaled first, so that squares neither overflow nor vanish.
    largest = np.abs(values).max(axis=1, keepdims=True)
    if not largest.all():
        raise InputError(f"row {int(largest.argmin())} of {name} is all zeros: it has no direction to compare")
    values = values / largest
    return values / np.linalg.norm(values, axis=1, keepdims=True)
