"""Typed records of evaluations and of single clips."""

from typing import Annotated, Any

from pydantic import Field

from focuslab.runs.schemas import types as t
from focuslab.runs.schemas.run import MOST_ROWS, Model, Skipped, StepTimes


class Estimated(t.WithIntervals):
    value: t.Value | None = None
    low: t.Value | None = None
    high: t.Value | None = None
    n: t.Count | None = None


class MetricOf(t.Record):
    """What has to stand beside a number of a metric."""

    embedder: t.Name | None = None
    checkpoint: t.Line | None = None
    protocol: t.Text | None = None
    reference: t.Name | None = None


class Metric(Estimated, MetricOf):
    minus_dense: Estimated | None = None


class MetricTitle(MetricOf):
    title: t.Line | None = None
    unit: t.Label | None = None
    better: t.Name | None = None


class OfWindows(t.WithIntervals):
    by_window: Annotated[list[t.Value], t.at_most(10_000)]
    drift: t.Value | None = None
    drift_low: t.Value | None = None
    drift_high: t.Value | None = None


class Along(t.WithIntervals):
    """How clips change along their length."""

    windows: t.Count
    n: t.Count | None = None
    clap: OfWindows | None = None
    silence_share: OfWindows | None = None
    rms: OfWindows | None = None
    repetition: t.Value | None = None
    repetition_low: t.Value | None = None
    repetition_high: t.Value | None = None


class Longer(t.WithIntervals):
    seconds: t.Length
    n: t.Count | None = None
    difference: t.Value | None = None
    difference_low: t.Value | None = None
    difference_high: t.Value | None = None


class Breaks(t.Record):
    """From which length on dense clips are worse than at the training length."""

    base_seconds: t.Length
    rows: Annotated[list[Longer], t.at_most(MOST_ROWS)]
    seconds: t.Length | None = None


class EvaluationRow(StepTimes, t.WithIntervals):
    metrics: Annotated[dict[t.Label, Metric], t.at_most(100)]
    n: t.Count | None = None
    excluded: t.Named[t.Count] = {}
    speedup_low: t.Ratio | None = None
    speedup_high: t.Ratio | None = None
    generation_seconds: t.Amount | None = None
    scoring_seconds: t.Amount | None = None
    along: Along | None = None


class Evaluation(t.Record):
    rows: Annotated[list[EvaluationRow], t.each_once("seconds", "method"), t.at_most(MOST_ROWS)]
    metrics: Annotated[dict[t.Label, MetricTitle], t.at_most(100)] = {}
    reference: Any = None
    breaks: Breaks | None = None
    items: t.Named[t.Count] = {}
    scorer_is_own: bool | None = None
    scoring_over_generating: t.Amount | None = None
    footnotes: Annotated[list[t.Text], t.at_most(200)] = []
    skipped: t.Several[Skipped] = []


class Generation(t.Record):
    """The settings beside one generated clip."""

    model: Model
    prompt: t.Text
    seconds: t.Length
    seed: t.Seed
    method: Annotated[str, Field(min_length=1, max_length=10_000)]
    steps: t.Count | None = None
    guidance_scale: t.Value | None = None
    sites: t.Several[t.Line] = []
    plan: Any = None
    sampling_rate: t.Count | None = None
    wall_seconds: t.Seconds | None = None
    device: t.Label | None = None
    dtype: t.Label | None = None
    machine: Any = None
    versions: t.Named[t.Label] = {}
    made: t.Label | None = None


class Item(t.Record):
    """The record of a clip of an evaluation that is kept as a file."""

    kind: t.Name
    prompt: t.Count
    seconds: t.Length
    method: t.Name
    seed: t.Seed
    status: t.Name
    audio: t.Path
    step_seconds: t.Seconds | None = None
    denoising_seconds: t.Seconds | None = None
    values: Annotated[dict[t.Label, t.Value], t.at_most(100)] = {}
