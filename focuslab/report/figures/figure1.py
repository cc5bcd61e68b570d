"""Figure 1 of the paper from a profile's summary: (a) time against length, (b) share of each kind against length.

The functions named `plot_...` draw on the axes they are given, or on a new figure of column width, and return the
axes. They pick numbers from rows and compute none but a ratio to dense; times are in seconds, shares in percent.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from focuslab.errors import InputError
from focuslab.report.figures.layout import (
    LEGEND,
    LENGTH_LABEL,
    LINE_INCHES,
    TIMES,
    axes,
    error_bars,
    legend_above,
    length_ticks,
    outer_labels,
    small_print,
)
from focuslab.report.figures.shares import kind_handles, plot_kind_share
from focuslab.report.figures.style import PAGE_INCHES, QUIET_INK, Look, method_look, new_figure, save, style
from focuslab.runs.method_spec import brief
from focuslab.tables.profile import (
    checked_rows,
    dense_seconds,
    ideal_speedup,
    is_bound,
    methods_of,
    missing_rows,
    summary_rows,
)

STEP_LABEL = "Time per denoising step [s]"
SPEED_LABEL = f"Speed-up over dense [{TIMES}]"

_IDEAL: dict[str, Any] = {"linestyle": (0, (1, 1.5)), "markerfacecolor": "white", "markeredgewidth": 0.8}


def plot_time_against_length(rows: Iterable[Mapping], ax: Axes | None = None) -> Axes:
    """(a) Median step time in seconds against audio length in seconds, one line a method, bars from p10 to p90.

    Both axes are logarithmic: a power of the length is a straight line, and a speed-up is the same height
    everywhere. The legend says the speed-up over dense at the longest length of each method.
    """
    rows = checked_rows(rows)
    methods = methods_of(rows)
    with axes(ax, 2.3 + LINE_INCHES * len(methods)) as ax:
        names = []
        for method in methods:
            own = [row for row in rows if row["method"] == method]
            parts: list[Any] = [[row.get(f"step_seconds_{part}") for row in own] for part in ("median", "p10", "p90")]
            bars = None if is_bound(method) else error_bars(*parts)
            look = _line(method_look(method), len(own)) | {"capsize": 1.5, "elinewidth": 0.7, "capthick": 0.7}
            ax.errorbar([row["seconds"] for row in own], parts[0], yerr=bars, label=method, **look)
            names.append(_name(method, own[-1].get("speedup_vs_dense") if method != "dense" else None, own, rows))
        ax.set_yscale("log")
        low, high = _whiskers(rows)
        # At least a factor of 6 from bottom to top, so that the ticks 1, 2, 5 show two numbers whatever was measured.
        pad = max(1.25, math.sqrt(6 * low / high))
        ax.set(ylim=(low / pad, high * pad), ylabel=STEP_LABEL)
        decades = math.log10(high / low)
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3.5 else (1.0,), numticks=20))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
        _finish(ax, rows, ax.containers, names)
    return ax


def plot_speed_against_ideal(rows: Iterable[Mapping], ax: Axes | None = None) -> Axes:
    """Speed-up over dense against audio length in seconds: measured (filled), its ideal (open, dotted), and the bound.

    The ideal is that of `ideal_seconds`, the bound that of `bound_seconds`. Raises `InputError` where no method has
    an ideal and no row of dense stands beside one.
    """
    rows = checked_rows(rows)
    dense = dense_seconds(rows)
    sparse = [row for row in rows if ideal_speedup(row, dense) and not is_bound(row["method"])]
    if not sparse:
        raise InputError("no row has an ideal time and dense beside it: expected a sparse method, dense and bound")
    with axes(ax, 2.5 + LINE_INCHES * len(methods_of(sparse))) as ax:
        lines, names = [], []
        bounds: dict[tuple, None] = {}
        for method in methods_of(sparse):
            own = [row for row in sparse if row["method"] == method]
            look = method_look(method)
            x: Sequence[float] = [row["seconds"] for row in own]
            y: Sequence[float] = [
                row.get("speedup_vs_dense") or dense[row["seconds"]] / row["step_seconds_median"] for row in own
            ]
            ax.plot(
                x,
                [ideal_speedup(row, dense) or np.nan for row in own],
                label=f"{method}, ideal",
                **_line(look) | _IDEAL,
            )
            lines += ax.plot(x, y, label=method, **_line(look))
            names.append(_name(method, own[-1].get("speedup_vs_dense"), own, sparse))
            limits = ((r["seconds"], dense[r["seconds"]] / r["bound_seconds"]) for r in own if r["bound_seconds"])
            bounds[tuple(limits)] = None
        for points in filter(None, bounds):  # methods at other sites have another bound
            x, y = zip(*points, strict=True)
            drawn = ax.plot(x, y, label="bound", **_line(method_look("bound"), len(x)))
            if "bound" not in names:
                lines += drawn
                names.append("bound")
        ax.axhline(1, color=method_look("dense").color, linewidth=0.7, zorder=1)
        values = np.concatenate([[1.0], *(np.asarray(line.get_ydata(), dtype=float) for line in ax.get_lines())])
        ax.set(ylim=(0.9 * float(values.min()), 1.06 * float(values.max())), ylabel=SPEED_LABEL)
        lines.append(Line2D([], [], **_line(Look(QUIET_INK, "o", "-")) | _IDEAL))
        _finish(ax, sparse, lines, [*names, "ideal"])
    return ax


def figure1(summary: Mapping) -> Figure:
    """The paper's Figure 1 from a profile's summary, at page width: (a) on the left, (b) a panel a method.

    Raises `InputError` where the summary is none of a profile or holds no row.
    """
    rows = summary_rows(summary)
    methods = [method for method in methods_of(rows) if not is_bound(method)]
    if not methods:
        raise InputError("the profile holds nothing but the bound: expected at least one method")
    with style():
        columns = min(len(methods), 2 if len(methods) in (2, 4) else 3)
        lines = -(-len(methods) // columns)
        figure = new_figure(PAGE_INCHES, max(3.2, 1.0 + 1.5 * lines, 2.5 + LINE_INCHES * len(methods)))
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(3, 4)).flat
        if legend := plot_time_against_length(rows, ax=left.subplots()).get_legend():
            legend.set_title("(a) Time")
            legend.set_alignment("left")
        places = list(right.subplots(lines, columns, squeeze=False, sharey=True).flat)
        for ax, method in zip(places, methods, strict=False):
            plot_kind_share(rows, method, ax=ax, legend=False)
            ax.set_title(brief(method), parse_math=False)
        for ax in places[len(methods) :]:
            ax.remove()
        outer_labels(places[: len(methods)], columns)
        look = LEGEND | {"handlelength": 1.0, "title": "(b) Where it goes", "alignment": "left"}
        right.legend(handles=kind_handles(rows), loc="outside upper left", ncols=3, **look)
        small_print(figure, _note(rows))
    return figure


def write_figure1(summary: Mapping, directory: str | os.PathLike, made: str | None = None) -> list[Path]:
    """Write DIRECTORY/figure1.svg and return its path. `made` says how, in the metadata of the file."""
    return save(figure1(summary), Path(directory) / "figure1", made=made)


def _line(look: Look, points: int = 2) -> dict:
    if look.marker == "none":
        marker = {"marker": "none" if points > 1 else "_", "markersize": 8}  # a line of one point would not be seen
        return {"color": look.color, "linestyle": look.dashes, "linewidth": 0.8, "zorder": 1.9} | marker
    line = {"color": look.color, "linestyle": look.dashes, "marker": look.marker}
    return line | {"markeredgecolor": look.color, "markeredgewidth": 0.5}


def _whiskers(rows: Sequence[Mapping]) -> tuple[float, float]:
    keys = ("step_seconds_median", "step_seconds_p10", "step_seconds_p90")
    values = [row[key] for row in rows for key in keys if row.get(key)]
    return min(values), max(values)


def _name(method: str, speedup: float | None, own: Sequence[Mapping], rows: Sequence[Mapping]) -> str:
    """The name of a line: method, speed-up and, where it ends early, at which length."""
    name = brief(method) if speedup is None else f"{brief(method)} {speedup:.2f}{TIMES}"
    last = own[-1]["seconds"]
    return name if last == max(row["seconds"] for row in rows) else f"{name} at {last:g} s"


def _finish(ax: Axes, rows: Sequence[Mapping], lines: Sequence, names: Sequence[str]) -> None:
    """A logarithmic axis of lengths, and a legend above."""
    lengths = sorted({row["seconds"] for row in rows})
    ax.set(xscale="log", xlim=(lengths[0] / 1.15, lengths[-1] * 1.15), xlabel=LENGTH_LABEL)
    ax.grid(axis="y")
    length_ticks(ax, lengths)
    legend = legend_above(ax, lines, ncols=1 if max(map(len, names)) > 20 else 2)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)


def _note(rows: Sequence[Mapping]) -> str:
    """The small print: what the marks mean, and what is missing."""
    parts = [
        f"(a) Median of the measured steps, bars from p10 to p90; {TIMES}: speed-up over dense at the longest length."
    ]
    if any(is_bound(row["method"]) for row in rows):
        parts.append("bound: the attention core of the chosen sites costs nothing.")
    if missing := missing_rows(rows):
        parts.append(f"Not measured: {missing}.")
    return " ".join(parts)
