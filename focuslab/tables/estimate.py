"""The table of what an evaluation would cost."""

from collections.abc import Mapping

from focuslab.tables.table import BYTES, LONG_SECONDS, SECONDS, Table, amounts, formatter, labels, numbers, seconds_of
from focuslab.tables.text import in_terminal


def estimate_table(estimate: Mapping) -> str:
    """A row a length and method, then the whole in words. `estimate`: that of `focuslab.measure.evaluation.cost`."""
    rows = estimate["rows"]

    def of(key: str) -> list:
        return [row[key] for row in rows]

    columns = [
        seconds_of(rows),
        labels("method", of("method")),
        numbers("items", of("items"), "d"),
        amounts("step", of("step_seconds"), SECONDS),
        amounts("item", of("item_seconds"), LONG_SECONDS),
        numbers("whole", of("hours"), ".3g", "h"),
    ]
    hours, processes, audio = estimate["hours"], estimate["processes"], estimate["audio_bytes"]
    shared = f", {hours / processes:.3g} h on {processes}" if processes > 1 else ""
    kept = "no audio" if audio is None else f"{_bytes(audio)} of audio"
    notes = [
        f"{estimate['items']} items: {hours:.3g} h on one process such as this{shared}; "
        f"{_bytes(estimate['kept_bytes'])} of embeddings and records, {kept}.",
        "From one measured step of each row, the decoding and the scoring of one clip.",
    ]
    if estimate["not_measured"]:
        notes.append(f"Not measured, of stand-ins: {', '.join(estimate['not_measured'])}.")
    return in_terminal([Table("What it would take", columns, notes)])


def _bytes(count: int) -> str:
    number, unit = formatter(BYTES, [count])
    return f"{number(count)} {unit}"
