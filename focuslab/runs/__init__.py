"""What goes to disk: how a run was made, and what it measured."""

from collections.abc import Callable

from focuslab.runs.info import RunInfo, differences, first_few
from focuslab.runs.kinds import (
    ATTENTION_SCHEMA,
    CHOICE_SCHEMA,
    EVALUATION_SCHEMA,
    GENERATION_SCHEMA,
    PROFILE_SCHEMA,
    PROOF_SCHEMA,
    RECOMMENDATION_SCHEMA,
    SENSITIVITY_SCHEMA,
    SKIPPED,
    check_summary,
    skipped_in_words,
    skipped_rows,
)

__all__ = [
    "ATTENTION_SCHEMA",
    "CHOICE_SCHEMA",
    "EVALUATION_SCHEMA",
    "GENERATION_SCHEMA",
    "PROFILE_SCHEMA",
    "PROOF_SCHEMA",
    "RECOMMENDATION_SCHEMA",
    "SENSITIVITY_SCHEMA",
    "SKIPPED",
    "Progress",
    "RunInfo",
    "check_summary",
    "differences",
    "first_few",
    "skipped_in_words",
    "skipped_rows",
]

Progress = Callable[[float, float, str], None]
"""Called during the work with (done, total, what was just done); done and total in any one unit."""
