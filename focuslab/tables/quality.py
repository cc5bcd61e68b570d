"""An evaluation's summary as tables: for the terminal, in GitHub's markdown, in LaTeX, and its numbers as CSV.

Needs the standard library only. Given how the run was made, the paper's numbers stand beside ours where the protocol is
the same, and a note says why where they do not.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from focuslab.runs import RunInfo, skipped_in_words
from focuslab.tables.paper import METRICS as PAPER_METRICS
from focuslab.tables.paper import SPEEDUP, differences, paper_value
from focuslab.tables.quality_rows import embedder_of, evaluation_rows, in_brackets, metric_of, metrics_of, scale_of
from focuslab.tables.quality_words import outcome
from focuslab.tables.text import NOTHING, WIDTH, Column, Table, in_latex, in_markdown, in_terminal, times

BETTER = {"lower": "lower is better", "higher": "higher is better"}
_KEYS = 3
"""Columns that say what a row is of."""
_OF_REFERENCE = ("frechet", "kernel", "kl_softmax", "kl_sigmoid", "clap")


def quality_table(summary: Mapping) -> str:
    """The tables of an evaluation for a terminal, those that are too wide in parts.

    Raises `InputError` where `summary` is none or holds no row.
    """
    return in_terminal(part for table in quality_tables(summary) for part in _narrow(table))


def quality_markdown(summary: Mapping, info: RunInfo | None = None) -> str:
    """The same tables in GitHub's markdown. With `info` the paper's numbers where the protocol is the same."""
    return in_markdown(quality_tables(summary, info))


def quality_latex(summary: Mapping, info: RunInfo | None = None) -> str:
    """The same in LaTeX; needs the packages booktabs and graphicx."""
    return in_latex(quality_tables(summary, info))


def quality_csv(summary: Mapping, info: RunInfo | None = None) -> str:
    """All numbers, a line a length, method and metric, unrounded and in the units of the summary."""
    rows = evaluation_rows(summary)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        "seconds method metric value low high n minus_dense minus_dense_low minus_dense_high embedder checkpoint "
        "reference paper".split()
    )
    for row in rows:
        where = [f"{row['seconds']:g}", row["method"]]
        for name in metrics_of([row]):
            own, minus = metric_of(row, name), metric_of(row, name, "minus_dense")
            about = [row["metrics"][name].get(key) for key in ("embedder", "checkpoint", "reference")]
            numbers = [own[k] for k in ("value", "low", "high", "n")] + [minus[k] for k in ("value", "low", "high")]
            writer.writerow([*where, name, *numbers, *about, _paper(row, name, summary, info)])
        if row.get(SPEEDUP) is not None:
            numbers = [row[SPEEDUP], row.get("speedup_low"), row.get("speedup_high"), row["n"]]
            writer.writerow([*where, SPEEDUP, *numbers, *[None] * 6, _paper(row, SPEEDUP, summary, info)])
    return out.getvalue()


def quality_tables(summary: Mapping, info: RunInfo | None = None) -> list[Table]:
    """Metrics against reference and captions, with the speed; paired differences to dense; clips beside dense clips."""
    rows = evaluation_rows(summary)
    names = metrics_of(rows)
    of_reference = [name for name in names if name in _OF_REFERENCE]
    beside_dense = [name for name in names if name not in _OF_REFERENCE]
    tables = [
        Table(
            "Quality and speed",
            [*_keys(rows), *_values(rows, of_reference, summary, info), *_speed(rows, summary, info)],
            [*_about(summary, of_reference), *_speed_notes(rows), *_paper_notes(rows, of_reference, summary, info)],
        )
    ]
    paired = [row for row in rows if any(metric_of(row, n, "minus_dense")["value"] is not None for n in of_reference)]
    paired = [row for row in paired if row["method"] != "dense"]
    if paired:
        tables.append(
            Table(
                "Difference to dense, same captions and seeds",
                [*_keys(paired), *_paired(paired, of_reference, summary)],
                [
                    "+ is significantly better than dense and - significantly worse: the 95 % interval in brackets excludes 0."
                ],
            )
        )
    if beside_dense:
        columns = [*_keys(rows), *_values(rows, beside_dense, summary, None)]
        tables.append(Table("Beside the dense clip of the same seed", columns, _about(summary, beside_dense)))
    tables[-1].notes.extend(_count_notes(rows))
    tables[-1].notes.extend(map(str, summary.get("footnotes") or ()))
    tables[-1].notes.extend(skipped_in_words(summary.get("skipped") or ()))
    return tables


def _narrow(table: Table) -> list[Table]:
    """The table in parts of at most `WIDTH` columns, each with the columns that say what a row is of."""
    keys, rest = table.columns[:_KEYS], table.columns[_KEYS:]
    room = WIDTH - _width(keys)
    parts: list[list[Column]] = [[]]
    for column in rest:
        if parts[-1] and _width([*parts[-1], column]) > room:
            parts.append([])
        parts[-1].append(column)
    titles = [table.title, *[f"{table.title}, continued"] * (len(parts) - 1)]
    tables = [Table(title, [*keys, *part], []) for title, part in zip(titles, parts, strict=True)]
    tables[-1].notes.extend(table.notes)
    return tables


def _width(columns: Iterable[Column]) -> int:
    return sum(max(map(len, (*column.head, *column.cells))) + 2 for column in columns)


def _keys(rows: Sequence[Mapping]) -> list[Column]:
    def count(row: Mapping) -> str:
        lost = sum((row.get("excluded") or {}).values())
        return f"{row['n']}" + (f" (-{lost})" if lost else "")

    return [
        Column(("length", "[s]"), [f"{row['seconds']:g}" for row in rows]),
        Column(("method", ""), [row["method"] for row in rows], left=True),
        Column(("clips", "scored"), [count(row) for row in rows]),
    ]


def _values(rows: Sequence[Mapping], names: Iterable[str], summary: Mapping, info: RunInfo | None) -> list[Column]:
    columns = []
    for name in names:
        scale = scale_of(name)
        number = _number([metric_of(row, name) for row in rows], scale.factor)
        second = " ".join(part for part in (embedder_of(rows, name)[0], in_brackets(scale.unit)) if part)
        found = [with_interval(metric_of(row, name), number) + _count(row, metric_of(row, name)) for row in rows]
        columns.append(Column((scale.head, second), found))
        paper = [_paper(row, name, summary, info) for row in rows]
        if any(value is not None for value in paper):
            columns.append(Column(("paper", second), [number(value) for value in paper]))
    return columns


def _count(row: Mapping, metric: Mapping[str, Any]) -> str:
    """ " n=3" where a metric is of fewer clips than were scored, or of more."""
    is_measured = metric["value"] is not None and metric["n"] is not None
    return f" n={metric['n']}" if is_measured and metric["n"] != row.get("n") else ""


def _count_notes(rows: Sequence[Mapping]) -> list[str]:
    found = [
        (row, metric_of(row, name, key)) for row in rows for name in row["metrics"] for key in (None, "minus_dense")
    ]
    fewer = any(_count(row, metric) for row, metric in found)
    return ["n: how many clips a number is of, where these are not all that were scored."] if fewer else []


def _paired(rows: Sequence[Mapping], names: Iterable[str], summary: Mapping) -> list[Column]:
    columns = []
    for name in names:
        found = [metric_of(row, name, "minus_dense") for row in rows]
        if all(metric["value"] is None for metric in found):
            continue
        scale = scale_of(name)
        number = _number(found, scale.factor, signed=True)
        better = _better(summary, name)
        cells = [
            " ".join(part for part in (with_interval(metric, number), outcome(row, name, better)) if part)
            + _count(row, metric)
            for row, metric in zip(rows, found, strict=True)
        ]
        columns.append(Column((scale.head, in_brackets(scale.difference_unit)), cells))
    return columns


def _speed(rows: Sequence[Mapping], summary: Mapping, info: RunInfo | None) -> list[Column]:
    if all(row.get(SPEEDUP) is None for row in rows):
        return []
    columns = [Column(("speed-up", "vs dense"), [times(row.get(SPEEDUP)) for row in rows])]
    paper = [_paper(row, SPEEDUP, summary, info) for row in rows]
    if any(value is not None for value in paper):
        columns.append(Column(("paper", "speed-up"), [times(value) for value in paper]))
    return columns


def _paper(row: Mapping, name: str, summary: Mapping, info: RunInfo | None) -> float | None:
    if info is None or differences(name, summary, info):
        return None
    return paper_value(row["seconds"], row["method"], name)


def _about(summary: Mapping, names: Iterable[str]) -> list[str]:
    """A sentence a metric: what it is, by which embedder, and which way is better."""
    notes = []
    for name in names:
        about = summary["metrics"].get(name, {})
        said = [about.get("title") or scale_of(name).head]
        said += [f"by {about['checkpoint']}"] if about.get("checkpoint") else []
        said += [BETTER[about["better"]]] if about.get("better") in BETTER else []
        notes.append(f"{scale_of(name).head}: {', '.join(said)}.")
    return notes


def _speed_notes(rows: Sequence[Mapping]) -> list[str]:
    if all(row.get(SPEEDUP) is None for row in rows):
        return []
    return ["Speed-up: of the denoising, over fused dense attention, from the clips scored here."]


def _paper_notes(rows: Sequence[Mapping], names: Sequence[str], summary: Mapping, info: RunInfo | None) -> list[str]:
    """Why the paper's numbers are not there, a sentence for all metrics with the same reasons."""
    if info is None:
        return []
    has_speed = any(row.get(SPEEDUP) is not None for row in rows)
    asked = [name for name in PAPER_METRICS if name in names or (name == SPEEDUP and has_speed)]
    asked = [name for name in asked if any(paper_value(r["seconds"], r["method"], name) is not None for r in rows)]
    heads = {SPEEDUP: "speed-up"}
    return [
        f"The paper's {heads.get(name, scale_of(name).head)} is not beside ours: {'; '.join(reasons)}."
        for name in asked
        if (reasons := differences(name, summary, info))
    ]


def _better(summary: Mapping, name: str) -> str | None:
    return (summary["metrics"].get(name) or {}).get("better")


def _number(metrics: Iterable[Mapping[str, Any]], factor: float, signed: bool = False):
    """A function value -> text with as many decimals as give the column's largest number three digits."""
    numbers = [metric[key] for metric in metrics for key in ("value", "low", "high")]
    largest = max((abs(number * factor) for number in numbers if number), default=1.0)
    decimals = min(max(2 - math.floor(math.log10(largest)), 0), 4)
    if signed:
        return lambda value: NOTHING if value is None else f"{value * factor:+.{decimals}f}"
    # Adding 0 takes the sign of what rounds to nothing.
    return lambda value: NOTHING if value is None else f"{round(value * factor, decimals) + 0.0:.{decimals}f}"


def with_interval(metric: Mapping[str, Any], number: Callable[[float | None], str]) -> str:
    """ "1.2 (1.1..1.3)"; the value alone where it has no interval."""
    if metric["low"] is None or metric["high"] is None:
        return number(metric["value"])
    return f"{number(metric['value'])} ({number(metric['low'])}..{number(metric['high'])})"
