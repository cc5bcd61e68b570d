"""Lines of blocks with their intervals: recall and error against r, lift and entropy against audio length."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from focuslab.report.figures.layout import LENGTH_LABEL, axes, error_bars, length_ticks
from focuslab.report.figures.lift import LIFT_LABEL, times_axis
from focuslab.report.figures.style import INK, QUIET_INK, block_look
from focuslab.tables.attention import fractions_of, having, lengths_of, names_of

Point = tuple[float, float, float | None, float | None]
"""x, y, and the ends of y's interval, None where there is none."""

UNIFORM: dict[str, Any] = {"color": QUIET_INK, "linestyle": (0, (1, 1.5)), "linewidth": 0.9, "zorder": 1.5}
"""How uniform attention is drawn beside them."""


def draw_block(ax: Axes, name: str, points: Sequence[Point]) -> None:
    """A line through the points of a block, with a bar for each interval."""
    x, y, lows, highs = zip(*points, strict=True)
    ax.errorbar(
        x, y, yerr=error_bars(y, lows, highs), label=name, elinewidth=0.7, capsize=1.5, capthick=0.7, **_marks(name)
    )


def block_handles(names: Iterable[str]) -> list[Line2D]:
    """Handles of a legend."""
    return [Line2D([], [], label=name, **_marks(name)) for name in names]


def _marks(name: str) -> dict:
    look = block_look(name)
    return {"color": look.color, "linestyle": look.dashes, "marker": look.marker, "markersize": 3.4, "linewidth": 1.0}


FRACTION_LABEL = "Cross fraction r"
LABELS = {"recall": "Recall of dense attention [%]", "output_error": "Output error [%]"}


def plot_against_fraction(rows: Sequence[Mapping], kind: str, ax: Axes | None = None) -> Axes:
    """Recall (`kind="recall"`) or output error (`kind="output_error"`) in percent against r, a line a block, with its
    interval over prompts. `rows` are of one length."""
    rows = having(rows, kind, kind.replace("_", " "))
    with axes(ax) as ax:
        fractions = fractions_of(rows)
        if kind == "recall":
            for uniform in {tuple(row["recall_chance"].items()) for row in rows}:
                chance = sorted((float(r), 100 * value) for r, value in uniform)
                ax.plot(*zip(*chance, strict=True), label="uniform", **UNIFORM)
        for row in rows:
            values, lows, highs = (row[name] for name in (kind, f"{kind}_low", f"{kind}_high"))
            there = [r for r in fractions if r in values]
            points = [(float(r), 100 * values[r], _percent(lows.get(r)), _percent(highs.get(r))) for r in there]
            draw_block(ax, row["name"], points)
        ax.set_xticks([float(r) for r in fractions], fractions)
        ax.grid(axis="y")
        ax.set(ylim=(0, 100 if kind == "recall" else None), xlabel=FRACTION_LABEL, ylabel=LABELS[kind])
    return ax


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


ENTROPY_LABEL = "Entropy [nats]"
GROWTH_LABEL = "Entropy growth [nats]"


def plot_lift_against_length(rows: Sequence[Mapping], training_seconds: float, ax: Axes | None = None) -> Axes:
    """Lift against audio length in seconds, a line a block, with its interval; chance is 1."""
    rows = having(rows, "lift", "same-frequency mass")
    with axes(ax) as ax:
        _draw(ax, rows, "lift")
        ax.axhline(1, color=INK, linewidth=0.7, zorder=1)
        ax.set_yscale("log", base=2)
        low, high = ax.get_ylim()
        ax.set(ylim=(min(0.85, low), max(2.3, high)), ylabel=LIFT_LABEL)
        _finish(ax, rows, training_seconds)
        times_axis(ax.yaxis, ax.get_ylim())
    return ax


def plot_entropy_against_length(rows: Sequence[Mapping], training_seconds: float, ax: Axes | None = None) -> Axes:
    """Entropy in nats against audio length in seconds, a line a block, and dotted that of uniform attention, one line
    for each number of tokens."""
    rows = having(rows, "entropy", "entropy")
    with axes(ax) as ax:
        for tokens in {tuple((r["seconds"], r["uniform_entropy"]) for r in _of(rows, n)) for n in names_of(rows)}:
            ax.plot(*zip(*sorted(tokens), strict=True), label="uniform", **UNIFORM)
        _draw(ax, rows, "entropy")
        ax.set_ylabel(ENTROPY_LABEL)
        _finish(ax, rows, training_seconds)
    return ax


def plot_entropy_growth(rows: Sequence[Mapping], training_seconds: float, ax: Axes | None = None) -> Axes:
    """Entropy above that at the training length, in nats, a line a block: 0 is as focused as in training, and dotted is
    how much uniform attention grows.

    Raises `InputError` where no measured length stands for the training length.
    """
    rows = having(rows, "entropy", "entropy")
    rows = having([{**row, "known": row["training_entropy"]} for row in rows], "known", "the training length")
    with axes(ax) as ax:
        uniform = {row["seconds"]: row["uniform_growth"] for row in rows}
        ax.plot(*zip(*sorted(uniform.items()), strict=True), label="uniform", **UNIFORM)
        ax.axhline(0, color=INK, linewidth=0.7, zorder=1)
        _draw(ax, rows, "entropy_growth")
        ax.set_ylabel(GROWTH_LABEL)
        _finish(ax, rows, training_seconds)
    return ax


def _draw(ax: Axes, rows: Sequence[Mapping], key: str) -> None:
    for name in names_of(rows):
        draw_block(ax, name, [(r["seconds"], r[key], r[f"{key}_low"], r[f"{key}_high"]) for r in _of(rows, name)])


def _of(rows: Sequence[Mapping], name: str) -> list[Mapping]:
    return sorted((row for row in rows if row["name"] == name), key=lambda row: row["seconds"])


def _finish(ax: Axes, rows: Sequence[Mapping], training_seconds: float) -> None:
    """A logarithmic axis of lengths, with the training length marked."""
    lengths = lengths_of(rows)
    ends = min(lengths[0], training_seconds), max(lengths[-1], training_seconds)
    ax.set(xscale="log", xlim=(ends[0] / 1.15, ends[1] * 1.15), xlabel=LENGTH_LABEL)
    ax.axvline(training_seconds, color=QUIET_INK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1, label="training")
    ax.grid(axis="y")
    length_ticks(ax, lengths)
