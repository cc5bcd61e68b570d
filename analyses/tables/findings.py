"""An evaluation as a report shows it: sentences on how methods compare, and a figure a length."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from focuslab.checks import is_number
from focuslab.errors import InputError
from focuslab.report.figures.quality import quality_figure
from focuslab.report.figures.style import FORMATS, save
from focuslab.tables.attention import at_length, lengths_of
from focuslab.tables.paper import METRICS as PAPER_METRICS
from focuslab.tables.paper import paper_value
from focuslab.tables.quality_rows import (
    SIGNIFICANTLY,
    SPEEDUP,
    evaluation_rows,
    main_metrics,
    methods_of,
    metric_of,
    outcome,
    scale_of,
)

_OUTCOMES = {
    **{sign: f"{significantly} than dense" for sign, significantly in SIGNIFICANTLY.items()},
    "": "not significantly different from dense",
}


def merge_evaluations(summaries: Sequence[Mapping]) -> dict[str, Any]:
    """One summary of several evaluations of one model, such as one a length.

    What is said of only some of them is said with their lengths; `reference` and whose CLAP scored are the first's.
    Raises `InputError` where two of them hold one method at one length, or measured a metric differently.
    """
    first = summaries[0]
    for summary in summaries:
        for name, about in summary["metrics"].items():
            if first["metrics"].get(name, about) != about:
                raise InputError(f"the evaluations measured {name} in different ways: they do not go into one table")
    lengths = {i: ", ".join(f"{s:g}" for s in lengths_of(summary["rows"])) for i, summary in enumerate(summaries)}
    said: dict[str, list[str]] = {}
    for i, summary in enumerate(summaries):
        for note in summary["footnotes"]:
            said.setdefault(note, []).append(lengths[i])
    notes = [n if len(at) == len(summaries) else f"At {', '.join(at)} s: {n}" for n, at in said.items()]
    metrics = {name: about for summary in summaries for name, about in summary["metrics"].items()}
    rows = [row for summary in summaries for row in summary["rows"]]
    whole = {
        **first,
        "metrics": metrics,
        "rows": rows,
        "items": {status: sum(summary["items"][status] for summary in summaries) for status in first["items"]},
        "scoring_over_generating": sum(row["scoring_seconds"] for row in rows)
        / sum(row["generation_seconds"] for row in rows),
        "footnotes": notes,
    }
    return {**whole, "rows": evaluation_rows(whole)}


def findings(summary: Mapping, metric: str) -> list[str]:
    """Sentences in Markdown on a metric; methods of which the same is said share one."""
    of: dict[str, list[str]] = {}
    for method in methods_of(evaluation_rows(summary)):
        if words := against_dense(summary, metric, method):
            of.setdefault(f"{words} {against_paper(summary, metric, method)}".strip(), []).append(f"`{method}`")
    return [f"{scale_of(metric).head}, {', '.join(methods)}: {words}" for words, methods in of.items()]


def against_dense(summary: Mapping, metric: str, method: str) -> str:
    """How a method compares with dense, length by length; "" where nothing was measured against dense."""
    better = _better(summary, metric)
    lengths: dict[str, list[str]] = {}
    for row in _compared(summary, metric, method):
        lengths.setdefault(_OUTCOMES[outcome(row, metric, better)], []).append(f"{row['seconds']:g}")
    return _at_lengths(lengths)


def against_paper(summary: Mapping, metric: str, method: str) -> str:
    """Which way the paper's numbers lie at the same lengths, and whether ours significantly lie the same way.

    Directions only: the numbers themselves are of another protocol (`paper.differences`). "" where the paper has none.
    """
    if metric not in PAPER_METRICS:
        return ""
    better = _better(summary, metric)
    found: dict[str, list[str]] = {}
    for row in _compared(summary, metric, method):
        value, dense = (paper_value(row["seconds"], label, metric) for label in (method, "dense"))
        if value is None or dense is None or value == dense:
            continue
        papers = "+" if (value < dense) == (better == "lower") else "-"
        ours = outcome(row, metric, better)
        agreement = "as here" if ours == papers else "not significant here" if not ours else "the other way here"
        said = f"{'better' if papers == '+' else 'worse'}, {agreement},"
        found.setdefault(said, []).append(f"{row['seconds']:g}")
    return f"In the paper {_at_lengths(found)}" if found else ""


def _at_lengths(found: Mapping[str, list[str]]) -> str:
    """The rest of a sentence: each finding with its lengths in seconds."""
    return "; ".join(f"{said} at {', '.join(at)} s" for said, at in found.items()) + "." if found else ""


def _compared(summary: Mapping, metric: str, method: str) -> list[Mapping]:
    rows = [row for row in evaluation_rows(summary) if row["method"] == method]
    return [row for row in rows if metric_of(row, metric, "minus_dense")["value"] is not None]


def _better(summary: Mapping, metric: str) -> str | None:
    return (summary["metrics"].get(metric) or {}).get("better")


def write_quality_figures(
    summary: Mapping, directory: str | os.PathLike, made: str | None = None, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write DIRECTORY/speed_against_quality_010s.svg and so on, one a length that has something to draw.

    `made` says how, in the metadata of the files, where the footnotes of the evaluation stand too.
    """
    made = "\n".join([*([made] if made else []), *map(str, summary.get("footnotes") or ())])
    rows = evaluation_rows(summary)
    paths = []
    for seconds in lengths_of(rows):
        own = [row for row in at_length(rows, seconds, "evaluation") if is_number(row.get(SPEEDUP))]
        if main_metrics(own):
            path = Path(directory) / f"speed_against_quality_{length_name(seconds)}"
            paths += save(quality_figure(summary, seconds), path, formats, made)
    return paths


def length_name(seconds: float) -> str:
    """The name of a length in file names: "010s", which sorts, or "0.64s" where it is no whole number."""
    return f"{seconds:03.0f}s" if seconds == round(seconds) else f"{seconds:g}s"
