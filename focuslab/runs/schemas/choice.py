"""Typed records of what chooses and validates a plan: choice, validation, recommendation."""

from typing import Annotated

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
    Value,
    Whole,
    WithIntervals,
    check_once,
)
from focuslab.runs.schemas.run import MOST_ROWS, StepTimes


class Point(Record):
    """What one choice of sites and methods costs and gains."""

    step_seconds: Seconds
    error: Amount
    speedup: Ratio
    dense_steps: Annotated[Whole[Count], Field(min_length=2, max_length=2)] = [0, 0]
    error_low: Amount | None = None
    error_high: Amount | None = None
    methods: Named[Name] = {}
    predicted_from_flops: bool | None = None
    timed: bool | None = None


class GroupVerdict(Record):
    """Whether a group of sites is sparse, and why."""

    group: Name
    taken: bool
    sites: Count | None = None
    method: Name | None = None
    lift: Amount | None = None
    recall: Amount | None = None
    local_error: Amount | None = None
    error: Amount | None = None
    saved_seconds: Value | None = None
    predicted: bool | None = None
    verdict: Name | None = None
    reason: Line | None = None


class ChosenSite(Record):
    name: Path
    block: Name
    mel_rows: Count | None = None
    lift: Amount | None = None
    saved_seconds: Value | None = None
    saved_share: Value | None = None
    method: Name | None = None


class Budget(Record):
    max_error: Amount | None = None
    min_speedup: Amount | None = None


class ChoiceAtLength(Record):
    seconds: Length
    dense_step_seconds: Seconds
    points: Annotated[dict[Label, Point], Field(max_length=50)]
    frontier: Annotated[list[Annotated[Whole[Amount], Field(max_length=2)]], Field(max_length=10_000)] = []
    groups: Annotated[list[GroupVerdict], Field(max_length=1_000)] = []
    budget: Budget | None = None
    gain_method: Name | None = None
    sites: Annotated[list[ChosenSite], Field(max_length=10_000)] = []


class Combination(Record):
    """The rule that puts the errors of groups together."""

    exponent: Amount
    misfit: Amount | None = None
    low: Amount | None = None
    high: Amount | None = None
    runs: Count | None = None


class Choice(Record):
    lengths: Annotated[list[ChoiceAtLength], Field(min_length=1, max_length=200)]
    crossover: Line
    crossover_seconds: Length | None = None
    budget: Budget
    combination: Combination

    @field_validator("lengths")
    @classmethod
    def _once(cls, lengths: list[ChoiceAtLength]) -> list[ChoiceAtLength]:
        check_once(lengths, "seconds")
        return lengths


class ProofRow(StepTimes, WithIntervals):
    step_seconds_median: Seconds
    dense_steps: Count | None = None
    prompts: Count | None = None
    n: Count | None = None
    sounds: Count | None = None
    silent: Count | None = None
    error: Amount | None = None
    error_low: Amount | None = None
    error_high: Amount | None = None
    log_mel_l1: Amount | None = None
    log_mel_l1_low: Amount | None = None
    log_mel_l1_high: Amount | None = None
    rms_ratio: Amount | None = None
    rms_ratio_low: Amount | None = None
    rms_ratio_high: Amount | None = None
    centroid_ratio: Amount | None = None
    centroid_ratio_low: Amount | None = None
    centroid_ratio_high: Amount | None = None
    predicted: Point | None = None
    time_off: Value | None = None
    error_off: Value | None = None
    missed: Annotated[list[Line], Field(max_length=20)] = []


class Proof(Record):
    rows: Annotated[list[ProofRow], Field(max_length=MOST_ROWS)]
    steps: Count | None = None
    missed: Annotated[list[Line], Field(max_length=200)] = []

    @field_validator("rows")
    @classmethod
    def _once(cls, rows: list[ProofRow]) -> list[ProofRow]:
        check_once(rows, "seconds", "method")
        return rows


class Measured(WithIntervals):
    value: Value
    low: Value | None = None
    high: Value | None = None


class BestInQuality(Record):
    seconds: Length
    method: Name
    metric: Name
    better: Name
    quality: Measured
    decided_by: Name
    minus_dense: Measured | None = None
    distance: Measured | None = None
    speedup: Ratio | None = None
    equals: Annotated[list[Name], Field(max_length=1_000)] = []
    worse_in: Annotated[list[Name], Field(max_length=100)] = []


class Quality(Record):
    """What a plan with the objective of quality holds beside its choice."""

    quality: Annotated[dict[Label, BestInQuality], Field(max_length=200)] = {}
    objective: Annotated[dict[Label, Name], Field(max_length=200)] = {}


class Recommendation(Quality):
    choice: Choice
    proof: Proof | None = None
    notes: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=200)] = []
