"""Figure 1 of the paper from a profile's summary: (a) time against length, (b) share of each kind against length.

The functions named `plot_...` draw on the axes they are given, or on a new figure of column width, and return the
axes. They pick numbers from rows and compute none but a ratio to dense; times are in seconds, shares in percent.
"""

import math
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from focuslab.errors import InputError
from focuslab.report.figures.layout import (
    LEGEND,
    LENGTH_LABEL,
    TIMES,
    axes,
    draw_footnote,
    footnote,
    legend_above,
    length_ticks,
    panel_title,
    place,
)
from focuslab.report.figures.line_names import End, name_ends, onward
from focuslab.report.figures.style import (
    KIND_COLORS,
    PAGE_INCHES,
    QUIET_INK,
    Look,
    kind_color,
    kind_label,
    method_look,
    new_figure,
    save,
    shade,
    style,
)
from focuslab.tables.profile import checked_rows, dense_seconds, is_bound, methods_of, missing_rows, summary_rows

STEP_LABEL = "Time per denoising step [s]"
SHARE_LABEL = "Share of a step [%]"
SPEED_LABEL = f"Speed-up over dense [{TIMES}]"
MEASURED = "time, measured (left bar)"
THEORETICAL = "FLOPs, theoretical (right bar)"

_BAR = 0.4


def plot_time_against_length(rows: Iterable[Mapping], ax: Axes | None = None) -> Axes:
    """(a) Median step time in seconds against audio length in seconds, one line a method, bars from p10 to p90.

    Both axes are logarithmic: a power of the length is a straight line, and a speed-up is the same height
    everywhere. Each line is named at its end, with the speed-up over dense at its longest length.
    """
    rows = checked_rows(rows)
    with axes(ax) as ax:
        lengths = sorted({row["seconds"] for row in rows})
        ends = []
        for method in methods_of(rows):
            own = [row for row in rows if row["method"] == method]
            x = [row["seconds"] for row in own]
            y = [row["step_seconds_median"] for row in own]
            spread = [
                [_beyond(row, "step_seconds_p10") for row in own],
                [_beyond(row, "step_seconds_p90") for row in own],
            ]
            look = method_look(method)
            ax.errorbar(
                x,
                y,
                yerr=None if is_bound(method) else spread,
                label=method,
                capsize=1.5,
                elinewidth=0.7,
                capthick=0.7,
                **_line(look, len(x)),
            )
            ends.append(End(_end_text(method, own[-1], lengths[-1]), x[-1], y[-1], onward(x, y, lengths[-1]), look))
        ax.set_xscale("log")
        ax.set_yscale("log")
        low, high = _whiskers(rows)
        # At least a factor of 6 from bottom to top, so that the ticks 1, 2, 5 show two numbers whatever was measured.
        pad = max(1.25, math.sqrt(6 * low / high))
        ax.set_ylim(low / pad, high * pad)
        decades = math.log10(high / low)
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3.5 else (1.0,), numticks=20))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_ylabel(STEP_LABEL)
        _finish(ax, lengths, ends)
    return ax


def plot_speed_against_ideal(rows: Iterable[Mapping], ax: Axes | None = None) -> Axes:
    """Speed-up over dense against audio length in seconds: measured (filled), its ideal (open, dotted), and the bound.

    The ideal is that of `ideal_seconds`, the bound that of `bound_seconds`. Raises `InputError` where no method has
    an ideal and no row of dense stands beside one.
    """
    rows = checked_rows(rows)
    dense = dense_seconds(rows)
    sparse = [r for r in rows if r.get("ideal_seconds") and r["seconds"] in dense and not is_bound(r["method"])]
    if not sparse:
        raise InputError("no row has an ideal time and dense beside it: expected a sparse method, dense and bound")
    with axes(ax, top=0.9) as ax:
        lengths = sorted({row["seconds"] for row in sparse})
        ends, bounds = [], {}
        for method in methods_of(sparse):
            own = [row for row in sparse if row["method"] == method]
            look = method_look(method)
            x = [row["seconds"] for row in own]
            y = [row.get("speedup_vs_dense") or dense[row["seconds"]] / row["step_seconds_median"] for row in own]
            ideal = [dense[row["seconds"]] / row["ideal_seconds"] for row in own]
            ax.plot(x, ideal, label=f"{method}, ideal", **_line(look) | _IDEAL)
            ax.plot(x, y, label=method, **_line(look))
            ends.append(End(_end_text(method, own[-1], lengths[-1]), x[-1], y[-1], onward(x, y, lengths[-1]), look))
            points = [(r["seconds"], dense[r["seconds"]] / r["bound_seconds"]) for r in own if r.get("bound_seconds")]
            bounds[tuple(points)] = None
        look = method_look("bound")
        for points in filter(None, bounds):  # methods at other sites have another bound
            x, y = zip(*points, strict=True)
            ax.plot(x, y, label="bound", **_line(look, len(x)))
            text = _end_text("bound", {"seconds": x[-1], "speedup_vs_dense": y[-1]}, lengths[-1])
            ends.append(End(text, x[-1], y[-1], onward(x, y, lengths[-1]), look))
        ax.axhline(1, color=method_look("dense").color, linewidth=0.7, zorder=1)
        ax.set_xscale("log")
        values = [1.0, *(value for line in ax.get_lines() for value in line.get_ydata())]
        ax.set_ylim(0.9 * min(values), 1.06 * max(values))
        ax.set_ylabel(SPEED_LABEL)
        _finish(ax, lengths, ends)
        grey = Look(QUIET_INK, "o", "-")
        handles = [
            Line2D([], [], label="measured", **_line(grey)),
            Line2D([], [], label="ideal", **_line(grey) | _IDEAL),
        ]
        legend_above(ax, handles, ncols=2, handlelength=2.2)
    return ax


def plot_kind_share(rows: Iterable[Mapping], method: str, ax: Axes | None = None, *, legend: bool = True) -> Axes:
    """(b) Share of each kind of module in percent, stacked, against audio length, for one method.

    Two bars a length: the share of measured time, and hatched and paler the theoretical share of FLOPs. Where a share
    was not measured its place is left empty and says so. `legend` puts one above the axes.
    """
    rows = checked_rows(rows)
    own = [row for row in rows if row["method"] == method]
    if not own:
        raise InputError(f"the profile has no row of {method!r}, only of {', '.join(methods_of(rows))}")
    with axes(ax, top=0.76) as ax:
        kinds = _kinds(own)
        lengths = sorted({row["seconds"] for row in rows})
        at = {row["seconds"]: row for row in own}
        for key, shift, hatched in (("kind_share", -_BAR / 2, False), ("kind_flop_share", _BAR / 2, True)):
            shares = {i: at[s][key] for i, s in enumerate(lengths) if s in at and at[s].get(key)}
            below = [0.0] * len(shares)
            for kind in kinds:
                part = [100 * share.get(kind, 0.0) for share in shares.values()]
                places = [i + shift for i in shares]
                ax.bar(places, part, _BAR, bottom=below, label=f"{key}: {kind}", **_bar(kind, hatched))
                below = [b + p for b, p in zip(below, part, strict=True)]
            for i, length in enumerate(lengths):
                if length in at and i not in shares:
                    _say(ax, i + shift, "not counted" if hatched else "not measured")
        # Every length has its place in every method's panel, so that panels can be read across.
        for i, length in enumerate(lengths):
            if length not in at:
                _say(ax, i, "not measured")
        ax.set_xticks(range(len(lengths)), [f"{length:g}" for length in lengths])
        side = 0.55 + max(0, 3 - len(lengths)) / 2  # the bars of one length are not as wide as the panel
        ax.set_xlim(-side, len(lengths) - 1 + side)
        ax.set_ylim(0, 100)
        ax.set_yticks(range(0, 101, 25))
        ax.tick_params(axis="x", length=0)
        ax.set_xlabel(LENGTH_LABEL)
        ax.set_ylabel(SHARE_LABEL)
        if legend:
            legend_above(ax, _kind_handles(kinds), ncols=2)
    return ax


def figure1(summary: Mapping, caption: str | None = None) -> Figure:
    """The paper's Figure 1 from a profile's summary, at page width: (a) on the left, (b) a panel a method.

    `caption` says how it was made (machine, versions, command) and stands beneath, after what the marks mean and
    which methods lack which lengths. Raises `InputError` where the summary is none of a profile or holds no row.
    """
    rows = summary_rows(summary)
    methods = [method for method in methods_of(rows) if not is_bound(method)]
    if not methods:
        raise InputError("the profile holds nothing but the bound: expected at least one method")
    with style():
        columns = min(len(methods), 2 if len(methods) in (2, 4) else 3)
        lines = -(-len(methods) // columns)
        notes, note_height = footnote(_paragraphs(summary, rows, caption))
        titles = [_folded(method) for method in methods]
        # Above each line of panels as much room as its longest title needs.
        above = [
            0.06 + 0.115 * max(title.count("\n") + 1 for title in titles[i : i + columns])
            for i in range(0, len(titles), columns)
        ]

        # All in inches from the left and from the top; a layout engine would move (a) with the length of its labels.
        panel_height = (2.15, 1.5, 1.35)[min(lines, 3) - 1]
        top = 0.62
        body = lines * panel_height + (lines - 1) * 0.24 + sum(above)
        note_top = top + body + 0.5
        height = note_top + note_height
        figure = new_figure(PAGE_INCHES, height)
        left, split, right = 0.5, 3.5, PAGE_INCHES - 0.06

        plot_time_against_length(rows, ax=place(figure, left, 0.3, split - 0.55 - left, top - 0.3 + body))
        gap = 0.12
        width = (right - split - (columns - 1) * gap) / columns
        for i, (method, title) in enumerate(zip(methods, titles, strict=True)):
            row, column = divmod(i, columns)
            y = top + sum(above[: row + 1]) + row * (panel_height + 0.24)
            ax = place(figure, split + column * (width + gap), y, width, panel_height)
            plot_kind_share(rows, method, ax=ax, legend=False)
            ax.set_title(title, pad=3, fontsize=6.6, parse_math=False)
            if column:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
            if i + columns < len(methods):
                ax.set_xlabel("")
        figure.legend(
            handles=_kind_handles(_kinds(rows)),
            loc="upper left",
            bbox_to_anchor=((split - 0.06) / PAGE_INCHES, 1 - 0.22 / height),
            ncols=3,
            **LEGEND,
        )
        panel_title(figure, "(a)", "Time", 0.06)
        panel_title(figure, "(b)", "Where it goes", split - 0.42)
        draw_footnote(figure, notes, note_top)
    return figure


def write_figure1(summary: Mapping, directory: str | os.PathLike, caption: str | None = None) -> list[Path]:
    """Write DIRECTORY/figure1.svg and return its path; nothing is written for a wrong summary."""
    return save(figure1(summary, caption), Path(directory) / "figure1")


_IDEAL = {"linestyle": (0, (1, 1.5)), "markerfacecolor": "white", "markeredgewidth": 0.8}


def _line(look: Look, points: int = 2) -> dict:
    if look.marker == "none":
        marker = {"marker": "none" if points > 1 else "_", "markersize": 8}  # a line of one point would not be seen
        return {"color": look.color, "linestyle": look.dashes, "linewidth": 0.8, "zorder": 1.9} | marker
    line = {"color": look.color, "linestyle": look.dashes, "marker": look.marker}
    return line | {"markeredgecolor": look.color, "markeredgewidth": 0.5}


def _bar(kind: str, hatched: bool) -> dict:
    color = kind_color(kind)
    if hatched:
        pale = shade(color, 0.6)
        return {"facecolor": pale, "hatch": "//////", "edgecolor": shade(color, -0.15), "linewidth": 0.3}
    return {"facecolor": color, "edgecolor": "white", "linewidth": 0.3}


def _say(ax: Axes, x: float, words: str) -> None:
    ax.text(x, 50, words, rotation=90, ha="center", va="center", color=QUIET_INK, fontsize="small")


def _beyond(row: Mapping, key: str) -> float:
    """How far p10 or p90 is from the median, in seconds; 0 where it was not measured or is on the other side."""
    value = row.get(key)
    if value is None:
        return 0.0
    distance = value - row["step_seconds_median"]
    return max(0.0, distance if key.endswith("90") else -distance)


def _whiskers(rows: Sequence[Mapping]) -> tuple[float, float]:
    keys = ("step_seconds_median", "step_seconds_p10", "step_seconds_p90")
    values = [row[key] for row in rows for key in keys if row.get(key)]
    return min(values), max(values)


def _end_text(method: str, row: Mapping, last: float) -> str:
    """The name of a line: method, speed-up and, where it ends early, at which length; parameters beneath."""
    name, *parameters = method.split(":")
    speedup = row.get("speedup_vs_dense")
    if speedup is not None and method != "dense":
        name += f" {speedup:.2f}{TIMES}"
    lines = [name] if row["seconds"] == last else [name, f"at {row['seconds']:g} s"]
    return "\n".join([*lines, *(line for p in parameters for line in textwrap.wrap(p, 22))])


def _folded(method: str) -> str:
    name, *parameters = method.split(":")
    return "\n".join([name, *(line for p in parameters for line in textwrap.wrap(p, 21))])


def _finish(ax: Axes, lengths: Sequence[float], ends: Sequence[End]) -> None:
    ax.set_xlabel(LENGTH_LABEL)
    ax.grid(axis="y")
    name_ends(ax, lengths, ends)
    length_ticks(ax, lengths)
    # The axis ends with the data: what is right of it is room for names, not audio of greater length.
    ax.spines["bottom"].set_bounds(lengths[0], lengths[-1])
    # Its own offset from the ticks is kept; only across is it moved to the middle of the data.
    ends = [ax.transAxes.inverted().transform(ax.transData.transform((s, 1)))[0] for s in (lengths[0], lengths[-1])]
    ax.xaxis.label.set_x(sum(ends) / 2)


def _kinds(rows: Iterable[Mapping]) -> list[str]:
    """The known kinds in the order of the stack, then any that this version does not know."""
    there = {kind for row in rows for key in ("kind_share", "kind_flop_share") for kind in row.get(key) or {}}
    return list(KIND_COLORS) + sorted(there - set(KIND_COLORS))


def _kind_handles(kinds: Sequence[str]) -> list[Patch]:
    handles = [Patch(**_bar(kind, False), label=kind_label(kind)) for kind in kinds]
    grey = "#7F7F7F"
    handles.append(Patch(facecolor=grey, edgecolor="white", linewidth=0.3, label=MEASURED))
    pale = {"facecolor": shade(grey, 0.6), "edgecolor": shade(grey, -0.15), "hatch": "//////", "linewidth": 0.3}
    handles.append(Patch(**pale, label=THEORETICAL))
    return handles


def _paragraphs(summary: Mapping, rows: Sequence[Mapping], caption: str | None) -> list[str]:
    """What stands beneath the figure: what the marks mean, what is missing, and how it was made."""
    parts = ["Time: median of the measured steps, bars from p10 to p90."]
    longest = rows[-1]["seconds"]
    if any(row.get("speedup_vs_dense") is not None and row["method"] != "dense" for row in rows):
        parts.append(f"{TIMES}: speed-up over dense at {longest:g} s, or at the length named.")
    if any(is_bound(row["method"]) for row in rows):
        parts.append("bound: the attention core of the chosen sites costs nothing; a reference, no method.")
    missing = missing_rows(rows)
    if missing:
        parts.append(f"Not measured: {missing}.")
    over = summary.get("instrumented_over_plain")
    if over is not None:
        parts.append(f"A step with timers takes {over:.3f} times a plain one.")
    return [" ".join(parts), *(caption or "").splitlines()]
