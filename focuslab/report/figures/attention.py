"""The figures of a capture at page width, and all of them as files.

Each figure function takes a capture's summary.json as a dict and a caption that says how it was made. Those of one
length show the one that stands for the training length, or the shortest. Each raises `InputError` where what it shows
was not recorded.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from focuslab.report.figures.blocks import UNIFORM, block_handles
from focuslab.report.figures.entropy import plot_entropy_against_length, plot_entropy_growth, plot_lift_against_length
from focuslab.report.figures.figure2 import figure2, shade_bar
from focuslab.report.figures.lag import lag_limits, plot_lag
from focuslab.report.figures.layout import LEGEND, TIMES, draw_footnote, footnote, panel_title, place
from focuslab.report.figures.lift import plot_lift_by_block, plot_lift_by_step
from focuslab.report.figures.recall import plot_against_fraction
from focuslab.report.figures.rows import plot_rows, rows_norm
from focuslab.report.figures.style import PAGE_INCHES, new_figure, save, style
from focuslab.runs import RunInfo
from focuslab.tables.attention_rows import at_length, attention_rows, fractions_of, having, lengths_of, names_of
from focuslab.tables.verdict import counted

RIGHT = PAGE_INCHES - 0.1


def lift_figure(summary: Mapping, caption: str | None = None) -> Figure:
    """(a) Lift of each block with its heads, (b) lift of each block at each recorded step."""
    rows = having(_of_one_length(summary), "lift", "same-frequency mass")
    said = (
        f"{_where(rows)} (a) small marks: every head, in ascending order; black: mean over heads, with its interval "
        "over prompts; F: the number of mel rows, which is the most a lift can be. (b) mean over prompts and heads."
    )
    with style():
        notes, note_height = footnote(_paragraphs(said, summary, caption))
        panel = 2.2
        figure = new_figure(PAGE_INCHES, 0.35 + panel + 0.6 + note_height)
        panel_title(figure, "(a)", "Lift by block and head", 0.06)
        plot_lift_by_block(rows, place(figure, 0.5, 0.35, 3.3, panel))
        panel_title(figure, "(b)", "Lift by block and step", 4.0)
        plot_lift_by_step(rows, place(figure, 4.95, 0.35, RIGHT - 4.95, panel))
        draw_footnote(figure, notes, 0.35 + panel + 0.6)
    return figure


def rows_figure(summary: Mapping, caption: str | None = None) -> Figure:
    """The F x F matrix of each block, on one scale of shades."""
    rows = having(_of_one_length(summary), "rows", "mass by mel row")
    said = f"{_where(rows)} Mass from query row to key row, over chance (1 / F); low frequencies at the bottom left."
    with style():
        norm = rows_norm(rows)

        def draw(row: Mapping, ax: Axes) -> None:
            plot_rows(row, ax, norm=norm)
            ax.set_title(f"{row['name']}\nF = {row['mel_rows']}", fontsize=6.6, pad=3)

        figure, bottom = _panels(rows, draw, (1.05, 1.05), said, summary, caption, bar=0.45)
        cax = place(figure, 2.2, bottom, 2.8, 0.09)
        shade_bar(figure, cax, norm, f"Mass [{TIMES} chance]", extend="min")
    return figure


def lag_figure(summary: Mapping, caption: str | None = None) -> Figure:
    """Mass against time lag of each block, for the own mel row and for the others."""
    rows = having(_of_one_length(summary), "lag", "mass against time lag")
    said = (
        f"{_where(rows)} Mass on keys of each time lag over that of uniform attention; the first point is the query's "
        "own time step, the others are bins of lags, each twice as wide as the one before."
    )
    with style():
        limits = lag_limits(rows)

        def draw(row: Mapping, ax: Axes) -> None:
            plot_lag(row, ax, limits=limits)
            ax.set_title(row["name"], fontsize=6.6, pad=3)

        figure, _ = _panels(rows, draw, (1.4, 1.2), said, summary, caption, top=0.15, stretch=True)
        handles = figure.axes[0].get_legend_handles_labels()[0][:2]
        _legend(figure, handles, 0.45)
    return figure


def fraction_figure(summary: Mapping, caption: str | None = None) -> Figure:
    """(a) Recall and (b) output error of LiteFocus at each block against the cross_fraction."""
    rows = _of_one_length(summary)
    kinds = [kind for kind in ("recall", "output_error") if any(row[kind] for row in rows)]
    rows = having(rows, kinds[0] if kinds else "recall", "recall or output error")
    titles = {"recall": "What the focus set holds", "output_error": "What the output loses"}
    said = (
        f"{_where(rows)} Each site alone, on the input that it has in dense attention; mean over the sites of a block, "
        "with its interval over prompts. Recall: share of dense attention inside the focus set; dotted, that of "
        "uniform attention, which is higher where there are fewer mel rows."
    )
    handles = [*block_handles(names_of(rows)), _uniform_handle()]
    panels = [(titles[kind], lambda ax, kind=kind: plot_against_fraction(rows, kind, ax)) for kind in kinds]
    return _side_by_side(panels, handles, said, summary, caption)


def length_figure(summary: Mapping, caption: str | None = None) -> Figure:
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
    said = (
        "Mean over prompts, recorded steps and heads, with its interval over prompts. Entropy of uniform attention is "
        f"the logarithm of the number of tokens. Trained on {training:g} s."
    )
    if summary["training_length"] is not None:
        said += f" Growth is since {summary['training_length']:g} s, prompt by prompt."
    handles = [*block_handles(names_of(rows)), _uniform_handle()]
    return _side_by_side(panels, handles, said, summary, caption)


FIGURES: dict[str, Callable[..., Figure]] = {
    "lift": lift_figure,
    "rows": rows_figure,
    "lag": lag_figure,
    "fractions": fraction_figure,
    "lengths": length_figure,
}


def write_attention_figures(
    info: RunInfo,
    summary: Mapping,
    arrays: Mapping[str, Any],
    directory: str | os.PathLike,
    caption: str | None = None,
) -> list[Path]:
    """Write every figure that the capture holds records for, as DIRECTORY/NAME.svg, and return the paths.

    Names are those of `FIGURES`, and figure2 where pieces of maps were kept. Raises `InputError` for no capture.
    """
    rows = attention_rows(summary)
    recorded = {
        "lift": any(row["lift"] is not None for row in rows),
        "rows": any(row["rows"] for row in rows),
        "lag": any(row["lag"] for row in rows),
        "fractions": bool(fractions_of(rows)),
        "lengths": len(lengths_of(rows)) > 1 and any(row["lift"] or row["entropy"] for row in rows),
    }
    paths = []
    if arrays:
        paths += save(figure2(info, summary, arrays, caption), Path(directory) / "figure2")
    for name in filter(recorded.get, FIGURES):
        paths += save(FIGURES[name](summary, caption), Path(directory) / name)
    return paths


def _of_one_length(summary: Mapping) -> list[Mapping]:
    rows = attention_rows(summary)
    return at_length(rows, summary["training_length"] or lengths_of(rows)[0])


def _where(rows: Sequence[Mapping]) -> str:
    return f"{rows[0]['seconds']:g} s, {counted(rows[0]['prompts'], 'prompt')}."


def _paragraphs(said: str, summary: Mapping, caption: str | None) -> list[str]:
    note = summary["interval"]["note"]
    # Where intervals are drawn it is said what they are worth.
    return [said + (f" Interval: {note}." if note and "interval" in said else ""), *(caption or "").splitlines()]


def _panels(
    rows: Sequence[Mapping],
    draw: Callable[[Mapping, Axes], None],
    size: tuple[float, float],
    said: str,
    summary: Mapping,
    caption: str | None,
    *,
    top: float = 0.1,
    bar: float = 0.0,
    stretch: bool = False,
) -> tuple[Figure, float]:
    """A panel a row, each of this width and height; the figure, and where what is below the panels begins.

    `stretch` makes panels as wide as the page allows.
    """
    width, side = size
    pitch = width + 0.3
    most = int((RIGHT - 0.5 + 0.3) / pitch)
    lines = -(-len(rows) // most)
    columns = -(-len(rows) // lines)
    if stretch:
        pitch = (RIGHT - 0.5 + 0.3) / columns
        width = pitch - 0.3
    notes, note_height = footnote(_paragraphs(said, summary, caption))
    bottom = top + lines * (side + 0.72)
    figure = new_figure(PAGE_INCHES, bottom + bar + note_height)
    for i, row in enumerate(rows):
        line, column = divmod(i, columns)
        ax = place(figure, 0.5 + column * pitch, top + 0.3 + line * (side + 0.72), width, side)
        draw(row, ax)
        if column:
            ax.set_ylabel("")
        if i + columns < len(rows):
            ax.set_xlabel("")
    draw_footnote(figure, notes, bottom + bar)
    return figure, bottom


def _side_by_side(
    panels: Sequence[tuple[str, Callable[[Axes], Axes]]],
    handles: Sequence[Line2D],
    said: str,
    summary: Mapping,
    caption: str | None,
) -> Figure:
    """Panels with titles, (a) and on, under one legend."""
    with style():
        notes, note_height = footnote(_paragraphs(said, summary, caption))
        columns = 6
        top = 0.12 + 0.15 * -(-len(handles) // columns)
        panel = 1.9
        figure = new_figure(PAGE_INCHES, top + 0.3 + panel + 0.5 + note_height)
        pitch = (RIGHT - 0.06) / len(panels)
        for i, (title, draw) in enumerate(panels):
            x = 0.06 + i * pitch
            panel_title(figure, f"({'abc'[i]})", title, x, top)
            draw(place(figure, x + 0.45, top + 0.3, pitch - 0.6, panel))
        _legend(figure, handles, 0.06, columns)
        draw_footnote(figure, notes, top + 0.3 + panel + 0.5)
    return figure


def _uniform_handle() -> Line2D:
    return Line2D([], [], label="uniform attention", **UNIFORM)


def _legend(figure: Figure, handles: Sequence[Line2D], x: float, columns: int = 6) -> None:
    width, height = figure.get_size_inches()
    look = LEGEND | {"handlelength": 2.2}
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(x / width, 1 - 0.05 / height), ncols=columns, **look
    )
