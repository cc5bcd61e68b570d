"""The tables of a profile: time, memory and FLOPs of a denoising step, and other stages.

Also holds what figures and tables of a profile share: checked rows, and the order of methods.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from focuslab.errors import InputError
from focuslab.runs import PROFILE_SCHEMA, check_summary, skipped_in_words
from focuslab.tables.table import (
    BYTES,
    FLOPS,
    LONG_SECONDS,
    SECONDS,
    Table,
    amounts,
    formatter,
    labels,
    numbers,
    seconds_of,
    speedups,
    words,
)
from focuslab.tables.text import at_lengths


def summary_rows(summary: Mapping) -> list[Mapping]:
    """The checked rows of a profile's summary. Raises `InputError` where it is none or holds no row."""
    check_summary(summary, PROFILE_SCHEMA, "a profile")
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


def is_sparse(row: Mapping) -> bool:
    """Whether a row is of a method that computes fewer query-key pairs than dense."""
    return not is_bound(row["method"]) and (row.get("kept_pairs") or 1) < 1


def dense_seconds(rows: Iterable[Mapping]) -> dict[float, float]:
    """Audio length in seconds -> median step time of dense in seconds."""
    return {row["seconds"]: row["step_seconds_median"] for row in rows if row["method"] == "dense"}


def missing_rows(rows: Sequence[Mapping]) -> str:
    """Which methods have no row at which lengths, in words, e.g. "naive at 80, 160 s"; "" where none is missing."""
    have = {(row["seconds"], row["method"]) for row in rows}
    lengths = sorted({row["seconds"] for row in rows})
    return at_lengths((m, s) for m in methods_of(rows) for s in lengths if (s, m) not in have)


def profile_tables(summary: Mapping) -> list[Table]:
    """A row a length and method, then a row a length and stage.

    Raises `InputError` where `summary` is none of a profile or holds no row.
    """
    stages = summary.get("stages")
    return [_step_table(summary), *([_stage_table(stages)] if stages else [])]


def ideal_speedup(row: Mapping, dense: Mapping[float, float]) -> float | None:
    """The speed-up over dense that a method had if its kernel wasted nothing; None where it was not measured."""
    seconds = row.get("ideal_seconds")
    return dense[row["seconds"]] / seconds if seconds and row["seconds"] in dense else None


def _step_table(summary: Mapping) -> Table:
    rows = summary_rows(summary)
    dense = dense_seconds(rows)
    steps = summary.get("projected_steps")

    def of(key: str) -> list:
        return [row.get(key) for row in rows]

    def share(key: str) -> list:
        return [(row.get(key) or {}).get("self_attention") for row in rows]

    spread = {"low": of("step_seconds_p10"), "high": of("step_seconds_p90")}
    columns = [
        seconds_of(rows),
        labels("method", of("method")),
        amounts("step time", of("step_seconds_median"), SECONDS, **spread, ends=("p10", "p90")),
        speedups("speed-up\nvs dense", of("speedup_vs_dense")),
        speedups("ideal\nspeed", [ideal_speedup(row, dense) for row in rows]),
        numbers("of\nideal", of("share_of_ideal"), ".0f", "%", factor=100),
        amounts("peak", of("peak_bytes"), BYTES, predicted=of("predicted_peak_bytes")),
        amounts("FLOPs", of("flops_per_step"), FLOPS),
        numbers("self-att.\ntime", share("kind_share"), ".1f", "%", factor=100),
        numbers("self-att.\nFLOPs", share("kind_flop_share"), ".1f", "%", factor=100),
        amounts(f"{steps} steps" if steps else "whole", of("generation_seconds_projected"), LONG_SECONDS),
    ]
    return Table("Denoising, per step", columns, list(_step_notes(summary, rows, dense)))


def _step_notes(summary: Mapping, rows: Sequence[Mapping], dense: Mapping[float, float]) -> Iterator[str]:
    def lacking(key: str, among: Iterable[Mapping] = rows) -> str:
        return at_lengths((row["method"], row["seconds"]) for row in among if row.get(key) is None)

    def has(key: str) -> bool:
        return any(row.get(key) is not None for row in rows)

    yield from skipped_in_words(summary.get("skipped") or ())
    yield "Step time: median of the measured steps, from the 10th to the 90th percentile."
    if any(is_bound(row["method"]) for row in rows):
        yield "bound: the time if the attention core of the chosen sites cost nothing; a reference, no method."
    if has("ideal_seconds"):
        yield "ideal: bound + density x (dense - bound); at 100 % only fewer pairs can be faster."
    sparse = [row for row in rows if is_sparse(row)]
    others = [row for row in rows if row["method"] != "dense"]
    for what, where in (
        ("no row (refused, stopped or left out)", missing_rows(rows)),
        ("spread of the step time", lacking("step_seconds_p10")),
        (
            "speed-up (needs dense at the same length)",
            lacking("speedup_vs_dense", [row for row in others if row["seconds"] not in dense]),
        ),
        ("speed-up", lacking("speedup_vs_dense", [row for row in others if row["seconds"] in dense])),
        (
            "ideal (needs dense and bound at the same length)",
            at_lengths((row["method"], row["seconds"]) for row in sparse if ideal_speedup(row, dense) is None),
        ),
        ("FLOPs", lacking("flops_per_step")),
        ("share of kinds in time", lacking("kind_share")),
        ("share of kinds in FLOPs", lacking("kind_flop_share")),
        ("peak memory" + "; ~ is predicted" * has("predicted_peak_bytes"), lacking("peak_bytes")),
    ):
        if where:
            yield f"Not measured, {what}: {where}."
    if held := [row["held_bytes"] for row in rows if row.get("held_bytes") is not None]:
        number, unit = formatter(BYTES, held)
        yield f"peak: what a step needs above what is held before it, at most {number(max(held))} {unit}."
    if any(row.get("peak_bytes") is not None and row.get("held_bytes") is None for row in rows):
        yield "peak: all that the process held, weights included, in runs of earlier versions."
    projected = lacking("generation_seconds_projected")
    if has("generation_seconds_projected"):
        yield "The last column is a whole generation, projected from the measured steps, not run."
    if projected:
        yield f"Not projected, a whole generation: {projected}."
    if summary.get("shares_of_eager"):
        yield "Step times are of the compiled UNet. Shares of time are of the same UNet running eagerly."
    over = summary.get("instrumented_over_plain")
    if over is None:
        yield "Not measured, the cost of the timers."
    else:
        yield f"A step with timers takes {over:.3f} times a plain one."


def _stage_table(stages: Sequence[Mapping]) -> Table:
    columns = [
        seconds_of(stages),
        words("stage", [str(stage["stage"]).replace("_", " ") for stage in stages]),
        amounts("time", [stage.get("stage_seconds_median") for stage in stages], SECONDS),
    ]
    said: dict[str, list[tuple[str, float]]] = {}
    for stage in stages:
        note = stage.get("note")
        if note is None and stage.get("stage_seconds_median") is None:
            note = "not measured: no reason was given"
        if note is not None:
            named = str(stage["stage"]).replace("_", " "), stage["seconds"]
            said.setdefault(" ".join(str(note).split()), []).append(named)
    return Table("Other stages", columns, [f"{at_lengths(where)}: {note}" for note, where in said.items()])
