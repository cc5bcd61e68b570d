"""A random equaliser curve, constant over the clip, as a room or a microphone has one."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from .signal import FREQUENCIES, SAMPLE_RATE, filtered

MEL_BINS = 64
DEVIATION_DB, LIMIT_DB = 6.0, 14.0


def mel_axis(frequency: np.ndarray) -> np.ndarray:
    """Position in mel bins, 0 to `MEL_BINS`, of frequencies in Hz (Slaney's mel scale, 0 to half the sample rate)."""

    def mel(f):
        f = np.asarray(f, dtype=float)
        return np.where(f < 1000, f * 3 / 200, 15 + 27 * np.log(np.maximum(f, 1000) / 1000) / np.log(6.4))

    return MEL_BINS * mel(frequency) / mel(SAMPLE_RATE / 2)


_POSITION = mel_axis(FREQUENCIES)


def draw_curve(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Control points in mel bins and their gains in dB: 4 to 6 bins apart, normal, limited."""
    points = np.cumsum(rng.uniform(4, 6, size=MEL_BINS // 4 + 2)) - rng.uniform(0, 6)
    points = np.concatenate([[min(-0.5, points[0] - 4)], points])
    points = points[: np.searchsorted(points, MEL_BINS) + 1]
    return points, np.clip(DEVIATION_DB * rng.standard_normal(len(points)), -LIMIT_DB, LIMIT_DB)


def equalise(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """`x` [SAMPLES] through a curve of its own."""
    points, gains = draw_curve(rng)
    return filtered(x, 10 ** (PchipInterpolator(points, gains)(_POSITION) / 20))
