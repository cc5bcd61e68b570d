"""Mass over chance of each block: by head and step, from mel row to mel row, and against time lag."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from focuslab.report.figures.layout import TIMES, axes
from focuslab.report.figures.style import INK, QUIET_INK, Look, block_look, intensity
from focuslab.tables.attention import having

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
            above: dict[str, Any] = {"xytext": (0, 1.5), "textcoords": "offset points", "ha": "center", "va": "bottom"}
            ax.annotate(f"F = {row['mel_rows']}", (i, row["mel_rows"]), **above, color=QUIET_INK, fontsize="x-small")
        ax.axhline(1, color=INK, linewidth=0.7, zorder=1)
        ax.set_yscale("log", base=2)
        highest = max(row["mel_rows"] for row in rows)
        lowest = min(min(row["lift_heads"]) for row in rows)
        ax.set_ylim(min(0.85, 0.9 * lowest), 1.35 * highest)
        times_axis(ax.yaxis, ax.get_ylim())
        ax.grid(axis="y")
        block_ticks(ax.xaxis, rows)
        ax.set(xlim=(-0.6, len(rows) - 0.4), ylabel=LIFT_LABEL)
    return ax


def plot_lift_by_step(rows: Sequence[Mapping], ax: Axes | None = None) -> Axes:
    """Lift of each block at each recorded denoising step, as numbers on shades. `rows` are of one length."""
    import seaborn

    rows = having(rows, "by_step", "same-frequency mass")
    lifts = np.array([[step["lift"] for step in row["by_step"]] for row in rows])
    with axes(ax) as ax:
        numbers = [[f"{value:.2f}" if value < 9.95 else f"{value:.1f}" for value in line] for line in lifts]
        ticks = {"xticklabels": [f"{step['step']}" for step in rows[0]["by_step"]]}
        ticks["yticklabels"] = [row["name"] for row in rows]
        shades = {"cmap": intensity(), "vmin": min(1.0, lifts.min()), "vmax": max(2.0, lifts.max())}
        words = {"annot": numbers, "fmt": "", "annot_kws": {"fontsize": "x-small"}}
        seaborn.heatmap(lifts, ax=ax, **shades, **words, **ticks, cbar=False, linewidths=0.5)
        ax.tick_params(rotation=0, length=0)
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


KEY_ROW, QUERY_ROW = "Key mel row", "Query mel row"


def plot_rows(row: Mapping, ax: Axes | None = None, *, norm: LogNorm | None = None) -> Axes:
    """Mass from query row to key row over chance, of one block at one length: 1 is uniform, F is all.

    Low frequencies are at the bottom and left. `norm` is the scale of shades, to share between panels.
    """
    lifts = np.array(row["rows"]) * row["mel_rows"]
    with axes(ax) as ax:
        ax.imshow(lifts, origin="lower", cmap=intensity(), norm=norm or rows_norm([row]), interpolation="nearest")
        ends = sorted({0, row["mel_rows"] - 1})
        ax.set(xticks=ends, yticks=ends, xlabel=KEY_ROW, ylabel=QUERY_ROW)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(True)
    return ax


def rows_norm(rows: Sequence[Mapping]) -> LogNorm:
    """One logarithmic scale of shades for several blocks: from a quarter of chance to the most."""
    return LogNorm(0.25, max(4.0, *(row["mel_rows"] * max(map(max, row["rows"])) for row in rows)), clip=True)


LAG_LABEL = "Time lag [s]"
LAG_LIFT_LABEL = f"Mass [{TIMES} uniform]"
LOOKS = {"own": Look("#0072B2", "s", "-"), "other": Look("#E69F00", "D", (0, (4, 1.5)))}
NAMES = {"own": "own mel row", "other": "other mel rows"}


def plot_lag(row: Mapping, ax: Axes | None = None, *, limits: tuple[float, float] | None = None) -> Axes:
    """Mass on keys of each time lag over what uniform attention has there, of one block at one length.

    A point is a bin of lags, drawn at its middle; the first bin is the query's own time step, drawn at half a step.
    `limits` is the scale of masses, to share between panels.
    """
    lag = row["lag"]
    with axes(ax) as ax:
        for name, look in LOOKS.items():
            lifts = lag[f"{name}_lift"]
            points = [(x, y) for x, y in zip(lag["middles"], lifts, strict=True) if y]
            marks: dict[str, Any] = {"color": look.color, "linestyle": look.dashes, "marker": look.marker}
            ax.plot(*zip(*points, strict=True) if points else ((), ()), label=NAMES[name], markersize=2.8, **marks)
        ax.axhline(1, color=INK, linewidth=0.7, zorder=1)
        ax.set_xscale("log")
        ax.set_yscale("log", base=2)
        ax.set(ylim=limits or lag_limits([row]), xlabel=LAG_LABEL, ylabel=LAG_LIFT_LABEL)
        times_axis(ax.yaxis, ax.get_ylim())
        lag_ticks(ax, lag["middles"])
        ax.grid(axis="y")
    return ax


def lag_limits(rows: Sequence[Mapping]) -> tuple[float, float]:
    """One scale of masses over uniform ones for several blocks."""
    lifts = [y for row in rows for name in LOOKS for y in row["lag"][f"{name}_lift"] if y]
    return min(0.5, 0.8 * min(lifts, default=1.0)), max(2.0, 1.25 * max(lifts, default=1.0))


def lag_ticks(ax: Axes, middles: Sequence[float]) -> None:
    """Ticks at 0, where the first bin is drawn, and at 0.1, 1, ... as far as bins reach."""
    ticks = [digit * 10.0**i for i in range(-3, 5) for digit in (1, 3)]
    ticks = [x for x in ticks if 2.5 * middles[0] < x < 1.3 * middles[-1]]
    ax.xaxis.set_major_locator(FixedLocator([middles[0], *(ticks if len(ticks) < 5 else ticks[::-2])]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: "0" if x <= middles[0] else f"{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
