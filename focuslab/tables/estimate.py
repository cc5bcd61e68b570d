"""What an evaluation would take, as text. Needs the standard library only."""

from collections.abc import Mapping

from focuslab.tables.profile import BYTES, LONG_SECONDS, SECONDS
from focuslab.tables.text import Column, Table, formatter, in_terminal


def estimate_table(estimate: Mapping) -> str:
    """For a terminal: a row a length and method, then the whole in words. `estimate`:
    `focuslab.measure.evaluation.cost`'s."""
    rows = estimate["rows"]
    second, unit = formatter(SECONDS, (row["step_seconds"] for row in rows))
    long, long_unit = formatter(LONG_SECONDS, (row["item_seconds"] for row in rows))
    columns = [
        Column(("length", "[s]"), [f"{row['seconds']:g}" for row in rows]),
        Column(("method", ""), [row["method"] for row in rows], left=True),
        Column(("items", ""), [str(row["items"]) for row in rows]),
        Column(("step", f"[{unit}]"), [second(row["step_seconds"]) for row in rows]),
        Column(("item", f"[{long_unit}]"), [long(row["item_seconds"]) for row in rows]),
        Column(("whole", "[h]"), [f"{row['hours']:.3g}" for row in rows]),
    ]
    hours, processes = estimate["hours"], estimate["processes"]
    shared = f", {hours / processes:.3g} h on {processes}" if processes > 1 else ""
    audio = estimate["audio_bytes"]
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
