"""What an evaluation shows, in sentences: a method against dense at each length, and beside what the paper found."""

from collections.abc import Mapping

from focuslab.analyzers.quality_objective import measured, sure_sign
from focuslab.report.paper import METRICS as PAPER_METRICS
from focuslab.report.paper import paper_value
from focuslab.report.quality_rows import evaluation_rows, metric_of, scale_of

_OUTCOMES = {"+": "surely better", "-": "surely worse", "": "not told apart"}


def outcome(row: Mapping, metric: str, better: str | None) -> str:
    """ "+" where the paired difference to dense is surely an improvement, "-" where surely a loss, else ""."""
    return {True: "+", False: "-", None: ""}[sure_sign(measured(row, metric, "minus_dense"), better)]


def against_dense(summary: Mapping, metric: str, method: str) -> str:
    """ "Frechet, litefocus against dense: surely worse at 10 s; not told apart at 40, 80 s." "" where nothing was
    measured against dense."""
    better = _better(summary, metric)
    lengths: dict[str, list[str]] = {}
    for row in _compared(summary, metric, method):
        lengths.setdefault(outcome(row, metric, better), []).append(f"{row['seconds']:g}")
    if not lengths:
        return ""
    said = "; ".join(f"{_OUTCOMES[sign]} at {', '.join(at)} s" for sign, at in lengths.items())
    return f"{scale_of(metric).head}, {method} against dense: {said}."


def against_paper(summary: Mapping, metric: str, method: str) -> str:
    """Which way the paper's numbers lie at the same lengths, and whether ours surely lie the same way or the other.

    Directions only: the numbers themselves are of another protocol (`paper.differences`). "" where the paper has none.
    """
    if metric not in PAPER_METRICS:
        return ""
    better = _better(summary, metric)
    found: dict[str, list[str]] = {}
    for row in _compared(summary, metric, method):
        values = [paper_value(row["seconds"], label, metric) for label in (method, "dense")]
        if None in values or values[0] == values[1]:
            continue
        papers = "+" if (values[0] < values[1]) == (better == "lower") else "-"
        ours = outcome(row, metric, better)
        agreement = "the same here" if ours == papers else "not settled here" if not ours else "the other way here"
        said = f"{'better' if papers == '+' else 'worse'} in the paper, {agreement}"
        found.setdefault(said, []).append(f"{row['seconds']:g}")
    return "; ".join(f"{said}: {', '.join(at)} s" for said, at in found.items()) + "." if found else ""


def _compared(summary: Mapping, metric: str, method: str) -> list[Mapping]:
    rows = [row for row in evaluation_rows(summary) if row["method"] == method]
    return [row for row in rows if metric_of(row, metric, "minus_dense")["value"] is not None]


def _better(summary: Mapping, metric: str) -> str | None:
    return (summary["metrics"].get(metric) or {}).get("better")
