"""Typed records of run.json, and of what the files of every kind of run have in common."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field
from typing_extensions import Required, TypedDict

from focuslab.runs.schemas.fields import (
    Amount,
    Count,
    Label,
    Length,
    Line,
    Name,
    Named,
    Path,
    Ratio,
    Record,
    Seconds,
    Seed,
    Text,
    Whole,
)

MOST_ROWS = 5_000


class Model(Record):
    name: Path
    unet_parameters: Count | None = None
    unet_fingerprint: Line | None = None
    weights: Named[Label] = {}


class Info(Record):
    """run.json, of every kind of run."""

    command: Name
    model: Model
    parameters: Named[Any]
    machine: Named[Any]
    versions: Named[Label]
    device: Label
    dtype: Label
    seed: Seed | None = None
    prompts: Annotated[list[Text], Field(max_length=1_000_000)]
    grids: Named[Any] = {}
    started: Label | None = None
    ended: Label | None = None


class Skipped(Record):
    """A length, or a method at a length, that did not fit into memory."""

    seconds: Length
    method: Name | None = None
    needed_bytes: Amount
    free_bytes: Amount


class StepTimes(Record):
    """What rows of timed steps have in common."""

    seconds: Length
    method: Name
    step_seconds_median: Seconds | None = None
    step_seconds_p10: Seconds | None = None
    step_seconds_p90: Seconds | None = None
    speedup_vs_dense: Ratio | None = None


class Measurement(TypedDict, total=False):
    """What the records of every kind of run have in common; they are many, so they stay plain dicts."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)

    kind: Required[Name]
    seconds: Length | None
    method: Name | None
    repeat: Count | None
    step_seconds: Whole[Seconds] | Seconds
