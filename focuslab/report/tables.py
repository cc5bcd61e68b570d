"""A profile's summary as text: a table for the terminal and the same table in GitHub's markdown.

Needs the standard library only. Also holds what figures and tables share: checked rows, and the order of methods.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from focuslab.errors import InputError

WIDTH = 120
"""Widest line of the terminal table, in characters, for labels and numbers of ordinary size."""
NOTHING = "-"
NOT_MEASURED = "not measured"

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_LONG_SECONDS = ((60.0, "min"), *_SECONDS[:2])
_BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_FLOPS = ((1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1.0, "FLOP"))


def profile_table(summary: Mapping) -> str:
    """The tables of a profile for a terminal: plain text, aligned, at most `WIDTH` columns, no newline at the end.

    `summary` is a profile's summary.json as a dict. Raises `InputError` where it is none or holds no row.
    """
    parts = []
    for table in _tables(summary):
        parts += [_terminal(table), "\n".join(_wrapped(table.notes))]
    return "\n\n".join(part for part in parts if part)


def profile_markdown(summary: Mapping) -> str:
    """The same tables and notes as `profile_table`, in GitHub's markdown."""
    parts = []
    for table in _tables(summary):
        parts += [_markdown(table), "\n".join(f"- {_escaped(note)}" for note in table.notes)]
    return "\n\n".join(part for part in parts if part)


def summary_rows(summary: Mapping) -> list[Mapping]:
    """The checked rows of a profile's summary. Raises `InputError` where it is none or holds no row."""
    schema = summary.get("schema")
    if not str(schema).startswith("focuslab/profile/"):
        raise InputError(f"expected the summary of a profile (schema focuslab/profile/1), got schema {schema!r}")
    return checked_rows(summary.get("rows"))


def checked_rows(rows: Iterable[Mapping] | None) -> list[Mapping]:
    """The rows, sorted by length and within it by `methods_of`.

    Raises `InputError` where there is none, where one lacks what every row has (length, method, positive step time),
    or where a method stands twice at one length.
    """
    rows = list(rows or ())
    if not rows:
        raise InputError("the profile holds no measured row: expected at least one method at one length")
    seen = set()
    for row in rows:
        method = row.get("method")
        if not isinstance(method, str) or not method:
            raise InputError(f"a row of the profile has no method: expected a label, got {method!r}")
        for key in ("seconds", "step_seconds_median"):
            value = row.get(key)
            if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
                raise InputError(f"a row of the profile ({method}) has {key} {value!r}: expected a positive number")
        if (row["seconds"], method) in seen:
            raise InputError(f"the profile holds {method} at {row['seconds']:g} s twice: expected one row each")
        seen.add((row["seconds"], method))
    order = {method: i for i, method in enumerate(methods_of(rows))}
    return sorted(rows, key=lambda row: (row["seconds"], order[row["method"]]))


def methods_of(rows: Iterable[Mapping]) -> list[str]:
    """The methods of the rows: dense first, bound last, between them in the order in which they first stand."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    return sorted(methods, key=lambda method: (is_bound(method), method != "dense"))


def is_bound(method: str) -> bool:
    """Whether a label is the bound, which is a reference and no method."""
    return method.split(":")[0] == "bound"


def dense_seconds(rows: Iterable[Mapping]) -> dict[float, float]:
    """Audio length in seconds -> median step time of dense in seconds."""
    return {row["seconds"]: row["step_seconds_median"] for row in rows if row["method"] == "dense"}


def missing_rows(rows: Sequence[Mapping]) -> str:
    """Which methods have no row at which lengths, in words, e.g. "naive at 80, 160 s"; "" where none is missing."""
    have = {(row["seconds"], row["method"]) for row in rows}
    lengths = sorted({row["seconds"] for row in rows})
    return _at((m, s) for m in methods_of(rows) for s in lengths if (s, m) not in have)


class _Column(NamedTuple):
    head: tuple[str, str]  # two lines; the second says the unit
    cells: list[str]
    left: bool = False


class _Table(NamedTuple):
    title: str
    columns: list[_Column]
    notes: list[str]


def _tables(summary: Mapping) -> list[_Table]:
    tables = [_step_table(summary)]
    if summary.get("stages"):
        tables.append(_stage_table(summary["stages"]))
    return tables


def _step_table(summary: Mapping) -> _Table:
    rows = summary_rows(summary)
    dense = dense_seconds(rows)
    steps = summary.get("projected_steps")
    time, time_unit = _formatter(
        _SECONDS, (r.get(k) for r in rows for k in ("step_seconds_median", "step_seconds_p10", "step_seconds_p90"))
    )
    memory, memory_unit = _formatter(_BYTES, (r.get(k) for r in rows for k in ("peak_bytes", "predicted_peak_bytes")))
    flops, flops_unit = _formatter(_FLOPS, (r.get("flops_per_step") for r in rows))
    long, long_unit = _formatter(_LONG_SECONDS, (r.get("generation_seconds_projected") for r in rows))

    def spread(row: Mapping) -> str:
        low, high = row.get("step_seconds_p10"), row.get("step_seconds_p90")
        between = f" ({time(low)}..{time(high)})" if low is not None and high is not None else ""
        return time(row["step_seconds_median"]) + between

    def ideal(row: Mapping) -> str:
        seconds = row.get("ideal_seconds")
        return _times(dense[row["seconds"]] / seconds if seconds and row["seconds"] in dense else None)

    def peak(row: Mapping) -> str:
        if row.get("peak_bytes") is None and row.get("predicted_peak_bytes") is not None:
            return f"~{memory(row['predicted_peak_bytes'])}"
        return memory(row.get("peak_bytes"))

    def share(row: Mapping) -> str:
        kinds = ((row.get(key) or {}).get("self_attention") for key in ("kind_share", "kind_flop_share"))
        return " / ".join(_percent(value, 1) for value in kinds)

    columns = [
        _Column(("length", "[s]"), [f"{row['seconds']:g}" for row in rows]),
        _Column(("method", ""), [row["method"] for row in rows], left=True),
        _Column((f"step time [{time_unit}]", "median (p10..p90)"), [spread(row) for row in rows]),
        _Column(("speed-up", "vs dense"), [_times(row.get("speedup_vs_dense")) for row in rows]),
        _Column(("ideal", "speed"), [ideal(row) for row in rows]),
        _Column(("of", "ideal"), [_percent(row.get("share_of_ideal"), 0, " %") for row in rows]),
        _Column(("peak", f"[{memory_unit}]"), [peak(row) for row in rows]),
        _Column((flops_unit, "/step"), [flops(row.get("flops_per_step")) for row in rows]),
        _Column(("self-att. [%]", "time / FLOPs"), [share(row) for row in rows]),
        _Column(
            (f"{steps} st." if steps else "whole", f"[{long_unit}]"),
            [long(row.get("generation_seconds_projected")) for row in rows],
        ),
    ]
    return _Table("Denoising, per step", columns, _step_notes(summary, rows, dense))


def _step_notes(summary: Mapping, rows: Sequence[Mapping], dense: Mapping[float, float]) -> list[str]:
    def lacking(key: str, among: Iterable[Mapping] = rows) -> str:
        return _at((row["method"], row["seconds"]) for row in among if row.get(key) is None)

    notes = []
    if any(is_bound(row["method"]) for row in rows):
        notes.append("bound: the time if the attention core of the chosen sites cost nothing; a reference, no method.")
    if any(row.get("ideal_seconds") is not None for row in rows):
        notes.append("ideal: bound + kept pairs x (dense - bound); at 100 % only fewer pairs can be faster.")
    sparse = [r for r in rows if not is_bound(r["method"]) and (r.get("kept_pairs") or 1) < 1]
    others = [row for row in rows if row["method"] != "dense"]
    unideal = [(r["method"], r["seconds"]) for r in sparse if not r.get("ideal_seconds") or r["seconds"] not in dense]
    undensed = [row for row in others if row["seconds"] not in dense]
    for what, where in (
        ("no row (refused, stopped or left out)", missing_rows(rows)),
        ("spread of the step time", lacking("step_seconds_p10")),
        ("speed-up (needs dense at the same length)", lacking("speedup_vs_dense", undensed)),
        ("speed-up", lacking("speedup_vs_dense", [row for row in others if row["seconds"] in dense])),
        ("ideal (needs dense and bound at the same length)", _at(unideal)),
        ("FLOPs", lacking("flops_per_step")),
        ("share of kinds in time", lacking("kind_share")),
        ("share of kinds in FLOPs", lacking("kind_flop_share")),
    ):
        if where:
            notes.append(f"Not measured, {what}: {where}.")
    unmeasured = [row for row in rows if row.get("peak_bytes") is None]
    if unmeasured:
        predicted = any(row.get("predicted_peak_bytes") is not None for row in unmeasured)
        tilde = "; ~ is predicted" if predicted else ""
        notes.append(f"Not measured, peak memory{tilde}: {lacking('peak_bytes')}.")
    projected = lacking("generation_seconds_projected")
    if any(row.get("generation_seconds_projected") is not None for row in rows):
        steps = summary.get("projected_steps")
        whole = f"a whole generation of {steps} steps" if steps else "a whole generation"
        notes.append(f"The last column is {whole}, projected from the measured steps, not run.")
    if projected:
        notes.append(f"Not projected, a whole generation: {projected}.")
    over = summary.get("instrumented_over_plain")
    if over is None:
        notes.append("Not measured, the cost of the instrument.")
    else:
        notes.append(f"A step under the instrument takes {over:.3f} times a plain one.")
    return notes


def _stage_table(stages: Sequence[Mapping]) -> _Table:
    time, unit = _formatter(_SECONDS, (stage.get("stage_seconds_median") for stage in stages))
    columns = [
        _Column(("length", "[s]"), [f"{stage['seconds']:g}" for stage in stages]),
        _Column(("stage", ""), [str(stage["stage"]) for stage in stages], left=True),
        _Column(
            ("time", f"[{unit}]"),
            [
                NOT_MEASURED if stage.get("stage_seconds_median") is None else time(stage["stage_seconds_median"])
                for stage in stages
            ],
        ),
    ]
    said: dict[str, list[tuple[str, float]]] = {}
    for stage in stages:
        note = stage.get("note")
        if note is None and stage.get("stage_seconds_median") is None:
            note = f"{NOT_MEASURED}: no reason was given"
        if note is not None:
            said.setdefault(" ".join(str(note).split()), []).append((str(stage["stage"]), stage["seconds"]))
    return _Table("Other stages", columns, [f"{_at(where)}: {note}" for note, where in said.items()])


def _formatter(units: Sequence[tuple[float, str]], values: Iterable[float | None]):
    """A function value -> text and the unit, one for a whole column.

    The unit is the largest in which the column's smallest value is at least 1; decimals are as many as give that
    value three digits. So every cell has the same precision, and none has fewer than three digits.
    """
    smallest = min((value for value in values if value), default=units[0][0])
    size, unit = next(((size, unit) for size, unit in units if smallest >= size), units[-1])
    decimals = 2 if smallest / size < 10 else 1 if smallest / size < 100 else 0
    return lambda value: NOTHING if value is None else f"{value / size:.{decimals}f}", unit


def _times(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}x"


def _percent(value: float | None, decimals: int, sign: str = "") -> str:
    return NOTHING if value is None else f"{100 * value:.{decimals}f}{sign}"


def _at(pairs: Iterable[tuple[str, float]]) -> str:
    """Names and lengths in words: "dense at 10, 20 s; naive at 80 s"; names with the same lengths stand together."""
    lengths: dict[str, list[float]] = {}
    for name, seconds in pairs:
        lengths.setdefault(name, []).append(seconds)
    names: dict[tuple[float, ...], list[str]] = {}
    for name, seconds in lengths.items():
        names.setdefault(tuple(sorted(set(seconds))), []).append(name)
    return "; ".join(f"{', '.join(n)} at {', '.join(f'{s:g}' for s in at)} s" for at, n in names.items())


def _wrapped(notes: Iterable[str]) -> list[str]:
    return [line for note in notes for line in textwrap.wrap(note, WIDTH, subsequent_indent="  ")]


def _terminal(table: _Table) -> str:
    """Columns two spaces apart. A long label goes on in lines of its own, one parameter a line, so that the numbers
    of a row stay on its first line and a line stays within `WIDTH`."""
    widths = [max(map(len, (*column.head, *column.cells))) for column in table.columns]
    labels = next(i for i, column in enumerate(table.columns) if column.left)
    room = WIDTH - sum(widths) - 2 * (len(widths) - 1) + widths[labels]
    pieces = [_folded(cell, room) for cell in table.columns[labels].cells]
    widths[labels] = max(map(len, (*table.columns[labels].head, *(line for lines in pieces for line in lines))))

    def line(cells: Iterable[str]) -> str:
        placed = (
            cell.ljust(width) if column.left else cell.rjust(width)
            for cell, width, column in zip(cells, widths, table.columns, strict=True)
        )
        return "  ".join(placed).rstrip()

    lines = [table.title]
    lines += [line(column.head[i] for column in table.columns) for i in (0, 1)]
    lines.append("  ".join("-" * width for width in widths))
    for i, label in enumerate(pieces):
        for j, piece in enumerate(label):
            row = (piece if k == labels else "" if j else c.cells[i] for k, c in enumerate(table.columns))
            lines.append(line(row))
    return "\n".join(lines)


def _folded(label: str, width: int) -> list[str]:
    width = max(width, 12)
    if len(label) <= width:
        return [label]
    name, *parameters = label.split(":")
    lines = textwrap.wrap(name, width) or [name]
    for parameter in parameters:
        lines += textwrap.wrap(parameter, width, initial_indent="  ", subsequent_indent="    ")
    return lines


def _markdown(table: _Table) -> str:
    heads = [" ".join(part for part in column.head if part) for column in table.columns]
    lines = [f"**{table.title}**", "", _pipes(heads), _pipes(":--" if c.left else "--:" for c in table.columns)]
    for cells in zip(*([_cell(c, cell) for cell in c.cells] for c in table.columns), strict=True):
        lines.append(_pipes(cells))
    return "\n".join(lines)


def _cell(column: _Column, cell: str) -> str:
    # "~" twice in a line would strike out what stands between.
    return f"`{cell.replace('|', chr(92) + '|')}`" if column.left else _escaped(cell)


def _escaped(text: str) -> str:
    for mark in "\\|*_~<`":
        text = text.replace(mark, f"\\{mark}")
    return text


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
