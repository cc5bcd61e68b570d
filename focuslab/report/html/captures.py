"""Where attention looks: what captures show."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from focuslab.report.figures.attention import rows_figure
from focuslab.report.figures.blocks import block_handles
from focuslab.report.figures.entropy import plot_entropy_growth, plot_lift_against_length
from focuslab.report.figures.figure2 import figure2
from focuslab.report.figures.layout import legend_above
from focuslab.report.figures.lift import plot_lift_by_block, plot_lift_by_step
from focuslab.report.figures.recall import plot_against_fraction
from focuslab.report.figures.style import style
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.made import group_of
from focuslab.report.html.parts import Group
from focuslab.report.html.sources import Run, read_arrays
from focuslab.tables.attention import attention_columns, attention_tables
from focuslab.tables.attention_rows import at_length, lengths_of, names_of
from focuslab.tables.table import Table

_PIECES = {
    "query/": "(a) Where single tokens attend over time and mel rows, the token in a square.",
    "crop/": "(b) Crops of the maps of blocks, where attention to the own mel row shows as stripes F tokens apart.",
}
"""How the name of a kept array begins -> what is drawn of such arrays."""


def capture_group(run: Run, drawer: Drawer) -> Group:
    """Lift, recall, output error, growth with length, matrices and pieces of maps, as far as they were recorded."""
    summary, group = run.summary, group_of([run])
    here = shown_rows(summary)
    seconds = here[0]["seconds"]
    _add_lift(group, [row for row in here if row["lift"] is not None and row["lift_heads"]], drawer)
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
    if len(lengths_of(summary["blocks"])) > 1:
        _add_lengths(group, summary, drawer)
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
            lambda: figure2(run.info, summary, arrays),
            " ".join(_PIECES[kind] for kind in _PIECES if any(name.startswith(kind) for name in arrays)),
            wide=True,
        )
    drawer.tables(group, lambda: attention_tables(summary))
    if summary["sites"]:
        sites = [Table("Same-frequency attention, by site", attention_columns(summary["sites"]))]
        drawer.tables(group, lambda: sites, more=True)
    return group


def shown_rows(summary: Mapping) -> list[Mapping[str, Any]]:
    """The blocks at the length that stands for the training length, or at the shortest."""
    rows, training = summary["blocks"], summary["training_length"]
    lengths = lengths_of(rows)
    return at_length(rows, training if training in lengths else lengths[0])


def _add_lift(group: Group, rows: Sequence[Mapping], drawer: Drawer) -> None:
    if not rows:
        return
    seconds = rows[0]["seconds"]
    drawer.add(
        group,
        f"Lift by block and head, {seconds:g} s",
        lambda: plot_lift_by_block(rows),
        "How much more attention stays in a query's own mel row than chance would have: every head as a dot, the mean "
        "of a block as a black bar with its interval over prompts; 1 is chance.",
        "; ".join(f"{row['name']} {row['lift']:.2f} of at most {row['mel_rows']}" for row in rows),
    )
    if all(len(row["by_step"]) == len(rows[0]["by_step"]) > 0 for row in rows):
        drawer.add(
            group,
            f"Lift by block and denoising step, {seconds:g} s",
            lambda: plot_lift_by_step(rows),
            "Lift of each block at each recorded step, from noise on the left to audio on the right; mean over prompts "
            "and heads.",
        )


def _add_lengths(group: Group, summary: Mapping, drawer: Drawer) -> None:
    rows, training = summary["blocks"], summary["training_seconds"]
    for key, title, plot, said in (
        (
            "lift",
            "Lift against length",
            plot_lift_against_length,
            f"Lift of each block against audio length; the model was trained on {training:g} s.",
        ),
        (
            "entropy_growth",
            "How attention spreads with length",
            plot_entropy_growth,
            "Entropy of attention above that at the training length, in nats, a line a block; dotted is how much "
            "uniform attention grows.",
        ),
    ):
        if any(row[key] is not None for row in rows):
            drawer.add(group, title, lambda plot=plot: _with_names(plot(rows, training), rows), said)


def _with_names(ax: Axes, rows: Sequence[Mapping]) -> Axes:
    with style():
        legend_above(ax, block_handles(names_of(rows)), ncols=3, handlelength=2.0)
    return ax
