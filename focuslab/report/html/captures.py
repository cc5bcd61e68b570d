"""Where attention looks: what captures show."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from focuslab.report.figures.attention import rows_figure
from focuslab.report.figures.blocks import block_handles
from focuslab.report.figures.entropy import plot_entropy_growth, plot_lift_against_length
from focuslab.report.figures.figure2 import figure2
from focuslab.report.figures.layout import TIMES, legend_above
from focuslab.report.figures.lift import plot_lift_by_block, plot_lift_by_step
from focuslab.report.figures.recall import plot_against_fraction
from focuslab.report.figures.style import style
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.made import machine_of, made_of
from focuslab.report.html.parts import Cell, Column, Group, Table, plain, table, words
from focuslab.report.html.sources import Run, read_arrays
from focuslab.tables.attention_rows import at_length, fractions_of, lengths_of, names_of

_PIECES = {
    "query/": "(a) Where single tokens attend over time and mel rows, the token in a square.",
    "crop/": "(b) Crops of the maps of blocks, where attention to the own mel row shows as stripes F tokens apart.",
}
"""How the name of a kept array begins -> what is drawn of such arrays."""


def capture_group(run: Run, drawer: Drawer) -> Group:
    rows, info, summary = run.summary["blocks"], run.info, run.summary
    group = Group(f"{info.model['name']}, {machine_of(info)}", made=[made_of(run)])
    here = shown_rows(summary)
    seconds = here[0]["seconds"]
    lifted = [row for row in here if row["lift"] is not None and row["lift_heads"]]
    if lifted:
        told = "; ".join(f"{row['name']} {row['lift']:.2f} of at most {row['mel_rows']}" for row in lifted)
        drawer.add(
            group,
            f"Lift by block and head, {seconds:g} s",
            lambda: plot_lift_by_block(lifted),
            "How much more attention stays in a query's own mel row than chance would have: every head as a dot, the "
            "mean of a block as a black bar with its interval over prompts; 1 is chance.",
            f"{told}.",
        )
    if lifted and all(len(row["by_step"]) == len(lifted[0]["by_step"]) > 0 for row in lifted):
        drawer.add(
            group,
            f"Lift by block and denoising step, {seconds:g} s",
            lambda: plot_lift_by_step(lifted),
            "Lift of each block at each recorded step, from noise on the left to sound on the right; mean over prompts "
            "and heads.",
        )
    for kind, title, said in (
        ("recall", "What LiteFocus would keep", "Recall: share of dense attention inside the focus set"),
        ("output_error", "What LiteFocus would lose", "Relative error of a site's output"),
    ):
        found = [row for row in here if row[kind]]
        if found:
            drawer.add(
                group,
                f"{title}, {seconds:g} s",
                lambda kind=kind, found=found: _with_names(plot_against_fraction(found, kind), found),
                f"{said}, against the cross fraction r; each site alone, mean over a block, interval over prompts.",
            )
    if len(lengths_of(rows)) > 1:
        _add_lengths(group, rows, summary, drawer)
    if any(row["rows"] for row in here):
        drawer.add(
            group,
            "From mel row to mel row",
            lambda: rows_figure({**summary, "blocks": here}),
            f"Mass from each query row to each key row over chance, a matrix a block, at {seconds:g} s; the diagonal "
            "is a query's own row, low frequencies are at the bottom left.",
            wide=True,
        )
    arrays = read_arrays(run)
    if arrays:
        drawer.add(
            group,
            "Pieces of attention maps",
            lambda: figure2(info, summary, arrays),
            " ".join(_PIECES[kind] for kind in _PIECES if any(name.startswith(kind) for name in arrays)),
            wide=True,
        )
    group.tables.append(_block_table(rows, summary))
    group.more += _number_tables(summary)
    return group


def shown_rows(summary: Mapping) -> list[Mapping[str, Any]]:
    """The blocks at the length that stands for the training length, or at the shortest."""
    rows, training = summary["blocks"], summary["training_length"]
    lengths = lengths_of(rows)
    return at_length(rows, training if training in lengths else lengths[0])


def _add_lengths(group: Group, rows: Sequence[Mapping], summary: Mapping, drawer: Drawer) -> None:
    training = summary["training_seconds"]
    if any(row["lift"] is not None for row in rows):
        drawer.add(
            group,
            "Lift against length",
            lambda: _with_names(plot_lift_against_length(rows, training), rows),
            f"Lift of each block against audio length; the model was trained on {training:g} s.",
        )
    if any(row["entropy_growth"] is not None for row in rows):
        drawer.add(
            group,
            "How attention spreads with length",
            lambda: _with_names(plot_entropy_growth(rows, training), rows),
            "Entropy of attention above that at the training length, in nats, a line a block; dotted is how much "
            "uniform attention grows.",
        )


def _with_names(ax: Axes, rows: Sequence[Mapping]) -> Axes:
    with style():
        legend_above(ax, block_handles(names_of(rows)), ncols=3, handlelength=2.0)
    return ax


def _block_table(rows: Sequence[Mapping], summary: Mapping) -> Table:
    notes = ["Lift: same-frequency mass over chance, 1 / F for F mel rows. Compare lifts, not masses."]
    interval = summary["interval"] or {}
    if interval.get("note"):
        notes.append(f"Interval: {interval['note']}.")
    for key, what in (("lift", "same-frequency mass"), ("entropy", "entropy"), ("rows", "mass by mel row")):
        if all(not row[key] for row in rows):
            notes.append(f"Not measured: {what}.")
    if not fractions_of(rows):
        notes.append("Not measured: recall and output error of LiteFocus.")
    over = summary["capture_over_plain"]
    notes.append(
        "Not measured: the cost of recording."
        if over is None
        else f"All steps together took {over:.3f} times what plain ones would have."
    )
    columns = [*_place_columns(rows), *_lift_columns(rows), words("In words", [row["verdict"] for row in rows])]
    return table("Same-frequency attention, by block and length", columns, notes)


def _number_tables(summary: Mapping) -> Iterator[Table]:
    for of, title in (("blocks", "All numbers, by block"), ("sites", "All numbers, by site")):
        rows = summary[of]
        if rows:
            yield table(title, [*_place_columns(rows), *_lift_columns(rows), *_other_columns(rows)])


def _place_columns(rows: Sequence[Mapping]) -> list[tuple[Column, list[Cell]]]:
    return [plain("Length", [row["seconds"] for row in rows], "g", "s"), words("Where", [row["name"] for row in rows])]


def _lift_columns(rows: Sequence[Mapping]) -> list[tuple[Column, list[Cell]]]:
    def of(key: str) -> list:
        return [row[key] for row in rows]

    return [
        plain("Mel rows", of("mel_rows"), "d"),
        plain("Mass on own row", of("same_frequency_mass"), ".1f", "%", 100),
        plain("Lift", of("lift"), ".2f", TIMES),
        plain("Low", of("lift_low"), ".2f", TIMES),
        plain("High", of("lift_high"), ".2f", TIMES),
    ]


def _other_columns(rows: Sequence[Mapping]) -> list[tuple[Column, list[Cell]]]:
    def of(key: str) -> list:
        return [row[key] for row in rows]

    columns = [
        plain("Time steps", of("time"), "d"),
        plain("Heads", of("heads"), "d"),
        plain("Best head", of("best_head_lift"), ".2f", TIMES),
        plain("Entropy", of("entropy"), ".2f", "nats"),
        plain("Of uniform attention", of("uniform_entropy"), ".2f", "nats"),
        plain("Grown since training", of("entropy_growth"), "+.2f", "nats"),
    ]
    for r in fractions_of(rows):
        columns.append(plain(f"Recall, r = {r}", [row["recall"].get(r) for row in rows], ".0f", "%", 100))
        columns.append(plain(f"Output error, r = {r}", [row["output_error"].get(r) for row in rows], ".0f", "%", 100))
    return columns
