"""Recall and output error of LiteFocus at each block against the cross_fraction r."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from focuslab.report.figures.blocks import UNIFORM, draw_block
from focuslab.report.figures.layout import axes
from focuslab.tables.attention_rows import fractions_of, having

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
            points = [
                (
                    float(r),
                    100 * row[kind][r],
                    _percent(row[f"{kind}_low"].get(r)),
                    _percent(row[f"{kind}_high"].get(r)),
                )
                for r in fractions
                if r in row[kind]
            ]
            draw_block(ax, row["name"], points)
        ax.set_xticks([float(r) for r in fractions], fractions)
        ax.set_ylim(0, 100 if kind == "recall" else None)
        ax.grid(axis="y")
        ax.set_xlabel(FRACTION_LABEL)
        ax.set_ylabel(LABELS[kind])
    return ax


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
