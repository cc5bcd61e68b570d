"""Speed against quality, a figure a length: every method a point with its intervals.

The functions named `plot_...` draw on the axes they are given, or on a new figure of column width, and return the axes.
They pick numbers from rows and compute none.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from focuslab.analyzers.labels import brief
from focuslab.errors import InputError
from focuslab.fields import is_number
from focuslab.report.attention_rows import at_length, lengths_of
from focuslab.report.layout import LEGEND, TIMES, axes, draw_footnote, footnote, panel_title, place
from focuslab.report.quality_rows import (
    SPEEDUP,
    evaluation_rows,
    length_name,
    methods_of,
    metric_of,
    metrics_of,
    scale_of,
)
from focuslab.report.style import INK, MARKERS, PAGE_INCHES, Look, method_look, new_figure, save, style

SPEED_LABEL = f"Speed-up over dense [{TIMES}]"
PANELS = ("frechet", "kernel", "kl_softmax", "clap", "log_mel_l1")
"""The metrics that a figure has room for, in order; at most three of them are drawn."""
_MOST, _COLUMNS = 3, 3
_ARROWS = {"lower": "lower is better", "higher": "higher is better"}


def plot_speed_against_quality(
    rows: Iterable[Mapping],
    metric: str,
    ax: Axes | None = None,
    *,
    better: str | None = None,
    looks: Mapping[str, Look] | None = None,
) -> Axes:
    """A metric against the speed-up over dense, a point a method with the intervals of both. `rows` are of one length.

    A horizontal line is dense's value. better: "lower" or "higher", for the label. looks: method -> how it is drawn, to
    share between panels. Methods without a speed-up are left out; raises `InputError` where none is left.
    """
    rows = [row for row in rows if is_number(row.get(SPEEDUP)) and metric_of(row, metric)["value"] is not None]
    if not rows:
        raise InputError(f"no method has both a speed-up and {metric}: evaluate dense too, and ask for that metric")
    lengths = lengths_of(rows)
    if len(lengths) > 1:
        raise InputError(f"rows of one length were expected, not of {', '.join(f'{s:g}' for s in lengths)} s")
    looks = looks or looks_of(methods_of(rows))
    scale = scale_of(metric)
    with axes(ax) as ax:
        for row in rows:
            found = {k: v if v is None else v * scale.factor for k, v in metric_of(row, metric).items() if k != "n"}
            speed = {"value": row[SPEEDUP], "low": row.get("speedup_low"), "high": row.get("speedup_high")}
            look = looks[row["method"]]
            ax.errorbar(
                speed["value"],
                found["value"],
                xerr=_beyond(speed),
                yerr=_beyond(found),
                label=row["method"],
                zorder=3,
                elinewidth=0.8,
                capsize=1.5,
                capthick=0.8,
                **_marks(look),
            )
            if row["method"] == "dense":
                ax.axhline(found["value"], color=INK, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)
        ax.margins(0.12)
        ax.grid(True)
        ax.set_xlabel(SPEED_LABEL)
        unit = f" [{scale.unit}]" if scale.unit else ""
        ax.set_ylabel(f"{scale.head}{unit}" + (f"\n({_ARROWS[better]})" if better in _ARROWS else ""))
    return ax


def quality_figure(summary: Mapping, seconds: float, caption: str | None = None) -> Figure:
    """Speed against quality at one length: a panel a metric (of `PANELS`), one legend, and what intervals are.

    Raises `InputError` for a summary that is none of an evaluation, or has nothing to draw at this length.
    """
    rows = at_length(evaluation_rows(summary), seconds, "evaluation")
    drawn = [row for row in rows if is_number(row.get(SPEEDUP))]
    metrics = [name for name in PANELS if name in metrics_of(drawn)][:_MOST]
    if not metrics:
        raise InputError(f"the evaluation has no speed-up beside a metric at {seconds:g} s: evaluate dense too")
    methods = methods_of(drawn)
    looks = looks_of(methods)
    with style():
        left_out = [row["method"] for row in rows if row not in drawn]
        said = [
            f"{seconds:g} s of sound; bars are 95 % intervals, and the dashed line is dense.",
            *([f"Without a speed-up: {', '.join(left_out)}."] if left_out else []),
            *map(str, summary.get("footnotes") or ()),
            *(caption or "").splitlines(),
        ]
        notes, note_height = footnote([" ".join(said[:1]), *said[1:]])
        names_height = 0.15 * -(-len(methods) // _COLUMNS)
        top, panel = 0.1 + names_height, 1.9
        height = top + 0.3 + panel + 0.48 + note_height
        figure = new_figure(PAGE_INCHES, height)
        pitch = (PAGE_INCHES - 0.1) / len(metrics)
        for i, name in enumerate(metrics):
            x = 0.06 + i * pitch
            better = (summary["metrics"].get(name) or {}).get("better")
            panel_title(figure, f"({'abc'[i]})", _title(summary, name), x, top)
            ax = place(figure, x + 0.58, top + 0.3, pitch - 0.7, panel)
            plot_speed_against_quality(drawn, name, ax, better=better, looks=looks)
        handles = [Line2D([], [], label=brief(method), **_marks(looks[method])) for method in methods]
        figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0.06 / PAGE_INCHES, 1 - 0.05 / height),
            ncols=_COLUMNS,
            **LEGEND,
        )
        draw_footnote(figure, notes, top + 0.3 + panel + 0.48)
    return figure


def write_quality_figures(summary: Mapping, directory: str | os.PathLike, caption: str | None = None) -> list[Path]:
    """Write DIRECTORY/speed_against_quality_010s.svg and .png and so on, one a length that has something to draw."""
    rows = evaluation_rows(summary)
    paths = []
    for seconds in lengths_of(rows):
        own = [row for row in at_length(rows, seconds, "evaluation") if is_number(row.get(SPEEDUP))]
        if set(PANELS) & set(metrics_of(own)):
            figure = quality_figure(summary, seconds, caption)
            paths += save(figure, Path(directory) / f"speed_against_quality_{length_name(seconds)}")
    return paths


def looks_of(methods: Sequence[str]) -> dict[str, Look]:
    """The look of each method, points told apart: of two with one colour and marker the later takes another marker."""
    looks: dict[str, Look] = {}
    for method in methods:
        look = method_look(method)
        taken = {(other.color, other.marker) for other in looks.values()}
        free = [marker for marker in (look.marker, *MARKERS) if (look.color, marker) not in taken and marker != "none"]
        looks[method] = look._replace(marker=free[0] if free else look.marker)
    return looks


def _marks(look: Look) -> dict:
    return {"color": look.color, "linestyle": "none", "marker": look.marker, "markersize": 4.5, "markeredgewidth": 0}


def _beyond(interval: Mapping[str, float | None]) -> list[list[float]] | None:
    """How far both ends of an interval are from its value; None where it has none."""
    value, low, high = (interval[key] for key in ("value", "low", "high"))
    if not (is_number(low) and is_number(high)):
        return None
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


def _title(summary: Mapping, name: str) -> str:
    scale = scale_of(name)
    embedder = (summary["metrics"].get(name) or {}).get("embedder")
    return f"{scale.head}, {embedder}" if embedder else scale.head
