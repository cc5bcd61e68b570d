"""The figures of a capture at page width, and all of them as files.

Each figure function takes a capture's summary.json as a dict. Those of one length show the one that stands for the
training length, or the shortest. Each raises `InputError` where what it shows was not recorded.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from focuslab.report.figures.blocks import (
    UNIFORM,
    block_handles,
    plot_against_fraction,
    plot_entropy_against_length,
    plot_entropy_growth,
    plot_lift_against_length,
)
from focuslab.report.figures.figure2 import figure2, shade_bar
from focuslab.report.figures.layout import TIMES, outer_labels, page
from focuslab.report.figures.lift import (
    lag_limits,
    plot_lag,
    plot_lift_by_block,
    plot_lift_by_step,
    plot_rows,
    rows_norm,
)
from focuslab.report.figures.style import save, style
from focuslab.runs import RunInfo
from focuslab.tables.attention import at_length, attention_rows, counted, fractions_of, having, lengths_of, names_of


def lift_figure(summary: Mapping) -> Figure:
    """(a) Lift of each block with its heads, (b) lift of each block at each recorded step."""
    rows = having(_of_one_length(summary), "lift", "same-frequency mass")
    said = "(a) Dots: heads; black: mean over heads, interval over prompts; F: mel rows. (b) Mean over prompts."
    panels = [
        ("Lift by block and head", lambda ax: plot_lift_by_block(rows, ax)),
        ("Lift by block and step", lambda ax: plot_lift_by_step(rows, ax)),
    ]
    with style():
        return page(panels, _note(rows, summary, said), columns=2, height=2.7, widths=(4, 3))


def rows_figure(summary: Mapping) -> Figure:
    """The F x F matrix of each block, on one scale of shades."""
    rows = having(_of_one_length(summary), "rows", "mass by mel row")
    with style():
        norm = rows_norm(rows)
        panels = [
            (f"{row['name']}\nF = {row['mel_rows']}", lambda ax, row=row: plot_rows(row, ax, norm=norm)) for row in rows
        ]
        note = (
            f"{_where(rows)} Mass from query row to key row, over chance (1 / F); low frequencies at the bottom left."
        )
        figure = page(panels, note, columns=5, height=1.85, lettered=False, beneath=0.5)
        places = list(figure.axes)
        outer_labels(places, 5)
        shade_bar(figure, places, norm, f"Mass [{TIMES} chance]", extend="min")
    return figure


def lag_figure(summary: Mapping) -> Figure:
    """Mass against time lag of each block, for the own mel row and for the others."""
    rows = having(_of_one_length(summary), "lag", "mass against time lag")
    with style():
        limits = lag_limits(rows)
        panels = [(row["name"], lambda ax, row=row: plot_lag(row, ax, limits=limits)) for row in rows]
        note = (
            f"{_where(rows)} Mass on keys of each time lag over that of uniform attention, in bins of lags; the first "
            "point is the query's own time step."
        )
        figure = page(panels, note, columns=4, height=1.9, lettered=False)
        outer_labels(figure.axes, 4)
        figure.legend(handles=figure.axes[0].get_lines()[:2], loc="outside upper left", ncols=2, frameon=False)
    return figure


def fraction_figure(summary: Mapping) -> Figure:
    """(a) Recall and (b) output error of LiteFocus at each block against the cross_fraction."""
    rows = _of_one_length(summary)
    kinds = [kind for kind in ("recall", "output_error") if any(row[kind] for row in rows)]
    rows = having(rows, kinds[0] if kinds else "recall", "recall or output error")
    titles = {"recall": "What the focus set holds", "output_error": "What the output loses"}
    note = _note(
        rows,
        summary,
        "Each site alone, on its input in dense attention; mean over the sites of a block, interval over prompts. "
        "Recall: share of dense attention inside the focus set.",
    )
    panels = [(titles[kind], lambda ax, kind=kind: plot_against_fraction(rows, kind, ax)) for kind in kinds]
    with style():
        return page(panels, note, columns=2, height=2.4, handles=_handles(rows))


def length_figure(summary: Mapping) -> Figure:
    """Lift, entropy, and how entropy grew since the training length, against audio length."""
    rows, training = attention_rows(summary), summary["training_seconds"]
    panels = []
    if any(row["lift"] is not None for row in rows):
        panels.append(("Lift", lambda ax: plot_lift_against_length(rows, training, ax)))
    if any(row["entropy"] is not None for row in rows):
        panels.append(("Entropy", lambda ax: plot_entropy_against_length(rows, training, ax)))
        if summary["training_length"] is not None:
            panels.append(("Entropy since training", lambda ax: plot_entropy_growth(rows, training, ax)))
    having([{"panels": panels}], "panels", "same-frequency mass or entropy")
    said = f"Mean over prompts, steps and heads; interval over prompts. Dashed: the training length, {training:g} s."
    if summary["training_length"] is not None:
        said += f" Growth is since {summary['training_length']:g} s, prompt by prompt."
    with style():
        return page(panels, _note((), summary, said), columns=3, height=2.4, handles=_handles(rows))


FIGURES: dict[str, Callable[..., Figure]] = {
    "lift": lift_figure,
    "rows": rows_figure,
    "lag": lag_figure,
    "fractions": fraction_figure,
    "lengths": length_figure,
}


def write_attention_figures(
    info: RunInfo, summary: Mapping, arrays: Mapping[str, Any], directory: str | os.PathLike, made: str | None = None
) -> list[Path]:
    """Write every figure that the capture holds records for, as DIRECTORY/NAME.svg.

    Parameters
    ----------
    info, summary, arrays
        Of the capture.
    directory : path
    made : str, optional
        How the capture was made, for the metadata of the files.

    Returns
    -------
    list of Path
        Named as in `FIGURES`, and figure2 where pieces of maps were kept.

    Raises
    ------
    InputError
        Where the summary is none of a capture.
    """
    figures = attention_figures(info, summary, arrays)
    return [path for name, draw in figures.items() for path in save(draw(), Path(directory) / name, made=made)]


def attention_figures(info: RunInfo, summary: Mapping, arrays: Mapping[str, Any]) -> dict[str, Callable[[], Figure]]:
    """Name -> what draws it, for every figure that the capture holds records for."""
    rows = attention_rows(summary)
    recorded = {
        "lift": any(row["lift"] is not None for row in rows),
        "rows": any(row["rows"] for row in rows),
        "lag": any(row["lag"] for row in rows),
        "fractions": bool(fractions_of(rows)),
        "lengths": len(lengths_of(rows)) > 1 and any(row["lift"] or row["entropy"] for row in rows),
    }
    figures: dict[str, Callable[[], Figure]] = {"figure2": partial(figure2, info, summary, arrays)} if arrays else {}
    return figures | {name: partial(draw, summary) for name, draw in FIGURES.items() if recorded[name]}


def _of_one_length(summary: Mapping) -> list[Mapping]:
    rows = attention_rows(summary)
    return at_length(rows, summary["training_length"] or lengths_of(rows)[0])


def _where(rows: Sequence[Mapping]) -> str:
    return f"{rows[0]['seconds']:g} s, {counted(rows[0]['prompts'], 'prompt')}."


def _note(rows: Sequence[Mapping], summary: Mapping, said: str) -> str:
    """The small print of a figure with intervals; it says too what intervals of few prompts are worth."""
    worth = summary["interval"]["note"]
    return " ".join([*([_where(rows)] if rows else []), said, *([f"Interval: {worth}."] if worth else [])])


def _handles(rows: Sequence[Mapping]) -> list[Line2D]:
    return [*block_handles(names_of(rows)), Line2D([], [], label="uniform attention", **UNIFORM)]
