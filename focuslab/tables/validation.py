"""The tables of what was measured of a choice: its validation, and what an evaluation found best."""

from collections.abc import Iterator, Mapping
from typing import Any

from focuslab.runs import PROOF_SCHEMA, check_summary, skipped_in_words
from focuslab.runs.method_spec import brief
from focuslab.runs.plan import QUALITY
from focuslab.tables.attention import counted
from focuslab.tables.quality import BETTER
from focuslab.tables.quality_rows import scale_of
from focuslab.tables.table import SECONDS, Column, Table, amounts, labels, numbers, seconds_of, speedups, words


def measured_of(summary: Mapping) -> dict[float, dict[str, dict[str, float]]]:
    """Length -> choice -> step seconds and error with its interval, as `report.figures.frontier` draws them.

    Step seconds are of a whole generation, dense steps among them. They are scaled to the dense step that the choice
    was predicted with, so that a machine that is faster or slower as a whole does not move the points.
    """
    found: dict[float, dict[str, dict[str, float]]] = {}
    for row in _rows(summary):
        predicted = row["predicted"]
        if predicted and row["speedup_vs_dense"] and row["n"]:
            point = {key: row[key] for key in ("error", "error_low", "error_high")}
            point["step_seconds"] = predicted["step_seconds"] * predicted["speedup"] / row["speedup_vs_dense"]
            found.setdefault(row["seconds"], {})[row["method"]] = point
    return found


def validation_tables(summary: Mapping) -> list[Table]:
    """One table, a row a length and choice. Raises `InputError` where the summary is none of a validation."""
    rows = _rows(summary)

    def of(key: str) -> list:
        return [row[key] for row in rows]

    def predicted(key: str, only: str | None = None) -> list:
        return [row["predicted"][key] if row["predicted"] and (not only or row[only]) else None for row in rows]

    def interval(head: str, key: str, **form) -> Column:
        values = [row[key] if row["n"] else None for row in rows]
        return numbers(head, values, low=of(f"{key}_low"), high=of(f"{key}_high"), **form)

    columns = [
        seconds_of(rows),
        words("choice", of("method")),
        amounts("step", of("step_seconds_median"), SECONDS),
        speedups("speed-up", of("speedup_vs_dense")),
        speedups("speed-up\npredicted", predicted("speedup")),
        interval("UNet error", "error", unit="%", factor=100),
        numbers("error\npredicted", predicted("error", "n"), unit="%", factor=100),
        interval("log-mel L1", "log_mel_l1"),
        numbers("loudness\nratio", of("rms_ratio")),
        numbers("centroid\nratio", of("centroid_ratio")),
    ]
    title = "Validation, on prompts and seeds that the choice has not seen"
    return [Table(title, columns, list(_notes(summary, rows)))]


def _rows(summary: Mapping) -> list[Mapping]:
    check_summary(summary, PROOF_SCHEMA, "a validation")
    return list(summary["rows"])


def _notes(summary: Mapping, rows: list[Mapping]) -> Iterator[str]:
    prompts = max((row["prompts"] or 0 for row in rows), default=0)
    intervals = f"95 % over {counted(prompts, 'prompt')}" if prompts > 1 else "none with one prompt"
    yield (
        f"Intervals: {intervals}. UNet error: relative, of the guided output at latents of "
        "the dense generation. log-mel L1, loudness and centroid: final clip to the dense clip of the same seed, "
        f"{summary['steps']} steps."
    )
    kept = [f"{row['method']} at {row['seconds']:g} s ({row['dense_steps']})" for row in rows if row["dense_steps"]]
    if kept:
        yield f"Steps kept dense, which count in `speed-up` and not in `step`: {', '.join(kept)}."
    silent = sum(row["silent"] or 0 for row in rows)
    if silent:
        yield f"{counted(silent, 'clip')} left out: all samples of the clip or of its dense clip are zero."
    yield from skipped_in_words(summary.get("skipped") or ())


def quality_choice_tables(evidence: Mapping[str, Any]) -> list[Table]:
    """One table, or none where no evaluation was given.

    `evidence` is that of a plan, or the summary of a recommendation.
    """
    found = evidence.get("quality") or {}
    if not found:
        return []
    rows, taken = list(found.values()), [_is_taken(evidence, at) for at in found]
    scale = scale_of(rows[0]["metric"])
    columns = [
        seconds_of(rows),
        labels("best", [brief(row["method"]) for row in rows]),
        numbers(scale.head, [row["quality"]["value"] for row in rows], ".3g", scale.unit, factor=scale.factor),
        _intervals("minus dense", [row["minus_dense"] for row in rows], "+.3g", scale.difference_unit, scale.factor),
        _intervals("log-mel L1", [row["distance"] for row in rows], ".3g"),
        speedups("speed-up\nvs dense", [row["speedup"] for row in rows]),
        words("decided\nby", [row["decided_by"] for row in rows]),
        numbers("its\nequals", [len(row["equals"]) for row in rows], "d"),
        words("in the\nplan", ["yes" if there else "no" for there in taken]),
    ]
    return [Table("What the evaluation found best", columns, list(_notes_on_best(rows, taken)))]


def heard_best(evidence: Mapping[str, Any], seconds: float) -> str | None:
    """The method that the plan runs because the evaluation found it best; None where fidelity decided."""
    at = f"{seconds:g}"
    found = (evidence.get("quality") or {}).get(at)
    return brief(found["method"]) if found and _is_taken(evidence, at) else None


def _notes_on_best(rows: list[Mapping[str, Any]], taken: list[bool]) -> Iterator[str]:
    better = BETTER.get(rows[0]["better"])
    if better:
        yield f"{scale_of(rows[0]['metric']).head}: {better}."
    yield (
        "Equals: methods that are not significantly different from the best in any metric. Of all these the fastest is "
        "taken."
    )
    for row in rows:
        if row["worse_in"]:
            worse_in = ", ".join(scale_of(name).head for name in row["worse_in"])
            yield f"At {row['seconds']:g} s {brief(row['method'])} is significantly worse than dense in {worse_in}."
    if any(taken):
        yield "Where it is in the plan, the choice called plan in the other tables is the one for fidelity."
    if not all(taken):
        yield (
            "Where it is not in the plan, the plan was chosen for fidelity to dense: always up to the training length, "
            "and beyond it unless the objective is quality."
        )


def _is_taken(evidence: Mapping[str, Any], at: str) -> bool:
    return (evidence.get("objective") or {}).get(at) == QUALITY


def _intervals(head: str, found: list[Mapping | None], form: str, unit: str = "", factor: float = 1.0) -> Column:
    value, low, high = ([each[key] if each else None for each in found] for key in ("value", "low", "high"))
    return numbers(head, value, form, unit, factor=factor, low=low, high=high)
