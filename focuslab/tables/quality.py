"""The tables of an evaluation: for the terminal, in Markdown, in LaTeX, and its numbers as CSV.

Given how the run was made, the paper's numbers stand beside ours where the protocol is the same. A note says why where
they do not.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from focuslab.runs import RunInfo, skipped_in_words
from focuslab.tables.paper import METRICS as PAPER_METRICS
from focuslab.tables.paper import SPEEDUP, differences, paper_value
from focuslab.tables.quality_rows import embedder_of, evaluation_rows, metric_of, metrics_of, outcome, scale_of
from focuslab.tables.table import Column, Table, labels, numbers, seconds_of, speedups

BETTER = {"lower": "lower is better", "higher": "higher is better"}
_OF_REFERENCE = ("frechet", "kernel", "kl_softmax", "kl_sigmoid", "clap")
_ENDS = ("value", "low", "high")
_CSV = (
    "seconds method metric value low high n minus_dense minus_dense_low minus_dense_high embedder checkpoint reference "
    "paper"
)


def quality_csv(summary: Mapping, info: RunInfo | None = None) -> str:
    """All numbers, a line a length, method and metric, unrounded and in the units of the summary."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV.split())
    for row in evaluation_rows(summary):
        where = [f"{row['seconds']:g}", row["method"]]
        for name in metrics_of([row]):
            own, minus = metric_of(row, name), metric_of(row, name, "minus_dense")
            about = [row["metrics"][name].get(key) for key in ("embedder", "checkpoint", "reference")]
            values = [own[key] for key in (*_ENDS, "n")] + [minus[key] for key in _ENDS]
            writer.writerow([*where, name, *values, *about, _paper(row, name, summary, info)])
        if row.get(SPEEDUP) is not None:
            values = [row[SPEEDUP], row.get("speedup_low"), row.get("speedup_high"), row["n"]]
            writer.writerow([*where, SPEEDUP, *values, *[None] * 6, _paper(row, SPEEDUP, summary, info)])
    return out.getvalue()


def quality_tables(summary: Mapping, info: RunInfo | None = None) -> list[Table]:
    """Metrics against reference and captions, with the speed; paired differences to dense; clips beside dense clips."""
    rows = evaluation_rows(summary)
    names = metrics_of(rows)
    of_reference = [name for name in names if name in _OF_REFERENCE]
    beside_dense = [name for name in names if name not in _OF_REFERENCE]

    def table(title: str, rows: Sequence[Mapping], columns: Iterable[Column], notes: Iterable[str]) -> Table:
        return Table(title, [*_keys(rows), *columns], list(notes), keys=3)

    speed_note = "Speed-up: of the denoising, over fused dense attention, from the clips scored here."
    has_speed = any(row.get(SPEEDUP) is not None for row in rows)
    notes = [*_about(summary, of_reference), *[speed_note] * has_speed]
    notes += _paper_notes(rows, [*of_reference, *[SPEEDUP] * has_speed], summary, info)
    columns: Iterable[Column] = [
        *_values(rows, of_reference, summary, info),
        *(_speed(rows, summary, info) if has_speed else ()),
    ]
    tables = [table("Quality and speed", rows, columns, notes)]
    paired = [row for row in rows if any(metric_of(row, n, "minus_dense")["value"] is not None for n in of_reference)]
    paired = [row for row in paired if row["method"] != "dense"]
    if paired:
        note = "+ is significantly better than dense and - significantly worse: the 95 % interval excludes 0."
        columns = _paired(paired, of_reference, summary)
        tables.append(table("Difference to dense, same captions and seeds", paired, columns, [note]))
    if beside_dense:
        columns = _values(rows, beside_dense, summary, None)
        tables.append(table("Beside the dense clip of the same seed", rows, columns, _about(summary, beside_dense)))
    tables += _along_tables(rows, summary)
    every = ((row, metric_of(row, n, key)) for row in rows for n in row["metrics"] for key in (None, "minus_dense"))
    if any(_count(row, metric) for row, metric in every):
        tables[-1].notes.append("n: how many clips a number is of, where these are not all that were scored.")
    tables[-1].notes.extend(map(str, summary.get("footnotes") or ()))
    tables[-1].notes.extend(skipped_in_words(summary.get("skipped") or ()))
    return tables


def _along_tables(rows: Sequence[Mapping], summary: Mapping) -> list[Table]:
    """How clips change along their length; from which length on dense clips are worse than those of training length."""
    shown = [row for row in rows if row.get("along")]
    if not shown:
        return []
    notes = [
        "First and last: the means of the first and the last window of a clip. Change: a minute, along a clip.",
        "Repetition: the mean cosine of a clip's own windows in CLAP.",
    ]
    if breaks := summary.get("breaks"):
        notes.append(_breaks_in_words(breaks))
    along = [row["along"] for row in shown]
    columns = [numbers("windows", [of["windows"] for of in along], "d")]
    for name, head in (("clap", "CLAP score"), ("silence_share", "silent"), ("rms", "RMS")):
        found = [of.get(name) for of in along]
        if any(found):
            form = ".3f" if name == "rms" else ".2f"
            ends = [[each and each["by_window"][place] for each in found] for place in (0, -1)]
            columns += [
                numbers(f"{head}\n{which}", end, form) for which, end in zip(("first", "last"), ends, strict=True)
            ]
            drift = {key: [each and each[key] for each in found] for key in ("drift", "drift_low", "drift_high")}
            columns.append(
                numbers(f"{head}\nchange", drift["drift"], f"+{form}", low=drift["drift_low"], high=drift["drift_high"])
            )
    value, low, high = ([of[key] for of in along] for key in ("repetition", "repetition_low", "repetition_high"))
    columns.append(numbers("repetition", value, ".2f", low=low, high=high))
    return [Table("Along the clip, window by window", [*_keys(shown), *columns], notes, keys=3)]


def _breaks_in_words(breaks: Mapping) -> str:
    base = f"those of {breaks['base_seconds']:g} s"
    if breaks["seconds"] is None:
        return (
            f"At no length up to {breaks['rows'][-1]['seconds']:g} s are dense clips significantly worse than {base}."
        )
    return f"From {breaks['seconds']:g} s on dense clips are significantly worse in CLAP score than {base}."


def _keys(rows: Sequence[Mapping]) -> list[Column]:
    lost = [sum((row.get("excluded") or {}).values()) for row in rows]
    marks = [f" (-{count})" if count else "" for count in lost]
    clips = numbers("clips\nscored", [row["n"] for row in rows], "d", marks=marks)
    return [seconds_of(rows), labels("method", [row["method"] for row in rows]), clips]


def _values(rows: Sequence[Mapping], names: Iterable[str], summary: Mapping, info: RunInfo | None) -> Iterable[Column]:
    for name in names:
        embedder = embedder_of(rows, name)[0]
        under = f"\n{embedder}" if embedder else ""
        found = [metric_of(row, name) for row in rows]
        counts = [_count(row, metric) for row, metric in zip(rows, found, strict=True)]
        yield _column(f"{scale_of(name).head}{under}", name, found, counts)
        paper = [_paper(row, name, summary, info) for row in rows]
        if any(value is not None for value in paper):
            scale = scale_of(name)
            yield numbers(f"paper{under}", paper, _digits(name, found), scale.unit, factor=scale.factor)


def _paired(rows: Sequence[Mapping], names: Iterable[str], summary: Mapping) -> Iterable[Column]:
    for name in names:
        found = [metric_of(row, name, "minus_dense") for row in rows]
        if any(metric["value"] is not None for metric in found):
            better = (summary["metrics"].get(name) or {}).get("better")
            pairs = zip(rows, found, strict=True)
            marks = [f" {outcome(row, name, better)}".rstrip() + _count(row, metric) for row, metric in pairs]
            yield _column(scale_of(name).head, name, found, marks, "+")


def _column(head: str, name: str, found: Sequence[Mapping], marks: Sequence[str], sign: str = "") -> Column:
    scale = scale_of(name)
    value, low, high = ([metric[key] for metric in found] for key in _ENDS)
    unit = scale.difference_unit if sign else scale.unit
    form = _digits(name, found, sign)
    return numbers(head, value, form, unit, factor=scale.factor, low=low, high=high, marks=marks)


def _digits(name: str, found: Iterable[Mapping[str, Any]], sign: str = "") -> Callable[[float], str]:
    """A function from a value to text with as many decimals as give the largest number of the column three digits."""
    values = [abs(metric[key] * scale_of(name).factor) for metric in found for key in _ENDS if metric[key]]
    decimals = min(max(2 - math.floor(math.log10(max(values, default=1.0))), 0), 4)
    # Adding 0 takes the sign of what rounds to nothing.
    return lambda value: f"{round(value, decimals) + 0.0:{sign}.{decimals}f}"


def _speed(rows: Sequence[Mapping], summary: Mapping, info: RunInfo | None) -> Iterable[Column]:
    yield speedups("speed-up\nvs dense", [row.get(SPEEDUP) for row in rows])
    paper = [_paper(row, SPEEDUP, summary, info) for row in rows]
    if any(value is not None for value in paper):
        yield speedups("paper\nspeed-up", paper)


def _count(row: Mapping, metric: Mapping[str, Any]) -> str:
    """ " n=3" where a metric is of fewer clips than were scored, or of more."""
    is_measured = metric["value"] is not None and metric["n"] is not None
    return f" n={metric['n']}" if is_measured and metric["n"] != row.get("n") else ""


def _paper(row: Mapping, name: str, summary: Mapping, info: RunInfo | None) -> float | None:
    if info is None or differences(name, summary, info):
        return None
    return paper_value(row["seconds"], row["method"], name)


def _about(summary: Mapping, names: Iterable[str]) -> Iterable[str]:
    """A sentence a metric: what it is, by which embedder, and which way is better."""
    for name in names:
        about = summary["metrics"].get(name, {})
        said = [about.get("title") or scale_of(name).head]
        said += [f"by {about['checkpoint']}"] if about.get("checkpoint") else []
        said += [BETTER[about["better"]]] if about.get("better") in BETTER else []
        yield f"{scale_of(name).head}: {', '.join(said)}."


def _paper_notes(rows: Sequence[Mapping], names: Sequence[str], summary: Mapping, info: RunInfo | None) -> list[str]:
    """Why the paper's numbers are not there, a sentence a metric."""
    if info is None:
        return []
    asked = [name for name in PAPER_METRICS if name in names]
    asked = [name for name in asked if any(paper_value(r["seconds"], r["method"], name) is not None for r in rows)]
    heads = {SPEEDUP: "speed-up"}
    return [
        f"The paper's {heads.get(name, scale_of(name).head)} is not beside ours: {'; '.join(reasons)}."
        for name in asked
        if (reasons := differences(name, summary, info))
    ]
