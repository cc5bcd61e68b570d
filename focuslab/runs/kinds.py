"""The names of what focuslab writes, and the records of what was skipped for want of memory."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from focuslab.checks import shown
from focuslab.errors import InputError

RUN_SCHEMA = "focuslab/run/1"
GENERATION_SCHEMA = "focuslab/generation/1"
PROFILE_SCHEMA = "focuslab/profile/1"
ATTENTION_SCHEMA = "focuslab/attention/1"
SENSITIVITY_SCHEMA = "focuslab/sensitivity/1"
PLAN_SCHEMA = "focuslab/plan/1"
PROOF_SCHEMA = "focuslab/proof/1"
RECOMMENDATION_SCHEMA = "focuslab/recommendation/1"
CHOICE_SCHEMA = "focuslab/choice/1"
EVALUATION_SCHEMA = "focuslab/evaluation/1"


def check_schema(content: Any, schema: str, source: str) -> dict[str, Any]:
    """`content` if it is an object of this schema. Raises `InputError` that says what it is instead."""
    found = content.get("schema") if isinstance(content, dict) else type(content).__name__
    if found != schema:
        raise InputError(f"{source} holds {shown(found)}, expected {schema!r}: is it from another command or version?")
    return content


def check_summary(summary: Mapping, schema: str, what: str) -> None:
    """Raises `InputError` for the summary of something else than `what`, whose schema this is; any version passes."""
    found = summary.get("schema")
    if not str(found).startswith(schema.rpartition("/")[0] + "/"):
        raise InputError(f"expected the summary of {what} (schema {schema}), got schema {shown(found)}")


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
