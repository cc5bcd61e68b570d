"""Sentences on an evaluation: how methods compare with dense at each length, and what the paper found."""

from collections.abc import Mapping

from focuslab.tables.measured import measured, significant_sign
from focuslab.tables.paper import METRICS as PAPER_METRICS
from focuslab.tables.paper import paper_value
from focuslab.tables.quality_rows import evaluation_rows, methods_of, metric_of, scale_of

SIGNIFICANTLY = {"+": "significantly better", "-": "significantly worse"}
"""The words for an `outcome`."""
_OUTCOMES = {
    **{sign: f"{significantly} than dense" for sign, significantly in SIGNIFICANTLY.items()},
    "": "not significantly different from dense",
}


def outcome(row: Mapping, metric: str, better: str | None) -> str:
    """ "+" where a row is significantly better than dense, "-" where significantly worse, else "".

    Significant is a paired difference to dense whose 95 % confidence interval excludes 0.
    """
    return {True: "+", False: "-", None: ""}[significant_sign(measured(row, metric, "minus_dense"), better)]


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
