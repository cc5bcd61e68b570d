"""Lengths, and methods at a length, that were not measured because they needed more memory than was free."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SKIPPED = "skipped"
"""Kind of the record of one of them."""


def skipped_rows(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of the records of a run: length, method (None for the whole length), and the bytes needed and free."""
    return [
        {name: record.get(name) for name in ("seconds", "method", "needed_bytes", "free_bytes")}
        for record in records
        if record["kind"] == SKIPPED
    ]


def skipped_in_words(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each."""
    return [
        f"Skipped, {row['method'] or 'everything'} at {row['seconds']:g} s: it needs {row['needed_bytes'] / 1e9:.2f} "
        f"GB beside the weights, and {row['free_bytes'] / 1e9:.2f} GB were free."
        for row in rows
    ]
