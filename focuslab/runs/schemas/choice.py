"""Typed records of what chooses and validates a plan: choice, validation, recommendation."""

from typing import Annotated

from pydantic import Field

from focuslab.runs.schemas import types as t
from focuslab.runs.schemas.run import MOST_ROWS, StepTimes


class Point(t.Record):
    """What one choice of sites and methods costs and gains."""

    step_seconds: t.Seconds
    error: t.Amount
    speedup: t.Ratio
    dense_steps: Annotated[t.Whole[t.Count], Field(min_length=2, max_length=2)] = [0, 0]
    error_low: t.Amount | None = None
    error_high: t.Amount | None = None
    methods: t.Named[t.Name] = {}
    predicted_from_flops: bool | None = None
    timed: bool | None = None


class GroupVerdict(t.Record):
    """Whether a group of sites is sparse, and why."""

    group: t.Name
    taken: bool
    sites: t.Count | None = None
    method: t.Name | None = None
    lift: t.Amount | None = None
    recall: t.Amount | None = None
    local_error: t.Amount | None = None
    error: t.Amount | None = None
    saved_seconds: t.Value | None = None
    predicted: bool | None = None
    verdict: t.Name | None = None
    reason: t.Line | None = None


class ChosenSite(t.Record):
    name: t.Path
    block: t.Name
    mel_rows: t.Count | None = None
    lift: t.Amount | None = None
    saved_seconds: t.Value | None = None
    saved_share: t.Value | None = None
    method: t.Name | None = None


class Budget(t.Record):
    max_error: t.Amount | None = None
    min_speedup: t.Amount | None = None


class ChoiceAtLength(t.Record):
    seconds: t.Length
    dense_step_seconds: t.Seconds
    points: Annotated[dict[t.Label, Point], t.at_most(50)]
    frontier: Annotated[list[Annotated[t.Whole[t.Amount], t.at_most(2)]], t.at_most(10_000)] = []
    groups: Annotated[list[GroupVerdict], t.at_most(1_000)] = []
    budget: Budget | None = None
    gain_method: t.Name | None = None
    sites: Annotated[list[ChosenSite], t.at_most(10_000)] = []


class Combination(t.Record):
    """The rule that puts the errors of groups together."""

    exponent: t.Amount
    misfit: t.Amount | None = None
    low: t.Amount | None = None
    high: t.Amount | None = None
    runs: t.Count | None = None


class Choice(t.Record):
    lengths: Annotated[list[ChoiceAtLength], t.each_once("seconds"), Field(min_length=1), t.at_most(200)]
    crossover: t.Line
    crossover_seconds: t.Length | None = None
    budget: Budget
    combination: Combination


class ProofRow(StepTimes, t.WithIntervals):
    step_seconds_median: t.Seconds
    dense_steps: t.Count | None = None
    prompts: t.Count | None = None
    n: t.Count | None = None
    sounds: t.Count | None = None
    silent: t.Count | None = None
    error: t.Amount | None = None
    error_low: t.Amount | None = None
    error_high: t.Amount | None = None
    log_mel_l1: t.Amount | None = None
    log_mel_l1_low: t.Amount | None = None
    log_mel_l1_high: t.Amount | None = None
    rms_ratio: t.Amount | None = None
    rms_ratio_low: t.Amount | None = None
    rms_ratio_high: t.Amount | None = None
    centroid_ratio: t.Amount | None = None
    centroid_ratio_low: t.Amount | None = None
    centroid_ratio_high: t.Amount | None = None
    predicted: Point | None = None
    time_off: t.Value | None = None
    error_off: t.Value | None = None
    missed: Annotated[list[t.Line], t.at_most(20)] = []


class Proof(t.Record):
    rows: Annotated[list[ProofRow], t.each_once("seconds", "method"), t.at_most(MOST_ROWS)]
    steps: t.Count | None = None
    missed: Annotated[list[t.Line], t.at_most(200)] = []


class Measured(t.WithIntervals):
    value: t.Value
    low: t.Value | None = None
    high: t.Value | None = None


class BestInQuality(t.Record):
    seconds: t.Length
    method: t.Name
    metric: t.Name
    better: t.Name
    quality: Measured
    decided_by: t.Name
    minus_dense: Measured | None = None
    distance: Measured | None = None
    speedup: t.Ratio | None = None
    equals: Annotated[list[t.Name], t.at_most(1_000)] = []
    worse_in: Annotated[list[t.Name], t.at_most(100)] = []


class Quality(t.Record):
    """What a plan with the objective of quality holds beside its choice."""

    quality: Annotated[dict[t.Label, BestInQuality], t.at_most(200)] = {}
    objective: Annotated[dict[t.Label, t.Name], t.at_most(200)] = {}


class Recommendation(Quality):
    choice: Choice
    proof: Proof | None = None
    notes: Annotated[list[Annotated[str, Field(max_length=2000)]], t.at_most(200)] = []
