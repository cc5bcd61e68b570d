"""A validation as text: what was measured of each choice on held-out prompts, beside what had been predicted.

Needs the standard library only.
"""

from collections.abc import Mapping

from focuslab.runs import PROOF_SCHEMA, check_summary, skipped_in_words
from focuslab.tables.profile import SECONDS
from focuslab.tables.text import NOTHING, Column, Table, formatter, in_markdown, in_terminal, percent, times
from focuslab.tables.verdict import counted


def validation_table(summary: Mapping) -> str:
    """The table of a validation for a terminal. Raises `InputError` where the summary is none of a validation."""
    return in_terminal([table_of_validation(summary)])


def validation_markdown(summary: Mapping) -> str:
    """The same in GitHub's markdown."""
    return in_markdown([table_of_validation(summary)])


def measured_of(summary: Mapping) -> dict[float, dict[str, dict[str, float]]]:
    """Length -> choice -> step seconds and error with its interval, as `report.frontier` draws them.

    Step seconds are of a whole generation, dense steps among them, and scaled to the dense step that the choice was
    predicted with, so that a machine that is faster or slower as a whole does not move the points.
    """
    found: dict[float, dict[str, dict[str, float]]] = {}
    for row in _rows(summary):
        predicted = row["predicted"]
        if predicted and row["speedup_vs_dense"] and row["n"]:
            point = {key: row[key] for key in ("error", "error_low", "error_high")}
            point["step_seconds"] = predicted["step_seconds"] * predicted["speedup"] / row["speedup_vs_dense"]
            found.setdefault(row["seconds"], {})[row["method"]] = point
    return found


def _rows(summary: Mapping) -> list[Mapping]:
    check_summary(summary, PROOF_SCHEMA, "a validation")
    return list(summary["rows"])


def table_of_validation(summary: Mapping) -> Table:
    rows = _rows(summary)
    time, unit = formatter(SECONDS, (row["step_seconds_median"] for row in rows))

    def predicted(row: Mapping, key: str):
        return row["predicted"][key] if row["predicted"] else None

    columns = [
        Column(("length", "[s]"), [f"{row['seconds']:g}" for row in rows]),
        Column(("choice", ""), [row["method"] for row in rows], left=True),
        Column(("step", f"[{unit}]"), [time(row["step_seconds_median"]) for row in rows]),
        Column(("faster", "measured"), [times(row["speedup_vs_dense"]) for row in rows]),
        Column(("", "predicted"), [times(predicted(row, "speedup")) for row in rows]),
        Column(("UNet error", "[%]"), [_interval(row, "error", 100) if row["n"] else NOTHING for row in rows]),
        Column(("", "predicted"), [percent(predicted(row, "error"), 2) if row["n"] else NOTHING for row in rows]),
        Column(("log-mel", "L1"), [_interval(row, "log_mel_l1") for row in rows]),
        Column(("loudness", "ratio"), [_number(row["rms_ratio"]) for row in rows]),
        Column(("centroid", "ratio"), [_number(row["centroid_ratio"]) for row in rows]),
    ]
    return Table("Validation, on prompts and seeds that the choice has not seen", columns, _notes(summary, rows))


def _notes(summary: Mapping, rows: list[Mapping]) -> list[str]:
    prompts = max((row["prompts"] or 0 for row in rows), default=0)
    notes = [
        f"Intervals: 95 % over {counted(prompts, 'prompt')}. UNet error: relative, of the guided "
        "output at latents of the dense generation. log-mel L1, loudness and centroid: final clip to the dense clip "
        f"of the same seed, {summary['steps']} steps."
    ]
    kept = [f"{row['method']} at {row['seconds']:g} s ({row['dense_steps']})" for row in rows if row["dense_steps"]]
    if kept:
        notes.append(f"Steps kept dense, which count in `faster` and not in `step`: {', '.join(kept)}.")
    silent = sum(row["silent"] or 0 for row in rows)
    if silent:
        notes.append(f"{counted(silent, 'clip')} left out: all samples of the clip or of its dense clip are zero.")
    return [*notes, *skipped_in_words(summary.get("skipped") or ())]


def _interval(row: Mapping, name: str, factor: float = 1.0) -> str:
    if row[name] is None:
        return NOTHING
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    bounds = "" if low is None else f" ({factor * low:.2f} to {factor * high:.2f})"
    return f"{factor * value:.2f}{bounds}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"
