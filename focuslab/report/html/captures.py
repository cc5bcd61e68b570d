"""The sections on where attention looks and on quality: figures and tables of captures and evaluations."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from focuslab.report.figures.attention import attention_figures
from focuslab.report.figures.quality import quality_figure
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.parts import Group, group_of
from focuslab.report.html.sources import Run, read_arrays
from focuslab.tables.attention import at_length, attention_columns, attention_tables, lengths_of, names_of
from focuslab.tables.quality import quality_tables
from focuslab.tables.quality_rows import SPEEDUP, evaluation_rows, metric_of, metrics_of, scale_of
from focuslab.tables.table import Table

TITLES = {
    "lift": "Lift by block, head and denoising step",
    "fractions": "What LiteFocus would keep and lose",
    "lengths": "How attention changes with length",
    "rows": "From mel row to mel row",
    "lag": "How far attention reaches",
    "figure2": "Pieces of attention maps",
}
"""Figure of a capture -> its title, in the order of the page."""
MOST_BLOCKS = 24
"""At most this many blocks are drawn."""


def capture_group(run: Run, drawer: Drawer) -> Group:
    """Every figure that the capture holds records for, and the tables."""
    summary, group = run.summary, group_of([run])
    names = set(names_of(summary["blocks"])[:MOST_BLOCKS])
    drawn = {**summary, "blocks": [row for row in summary["blocks"] if row["name"] in names]}
    figures = attention_figures(run.info, drawn, read_arrays(run))
    told = "; ".join(
        f"{row['name']} {row['lift']:.2f} of at most {row['mel_rows']}"
        for row in shown_rows(summary)
        if row["lift"] is not None
    )
    for name, title in TITLES.items():
        if name in figures:
            drawer.add(group, title, figures[name], told if name == "lift" else "")
    drawer.tables(group, lambda: attention_tables(summary))
    if summary["sites"]:
        sites = Table("Same-frequency attention, by site", attention_columns(summary["sites"]))
        drawer.tables(group, lambda: [sites], more=True)
    return group


def shown_rows(summary: Mapping) -> list[Mapping[str, Any]]:
    """The blocks at the length that stands for the training length, or at the shortest."""
    rows, training = summary["blocks"], summary["training_length"]
    lengths = lengths_of(rows)
    return at_length(rows, training if training in lengths else lengths[0])


def evaluation_group(run: Run, drawer: Drawer) -> Group:
    """Speed against quality at each length, and the tables."""
    summary, group = run.summary, group_of([run])
    rows = evaluation_rows(summary)
    for seconds in lengths_of(rows):
        here = [row for row in rows if row["seconds"] == seconds and row[SPEEDUP] is not None]
        if here and metrics_of(here):
            drawer.add(
                group,
                f"Speed against quality at {seconds:g} s",
                partial(quality_figure, summary, seconds),
                f"{'. '.join(_told(row) for row in here)}.",
            )
    drawer.tables(group, lambda: quality_tables(summary, run.info))
    return group


def _told(row: Mapping[str, Any]) -> str:
    values = {name: metric_of(row, name)["value"] for name in metrics_of([row])}
    said = ", ".join(f"{scale_of(name).head} {value:.3g}" for name, value in list(values.items())[:3])
    return f"{row['method']}: {row[SPEEDUP]:.2f} times as fast, {said}"
