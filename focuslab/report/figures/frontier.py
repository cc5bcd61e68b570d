"""The frontier of a choice: predicted time of a step against predicted error, with the marked choices on it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from focuslab.report.figures.layout import LEGEND, TIMES, axes, page
from focuslab.report.figures.style import Look, method_look, save, style
from focuslab.tables.choice import length_rows, marks_of
from focuslab.tables.table import SECONDS, percent

LOOKS = {
    "plan": Look("#D55E00", "*", "-"),
    "paper": method_look("litefocus"),
    "all sites": Look("#009E73", "D", "-"),
    "dense": method_look("dense"),
}
"""How the marked choices are drawn; each has a shape of its own."""
FRONTIER: dict[str, Any] = {"color": "#8C8C8C", "linewidth": 1.0, "drawstyle": "steps-post", "zorder": 1.5}

_ROOM = 2.1
"""How many times as high as the highest mark the panel is: the frontier beyond it is of no interest, and the legend
stands there."""

Measured = Mapping[float, Mapping[str, Mapping]]
"""Audio length -> name of a mark -> what was measured of it."""


def plot_frontier(row: Mapping, ax: Axes | None = None, *, measured: Mapping[str, Mapping] | None = None) -> Axes:
    """Error in percent against the time of a step, of one length of a choice.

    Parameters
    ----------
    row : mapping
        Of the summary of a choice.
    ax : matplotlib axes, optional
    measured : mapping, optional
        Name of a mark to {"step_seconds", "error", "error_low", "error_high"}: an open mark with its interval, joined
        to what was predicted.

    Notes
    -----
    The grey line is the least error that is predicted at each time, a filled mark a choice as predicted. The legend
    says its speed-up over dense and its error.
    """
    measured = measured or {}
    marks = marks_of(row)
    unit, name = next((u for u in SECONDS if row["dense_step_seconds"] >= u[0]), SECONDS[-1])
    with axes(ax) as ax:
        times, errors = zip(*reversed(row["frontier"]), strict=True)
        ax.plot([t / unit for t in times], [100 * e for e in errors], label="frontier", **FRONTIER)
        lines = {}
        for mark, point in reversed(marks.items()):  # what stands first lies on top, but dense, which is small
            at = point["step_seconds"] / unit, 100 * point["error"]
            if mark in measured:
                _draw_measured(ax, mark, at, measured[mark], unit)
            (lines[mark],) = ax.plot(*at, label=mark, zorder=3 + 0.1 * (mark == "dense"), **_marker(mark_look(mark)))
        seen = [*marks.values(), *(measured[mark] for mark in marks if mark in measured)]
        highest = max(point.get("error_high") or point["error"] for point in seen) or max(errors) or 0.01
        highest = max(highest, *(point["error"] for point in seen))
        left = min([t for t, e in zip(times, errors, strict=True) if e <= highest] + [p["step_seconds"] for p in seen])
        right = max(row["dense_step_seconds"], *(point["step_seconds"] for point in seen))
        pad = 0.06 * (right - left) or 0.1 * right
        ax.set(xlim=((left - pad) / unit, (right + pad) / unit), ylim=(0, 100 * _ROOM * highest))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.grid(axis="y")
        ax.set(xlabel=f"Time per denoising step [{name}]", ylabel="Error of UNet output [%]")
        legend = ax.legend(handles=[lines[mark] for mark in marks], loc="upper right", **LEGEND)
        for text, (mark, point) in zip(legend.get_texts(), marks.items(), strict=True):
            text.set(text=_name(mark, point), parse_math=False)
    return ax


def frontier_figure(summary: Mapping, *, measured: Measured | None = None) -> Figure:
    """The frontier of every length of a choice's summary, at page width.

    `measured` is what `focuslab.tables.validation.measured_of` returns. Raises `InputError` where the summary is none
    of a choice.
    """
    rows = length_rows(summary)
    note = (
        "Grey line: least error of the guided UNet output that is predicted at each time. Filled marks: choices as "
        "predicted, with speed-up over dense and error."
    )
    note += " Open marks: measured on prompts and seeds that the choice never saw, with intervals." * bool(measured)

    def draw(row: Mapping):
        return lambda ax: plot_frontier(row, ax, measured=(measured or {}).get(row["seconds"]))

    with style():
        return page([(f"{row['seconds']:g} s", draw(row)) for row in rows], note, columns=2, height=2.3)


def write_frontier(
    summary: Mapping, directory: str | os.PathLike, made: str | None = None, *, measured: Measured | None = None
) -> list[Path]:
    """Write DIRECTORY/frontier.svg and return its path. `made` says how, in the metadata of the file."""
    return save(frontier_figure(summary, measured=measured), Path(directory) / "frontier", made=made)


def mark_look(name: str) -> Look:
    """The look of a marked choice; one that is not known here has that of a method of its name."""
    return LOOKS.get(name) or method_look(name)


def _name(mark: str, point: Mapping) -> str:
    if mark == "dense":
        return mark
    if not point["methods"]:
        return f"{mark}: dense"
    return f"{mark} {point['speedup']:.2f}{TIMES}, {percent(point['error'], 2)} %"


def _marker(look: Look) -> dict:
    size = {"*": 9.5, "o": 3.6}.get(look.marker, 4.5)
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.4}
    marker = {"marker": look.marker, "markersize": size, "linestyle": "none", "clip_on": False}
    return {"color": look.color, **marker, **edge}


def _draw_measured(ax: Axes, mark: str, predicted: Sequence[float], point: Mapping, unit: float) -> None:
    look = mark_look(mark)
    x, y = point["step_seconds"] / unit, 100 * point["error"]
    ax.plot([predicted[0], x], [predicted[1], y], color=look.color, linewidth=0.7, linestyle=(0, (1, 1)), zorder=2)
    if point.get("error_low") is not None:
        ends = [100 * point["error_low"], 100 * point["error_high"]]
        ax.plot([x, x], ends, color=look.color, linewidth=0.9, zorder=2.5)
    hollow = _marker(look) | {"markerfacecolor": "white", "markeredgecolor": look.color, "markeredgewidth": 0.9}
    ax.plot(x, y, label=f"{mark}, measured", zorder=2.8, **hollow)
