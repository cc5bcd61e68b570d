"""A clip as a picture: mel bands by time."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from focuslab.metrics.spectrogram import HIGHEST, MEL_BINS, hertz_to_mel
from focuslab.report.figures.figure2 import TIME_LABEL
from focuslab.report.figures.layout import axes
from focuslab.report.figures.style import intensity

FREQUENCY_LABEL = "Frequency [kHz]"
RANGE = (-9.0, 1.0)
"""Natural logarithm of magnitude from white to black; the same in all pictures, so that they can be compared."""


def plot_spectrogram(log_mel: np.ndarray, seconds: float, ax: Axes | None = None, *, highest: float = HIGHEST) -> Axes:
    """A natural log-mel spectrogram `[frames, bands]` of `seconds` of audio; bands are equal steps on the mel scale up
    to `highest` Hz."""
    with axes(ax) as ax:
        shades: dict[str, Any] = {"cmap": intensity(), "vmin": RANGE[0], "vmax": RANGE[1]}
        place: dict[str, Any] = {"origin": "lower", "aspect": "auto", "extent": (0, seconds, 0, MEL_BINS)}
        ax.imshow(log_mel.T, interpolation="none", **place, **shades)
        ticks = [kilo for kilo in (0, 0.5, 1, 2, 4, 8) if 1000 * kilo <= highest]
        top = hertz_to_mel(highest)
        ax.set_yticks([hertz_to_mel(1000 * kilo) / top * MEL_BINS for kilo in ticks], [f"{k:g}" for k in ticks])
        ax.set(xlabel=TIME_LABEL, ylabel=FREQUENCY_LABEL)
    return ax
