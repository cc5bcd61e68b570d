"""Typed records of evaluations and of single clips."""

from typing import Annotated, Any

from pydantic import Field, field_validator

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
    Value,
    WithIntervals,
    check_once,
)
from focuslab.runs.schemas.run import MOST_ROWS, Model, Skipped, StepTimes


class Estimated(WithIntervals):
    value: Value | None = None
    low: Value | None = None
    high: Value | None = None
    n: Count | None = None


class MetricOf(Record):
    """What has to stand beside a number of a metric."""

    embedder: Name | None = None
    checkpoint: Line | None = None
    protocol: Text | None = None
    reference: Name | None = None


class Metric(Estimated, MetricOf):
    minus_dense: Estimated | None = None


class MetricTitle(MetricOf):
    title: Line | None = None
    unit: Label | None = None
    better: Name | None = None


class EvaluationRow(StepTimes, WithIntervals):
    metrics: Annotated[dict[Label, Metric], Field(max_length=100)]
    n: Count | None = None
    excluded: Named[Count] = {}
    speedup_low: Ratio | None = None
    speedup_high: Ratio | None = None
    generation_seconds: Amount | None = None
    scoring_seconds: Amount | None = None


class Evaluation(Record):
    rows: Annotated[list[EvaluationRow], Field(max_length=MOST_ROWS)]
    metrics: Annotated[dict[Label, MetricTitle], Field(max_length=100)] = {}
    reference: Any = None
    items: Named[Count] = {}
    scorer_is_own: bool | None = None
    scoring_over_generating: Amount | None = None
    footnotes: Annotated[list[Text], Field(max_length=200)] = []
    skipped: list[Skipped] = []

    @field_validator("rows")
    @classmethod
    def _once(cls, rows: list[EvaluationRow]) -> list[EvaluationRow]:
        check_once(rows, "seconds", "method")
        return rows


class Generation(Record):
    """The settings beside one generated clip."""

    model: Model
    prompt: Text
    seconds: Length
    seed: Seed
    method: Annotated[str, Field(min_length=1, max_length=10_000)]
    steps: Count | None = None
    guidance_scale: Value | None = None
    sites: list[Line] = []
    plan: Any = None
    sampling_rate: Count | None = None
    wall_seconds: Seconds | None = None
    device: Label | None = None
    dtype: Label | None = None
    machine: Any = None
    versions: Named[Label] = {}
    made: Label | None = None


class Item(Record):
    """The record of a clip of an evaluation that is kept as a file."""

    kind: Name
    prompt: Count
    seconds: Length
    method: Name
    seed: Seed
    status: Name
    audio: Path
    step_seconds: Seconds | None = None
    denoising_seconds: Seconds | None = None
    values: Annotated[dict[Label, Value], Field(max_length=100)] = {}
