"""The section on quality: figures and tables of evaluations."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from focuslab.report.figures.quality import quality_figure
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.made import group_of
from focuslab.report.html.parts import Group
from focuslab.report.html.sources import Run
from focuslab.tables.attention_rows import lengths_of
from focuslab.tables.quality import quality_tables
from focuslab.tables.quality_rows import SPEEDUP, evaluation_rows, metric_of, metrics_of, scale_of


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
