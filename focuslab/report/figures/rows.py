"""The F x F matrix of a block: how much attention goes from each mel row to each."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from focuslab.report.figures.layout import axes
from focuslab.report.figures.style import intensity

KEY_ROW, QUERY_ROW = "Key mel row", "Query mel row"


def plot_rows(row: Mapping, ax: Axes | None = None, *, norm: LogNorm | None = None) -> Axes:
    """Mass from query row to key row over chance, of one block at one length: 1 is uniform, F is all.

    Low frequencies are at the bottom and left. `norm` is the scale of shades, to share between panels.
    """
    lifts = np.array(row["rows"]) * row["mel_rows"]
    with axes(ax) as ax:
        ax.imshow(lifts, origin="lower", cmap=intensity(), norm=norm or rows_norm([row]), interpolation="nearest")
        ends = sorted({0, row["mel_rows"] - 1})
        ax.set_xticks(ends)
        ax.set_yticks(ends)
        ax.tick_params(length=0)
        ax.set_xlabel(KEY_ROW)
        ax.set_ylabel(QUERY_ROW)
        for spine in ax.spines.values():
            spine.set_visible(True)
    return ax


def rows_norm(rows: Sequence[Mapping]) -> LogNorm:
    """One logarithmic scale of shades for several blocks: from a quarter of chance to the most."""
    return LogNorm(0.25, max(4.0, *(row["mel_rows"] * max(map(max, row["rows"])) for row in rows)), clip=True)
