"""Speed against quality, a figure a length: every method a point with its intervals.

Quality is the difference to dense with the same captions and seeds. The interval of a metric itself is mostly of which
captions were taken, which is the same for all methods and would hide what they differ in; it stands in the tables.

The functions named `plot_...` draw on the axes they are given, or on a new figure of column width, and return the axes.
They pick numbers from rows and compute none.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from focuslab.checks import is_number
from focuslab.errors import InputError
from focuslab.report.figures.layout import TIMES, axes, error_bars, page
from focuslab.report.figures.style import INK, MARKERS, Look, method_look, shade, style
from focuslab.runs.method_spec import MethodSpec, brief
from focuslab.tables.attention import at_length, lengths_of
from focuslab.tables.quality_rows import (
    SPEEDUP,
    evaluation_rows,
    main_metrics,
    methods_of,
    metric_of,
    scale_of,
)

SPEED_LABEL = f"Speed-up over dense [{TIMES}]"
DIFFERENCE = "\u0394"
_ABREAST = 7
"""Methods up to which the panels stand side by side."""
_SHADES = (-0.55, 0.45)
"""The amounts of `shade` for the first and the last variant of a method."""
_MORE_MARKERS = ("D", "v", "^", "s", "X", "o")
"""Markers of methods without parameters, for others where those methods are absent."""
_DENSE = {"value": 0.0, "low": None, "high": None}
"""The difference of dense to itself."""
_ARROWS = {"lower": "lower is better", "higher": "higher is better"}


def plot_speed_against_quality(
    rows: Iterable[Mapping],
    metric: str,
    ax: Axes | None = None,
    *,
    better: str | None = None,
    looks: Mapping[str, Look] | None = None,
) -> Axes:
    """A metric's difference to dense against the speed-up over dense, a point a method with the intervals of both.

    Parameters
    ----------
    rows : iterable of mapping
        Of an evaluation, of one length. Methods without a speed-up are left out.
    metric : str
        One that is a distance to dense is drawn as it is.
    ax : matplotlib axes, optional
    better : {"lower", "higher"}, optional
        For the label.
    looks : mapping, optional
        How each method is drawn, to share between panels.

    Raises
    ------
    InputError
        Where no method has both a speed-up and the metric, or rows are of several lengths.
    """
    rows = [row for row in rows if is_number(row.get(SPEEDUP))]
    key = "minus_dense" if any(is_number(metric_of(row, metric, "minus_dense")["value"]) for row in rows) else None
    found = {row["method"]: _DENSE if key and row["method"] == "dense" else metric_of(row, metric, key) for row in rows}
    rows = [row for row in rows if found[row["method"]]["value"] is not None]
    if not rows:
        raise InputError(f"no method has both a speed-up and {metric}: evaluate dense too, and ask for that metric")
    lengths = lengths_of(rows)
    if len(lengths) > 1:
        raise InputError(f"rows of one length were expected, not of {', '.join(f'{s:g}' for s in lengths)} s")
    looks = looks or looks_of(methods_of(rows))
    scale = scale_of(metric)
    with axes(ax) as ax:
        for row in rows:
            values = map(found[row["method"]].get, ("value", "low", "high"))
            there: list[Any] = [value if value is None else value * scale.factor for value in values]
            speed: list[Any] = [row.get(key) for key in (SPEEDUP, "speedup_low", "speedup_high")]
            xerr, yerr = (None if None in ends else error_bars(*([end] for end in ends)) for ends in (speed, there))
            look = _marks(looks[row["method"]]) | {"zorder": 3, "elinewidth": 0.8, "capsize": 1.5, "capthick": 0.8}
            ax.errorbar(speed[0], there[0], xerr=xerr, yerr=yerr, label=row["method"], **look)
        if key:
            ax.axhline(0, color=INK, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)
        ax.margins(0.12)
        ax.locator_params(axis="y", nbins=6)  # more would have more digits, and these the room of the label
        ax.grid(True)
        ax.set_xlabel(SPEED_LABEL)
        unit = scale.difference_unit if key else scale.unit
        what = f"{DIFFERENCE} {scale.head}" if key else scale.head
        ax.set_ylabel(f"{what}{f' [{unit}]' if unit else ''}" + (f"\n({_ARROWS[better]})" if better in _ARROWS else ""))
    return ax


def quality_figure(summary: Mapping, seconds: float) -> Figure:
    """Speed against quality at one length: a panel a main metric under one legend.

    Raises `InputError` for a summary that is none of an evaluation, or has nothing to draw at this length.
    """
    rows = at_length(evaluation_rows(summary), seconds, "evaluation")
    drawn = [row for row in rows if is_number(row.get(SPEEDUP))]
    metrics = main_metrics(drawn)
    if not metrics:
        raise InputError(f"the evaluation has no speed-up beside a metric at {seconds:g} s: evaluate dense too")
    methods = methods_of(drawn)
    looks = looks_of(methods)

    def panel(name: str):
        about = summary["metrics"].get(name) or {}
        title = ", ".join(filter(None, (scale_of(name).head, about.get("embedder"))))
        better = about.get("better")
        return title, lambda ax: plot_speed_against_quality(drawn, name, ax, better=better, looks=looks)

    note = (
        f"{seconds:g} s of audio. {DIFFERENCE}: minus that of dense (the dashed line) with the same captions and "
        "seeds. Bars are 95 % intervals; the difference is significant where the bar does not meet the line."
    )
    if left_out := [brief(row["method"]) for row in rows if row not in drawn]:
        note += f" Without a speed-up: {', '.join(left_out)}."
    with style():
        handles = [Line2D([], [], label=brief(method), **_marks(looks[method])) for method in methods]
        # Many methods are often as many variants of nearly the same speed, which need the whole width.
        abreast = len(metrics) if len(methods) <= _ABREAST else 1
        return page([panel(name) for name in metrics], note, columns=abreast, height=2.4, handles=handles)


def looks_of(methods: Sequence[str]) -> dict[str, Look]:
    """The look of each method, points told apart: those with parameters go from dark to light in the hue of their name,
    in their order, and no two have a marker in common as long as there are others."""
    names = {method: MethodSpec.parse(method).name for method in methods}
    looks = {method: method_look(method) for method in methods}
    for name in dict.fromkeys(names.values()):
        variants = [method for method in methods if names[method] == name and method != name]
        for method, amount in zip(variants, _ramp(len(variants)), strict=True):
            if len(variants) > 1:
                looks[method] = looks[method]._replace(color=shade(method_look(name).color, amount))
    markers: set[str] = set()
    # Those without parameters first: they look as they do in other figures.
    for method in sorted(methods, key=lambda method: names[method] != method):
        free = [marker for marker in (looks[method].marker, *MARKERS, *_MORE_MARKERS) if marker not in markers]
        looks[method] = looks[method]._replace(marker=free[0] if free else looks[method].marker)
        markers.add(looks[method].marker)
    return looks


def _ramp(count: int) -> list[float]:
    """Shades from dark to light."""
    first, last = _SHADES
    return [first + (last - first) * i / max(1, count - 1) for i in range(count)]


def _marks(look: Look) -> dict:
    return {"color": look.color, "linestyle": "none", "marker": look.marker, "markersize": 4.5, "markeredgewidth": 0}
