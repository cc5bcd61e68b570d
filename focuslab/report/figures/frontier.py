"""The frontier of a choice: predicted time of a step against predicted error, with the marked choices on it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from focuslab.report.figures.layout import LEGEND, TIMES, axes, draw_footnote, footnote, panel_title, place
from focuslab.report.figures.style import (
    PAGE_INCHES,
    QUIET_INK,
    Look,
    method_look,
    new_figure,
    save,
    style,
    text_color,
)
from focuslab.tables.choice import length_rows, marks_of, timed_note
from focuslab.tables.table import percent

STEP_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
LOOKS = {
    "plan": Look("#D55E00", "*", "-"),
    "paper": method_look("litefocus"),
    "all sites": Look("#009E73", "D", "-"),
    "dense": method_look("dense"),
}
"""How the marked choices are drawn; each has a shape of its own."""
FRONTIER = {"color": "#8C8C8C", "linewidth": 1.0, "drawstyle": "steps-post", "zorder": 1.5}
LEFT = 0.55
"""Inches left of a panel, for its ticks and label."""

_ROOM = 2.1
"""How many times as high as the highest mark the panel is: the frontier beyond it is of no interest, and the numbers of
the marks stand there."""


def plot_frontier(row: Mapping, ax: Axes | None = None, *, measured: Mapping[str, Mapping] | None = None) -> Axes:
    """Error in percent against the time of a step, of one length's row of a choice's summary.

    A grey line is the least error that is predicted at each time, a filled mark a choice as predicted, the numbers at
    the top right its speed-up over dense and its error. measured: name of a mark -> {"step_seconds", "error",
    "error_low", "error_high"}: an open mark with its interval, joined to what was predicted.
    """
    measured = measured or {}
    marks = marks_of(row)
    unit, name = _unit(row)
    with axes(ax) as ax:
        times, errors = zip(*reversed(row["frontier"]), strict=True)
        ax.plot([t / unit for t in times], [100 * e for e in errors], label="frontier", **FRONTIER)
        for mark, point in reversed(marks.items()):  # what stands first lies on top, but dense, which is small
            look = mark_look(mark)
            at = point["step_seconds"] / unit, 100 * point["error"]
            if mark in measured:
                _draw_measured(ax, mark, at, measured[mark], unit)
            ax.plot(*at, label=mark, zorder=3 + 0.1 * (mark == "dense"), **_marker(look))
        seen = [*marks.values(), *(measured[mark] for mark in marks if mark in measured)]
        highest = max(point.get("error_high") or point["error"] for point in seen) or max(errors) or 0.01
        highest = max(highest, *(point["error"] for point in seen))
        ax.set_ylim(0, 100 * _ROOM * highest)
        left = min([t for t, e in zip(times, errors, strict=True) if e <= highest] + [p["step_seconds"] for p in seen])
        right = max(row["dense_step_seconds"], *(point["step_seconds"] for point in seen))
        pad = 0.06 * (right - left) or 0.1 * right
        ax.set_xlim((left - pad) / unit, (right + pad) / unit)
        for i, (mark, point) in enumerate((m, p) for m, p in marks.items() if m != "dense"):
            text = f"{mark} {point['speedup']:.2f}{TIMES}, {percent(point['error'], 2)} %" if point["methods"] else None
            ax.annotate(
                text or f"{mark}: dense",
                (1, 1),
                (-2, -1 - 8.2 * i),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=6.4,
                color=text_color(mark_look(mark).color),
                parse_math=False,
            )
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.grid(axis="y")
        ax.set_xlabel(f"Time per denoising step [{name}]")
        ax.set_ylabel("Error of UNet output [%]")
    return ax


def frontier_figure(
    summary: Mapping,
    caption: str | None = None,
    *,
    measured: Mapping[float, Mapping[str, Mapping]] | None = None,
) -> Figure:
    """The frontier of every length of a choice's summary, at page width.

    measured: audio length -> name of a mark -> what was measured of it, as for `plot_frontier`. caption: how it was
    made. Raises `InputError` where the summary is none of a choice.
    """
    rows = length_rows(summary)
    with style():
        names = list(dict.fromkeys(name for row in rows for name in marks_of(row)))
        notes, note_height = footnote([_said(summary, bool(measured)), *(caption or "").splitlines()])
        columns = min(2, len(rows))
        lines = -(-len(rows) // columns)
        top, panel, gap = 0.5, 1.75, 0.72
        note_top = top + lines * panel + (lines - 1) * gap + 0.47
        figure = new_figure(PAGE_INCHES, note_top + note_height)
        width = (PAGE_INCHES - columns * LEFT - 0.1) / columns
        for i, row in enumerate(rows):
            line, column = divmod(i, columns)
            x, y = LEFT + column * (width + LEFT), top + line * (panel + gap)
            plot_frontier(row, place(figure, x, y, width, panel), measured=(measured or {}).get(row["seconds"]))
            panel_title(figure, f"({chr(97 + i)})", f"{row['seconds']:g} s", x - LEFT + 0.06, y - 0.17)
        height = figure.get_size_inches()[1]
        figure.legend(
            handles=_handles(names, bool(measured)),
            loc="upper left",
            bbox_to_anchor=(0.06 / PAGE_INCHES, 1 - 0.06 / height),
            ncols=len(names) + 2,
            **LEGEND | {"handlelength": 1.6},
        )
        draw_footnote(figure, notes, note_top)
    return figure


def write_frontier(
    summary: Mapping,
    directory: str | os.PathLike,
    caption: str | None = None,
    *,
    measured: Mapping[float, Mapping[str, Mapping]] | None = None,
) -> list[Path]:
    """Write DIRECTORY/frontier.svg and return its path."""
    return save(frontier_figure(summary, caption, measured=measured), Path(directory) / "frontier")


def mark_look(name: str) -> Look:
    """The look of a marked choice; one that is not known here has that of a method of its name."""
    return LOOKS.get(name) or method_look(name)


def _unit(row: Mapping) -> tuple[float, str]:
    size, name = next((u for u in STEP_UNITS if row["dense_step_seconds"] >= u[0]), STEP_UNITS[-1])
    return size, name


def _marker(look: Look) -> dict:
    size = {"*": 9.5, "o": 3.6}.get(look.marker, 4.5)
    return {"color": look.color, "marker": look.marker, "markersize": size, "linestyle": "none", "clip_on": False} | {
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }


def _draw_measured(ax: Axes, mark: str, predicted: Sequence[float], point: Mapping, unit: float) -> None:
    look = mark_look(mark)
    x, y = point["step_seconds"] / unit, 100 * point["error"]
    ax.plot([predicted[0], x], [predicted[1], y], color=look.color, linewidth=0.7, linestyle=(0, (1, 1)), zorder=2)
    if point.get("error_low") is not None:
        ends = [100 * point["error_low"], 100 * point["error_high"]]
        ax.plot([x, x], ends, color=look.color, linewidth=0.9, zorder=2.5)
    hollow = _marker(look) | {"markerfacecolor": "white", "markeredgecolor": look.color, "markeredgewidth": 0.9}
    ax.plot(x, y, label=f"{mark}, measured", zorder=2.8, **hollow)


def _handles(names: Sequence[str], measured: bool) -> list[Line2D]:
    line = {k: v for k, v in FRONTIER.items() if k not in ("drawstyle", "zorder")}
    handles = [Line2D([], [], label="least error predicted at each time", **line)]
    handles += [Line2D([], [], label=name, **_marker(mark_look(name))) for name in names]
    if measured:
        grey = _marker(Look(QUIET_INK, "o", "-"))
        hollow = grey | {"markerfacecolor": "white", "markeredgecolor": QUIET_INK, "markeredgewidth": 0.9}
        handles.append(Line2D([], [], label="measured", **hollow))
    return handles


def _said(summary: Mapping, measured: bool) -> str:
    combination = summary["combination"]
    text = (
        "Predicted from what each group of sites saves and errs alone; numbers: speed-up over dense, relative error of "
        f"the guided UNet output. Errors of groups combine as (sum error^p)^(1/p), p = {combination['exponent']:.2f}"
    )
    if combination["misfit"] is None:
        text += ", assumed, not fitted."
    else:
        text += (
            f", fitted on {combination['runs']} joint runs, which it misses by {percent(combination['misfit'], 1)} %."
        )
    if timed := timed_note(summary):
        text += f" {timed}"
    if measured:
        text += " Open: measured on prompts and seeds that the choice never saw, with intervals."
    return f"{text} {summary['crossover']}"
