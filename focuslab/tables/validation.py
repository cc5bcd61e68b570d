"""The table of a validation: what was measured of each choice on held-out prompts, beside what had been predicted."""

from collections.abc import Iterator, Mapping

from focuslab.runs import PROOF_SCHEMA, check_summary, skipped_in_words
from focuslab.tables.attention import counted
from focuslab.tables.table import SECONDS, Column, Table, amounts, numbers, seconds_of, speedups, words


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
