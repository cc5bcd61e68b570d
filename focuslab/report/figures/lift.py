"""Lift of each block: how many times more attention stays in its own mel row than chance would keep there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from focuslab.report.figures.layout import TIMES, axes
from focuslab.report.figures.style import INK, QUIET_INK, block_look, intensity
from focuslab.tables.attention_rows import having

LIFT_LABEL = f"Lift [{TIMES} chance]"


def plot_lift_by_block(rows: Sequence[Mapping], ax: Axes | None = None) -> Axes:
    """Lift of every head of every block (coloured, in ascending order), and the block's mean with its interval (black).

    `rows` are of one length. A grey line at each block is the most there can be: the number of its mel rows.
    """
    rows = having(rows, "lift", "same-frequency mass")
    with axes(ax) as ax:
        for i, row in enumerate(rows):
            look = block_look(row["name"])
            lifts = sorted(row["lift_heads"])
            across = np.linspace(-0.28, 0.28, len(lifts)) if len(lifts) > 1 else [0.0]
            marks: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 2.8, "markeredgewidth": 0}
            ax.plot(i + np.asarray(across), lifts, label=row["name"], color=look.color, **marks)
            if row["lift_low"] is not None:
                ax.plot([i, i], [row["lift_low"], row["lift_high"]], color=INK, linewidth=1.2, zorder=3)
            mean: dict[str, Any] = {"marker": "_", "markersize": 15, "markeredgewidth": 1.6, "color": INK}
            ax.plot([i], [row["lift"]], label=f"{row['name']}, mean", linestyle="none", zorder=3, **mean)
            ax.plot([i - 0.36, i + 0.36], [row["mel_rows"]] * 2, label="_most", color="#8C8C8C", linewidth=0.8)
            ax.annotate(
                f"F = {row['mel_rows']}",
                (i, row["mel_rows"]),
                (0, 1.5),
                textcoords="offset points",
                ha="center",
                va="bottom",
                color=QUIET_INK,
                fontsize="x-small",
            )
        ax.axhline(1, color=INK, linewidth=0.7, zorder=1)
        ax.set_yscale("log", base=2)
        highest = max(row["mel_rows"] for row in rows)
        lowest = min(min(row["lift_heads"]) for row in rows)
        ax.set_ylim(min(0.85, 0.9 * lowest), 1.35 * highest)
        times_axis(ax.yaxis, ax.get_ylim())
        ax.grid(axis="y")
        block_ticks(ax.xaxis, rows)
        ax.set_xlim(-0.6, len(rows) - 0.4)
        ax.set_ylabel(LIFT_LABEL)
    return ax


def plot_lift_by_step(rows: Sequence[Mapping], ax: Axes | None = None) -> Axes:
    """Lift of each block at each recorded denoising step, as numbers on shades. `rows` are of one length."""
    import seaborn

    rows = having(rows, "by_step", "same-frequency mass")
    lifts = np.array([[step["lift"] for step in row["by_step"]] for row in rows])
    with axes(ax) as ax:
        seaborn.heatmap(
            lifts,
            ax=ax,
            cmap=intensity(),
            vmin=min(1.0, lifts.min()),
            vmax=max(2.0, lifts.max()),
            annot=[[f"{value:.2f}" if value < 9.95 else f"{value:.1f}" for value in line] for line in lifts],
            fmt="",
            annot_kws={"fontsize": "x-small"},
            cbar=False,
            linewidths=0.5,
            xticklabels=[f"{step['step']}" for step in rows[0]["by_step"]],
            yticklabels=[row["name"] for row in rows],
        )
        ax.tick_params(axis="y", rotation=0, length=0)
        ax.tick_params(axis="x", rotation=0, length=0)
        ax.set_xlabel("Denoising step (noise to audio)")
    return ax


def block_ticks(axis, rows: Sequence[Mapping]) -> None:
    """A tick at each row's place, with its block's name in two lines."""
    axis.set_ticks(range(len(rows)), [row["name"].replace("_blocks.", "\nblock ").replace("_", "\n") for row in rows])
    axis.set_tick_params(length=0)


def times_axis(axis, limits: Sequence[float]) -> None:
    """Ticks of a logarithmic axis of lifts at 1, 2, 4, ...; between them too where the axis is short."""
    is_short = limits[1] < 4 * limits[0]
    axis.set_major_locator(LogLocator(2, (1, 1.25, 1.5) if is_short else (1,), numticks=20))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
