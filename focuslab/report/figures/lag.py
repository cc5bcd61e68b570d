"""Attention against time lag: how far it reaches in its own mel row, and in the others."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from focuslab.report.figures.layout import TIMES, axes
from focuslab.report.figures.lift import times_axis
from focuslab.report.figures.style import INK, Look

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
            marks: dict[str, Any] = {
                "color": look.color,
                "linestyle": look.dashes,
                "marker": look.marker,
                "markersize": 2.8,
            }
            ax.plot(*zip(*points, strict=True) if points else ((), ()), label=NAMES[name], **marks)
        ax.axhline(1, color=INK, linewidth=0.7, zorder=1)
        ax.set_xscale("log")
        ax.set_yscale("log", base=2)
        ax.set_ylim(limits or lag_limits([row]))
        times_axis(ax.yaxis, ax.get_ylim())
        lag_ticks(ax, lag["middles"])
        ax.grid(axis="y")
        ax.set_xlabel(LAG_LABEL)
        ax.set_ylabel(LAG_LIFT_LABEL)
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
