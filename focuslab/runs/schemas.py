"""Typed records of run.json, of the summaries of measurements, and of what is read again of records.jsonl."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator
from typing_extensions import Required, TypedDict

from focuslab.runs.fields import (
    Amount,
    ByNumber,
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
    Share,
    Side,
    Text,
    Value,
    Whole,
    WithIntervals,
    check_once,
    wrong_fields,
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


class Stage(Record):
    seconds: Length
    stage: Name
    stage_seconds_median: Seconds | None = None
    note: Text | None = None


class Module(Record):
    name: Path
    kind: Name
    calls: Count | None = None
    inclusive_seconds: Amount | None = None
    exclusive_seconds: Amount | None = None
    flops: Amount | None = None


class StepTimes(Record):
    """What rows of timed steps have in common."""

    seconds: Length
    method: Name
    step_seconds_median: Seconds | None = None
    step_seconds_p10: Seconds | None = None
    step_seconds_p90: Seconds | None = None
    speedup_vs_dense: Ratio | None = None


class ProfileRow(StepTimes):
    step_seconds_median: Seconds
    sites: Count | None = None
    step_seconds: list[Seconds] = []
    peak_bytes: Amount | None = None
    held_bytes: Amount | None = None
    predicted_peak_bytes: Amount | None = None
    flops_per_step: Amount | None = None
    kept_pairs: Share | None = None
    bound_seconds: Seconds | None = None
    ideal_seconds: Seconds | None = None
    share_of_ideal: Ratio | None = None
    generation_seconds_projected: Seconds | None = None
    kind_share: Named[Share] = {}
    kind_flop_share: Named[Share] = {}
    modules: list[Module] = []
    """Only older versions wrote them here."""


class Profile(Record):
    rows: Annotated[list[ProfileRow], Field(max_length=MOST_ROWS)]
    stages: list[Stage] = []
    skipped: list[Skipped] = []
    shares_of_eager: bool | None = None
    instrumented_over_plain: Ratio | None = None
    projected_steps: Count | None = None

    @field_validator("rows")
    @classmethod
    def _once(cls, rows: list[ProfileRow]) -> list[ProfileRow]:
        check_once(rows, "seconds", "method")
        return rows


class Lag(Record):
    """Mass by time lag: lists of one length."""

    middles: Whole[Amount | None]
    own_lift: Whole[Amount | None]
    other_lift: Whole[Amount | None]

    @model_validator(mode="after")
    def _of_one_length(self):
        lists = {name: getattr(self, name) for name in ("middles", "own_lift", "other_lift")}
        if len({len(values) for values in lists.values()}) > 1:
            raise wrong_fields("lists of one length", lists)
        return self


class BestHead(Record):
    site: Line | None = None
    head: Count | None = None


class CapturedStep(WithIntervals):
    step: Count
    timestep: Value | None = None
    lift: Ratio
    lift_low: Amount | None = None
    lift_high: Amount | None = None
    entropy: Value | None = None


class Place(WithIntervals):
    """A site, or a block with the mean of its sites, at one length."""

    name: Path
    seconds: Length
    time: Count
    mel_rows: Side
    block: Name | None = None
    level: Count | None = None
    sites: Count | None = None
    heads: Count | None = None
    chance: Share | None = None
    prompts: Count | None = None
    same_frequency_mass: Share | None = None
    same_frequency_mass_std: Amount | None = None
    lift: Amount | None = None
    lift_low: Amount | None = None
    lift_high: Amount | None = None
    best_head_lift: Amount | None = None
    lift_heads: Annotated[list[Amount], Field(max_length=10_000)] = []
    heads_above_chance: Count | None = None
    best_head: BestHead | None = None
    by_step: Annotated[list[CapturedStep], Field(max_length=1_000)] = []
    entropy: Value | None = None
    entropy_low: Value | None = None
    entropy_high: Value | None = None
    uniform_entropy: Value | None = None
    training_entropy: Value | None = None
    entropy_growth: Value | None = None
    entropy_growth_low: Value | None = None
    entropy_growth_high: Value | None = None
    uniform_growth: Value | None = None
    recall: ByNumber[Amount] = {}
    recall_low: ByNumber[Amount] = {}
    recall_high: ByNumber[Amount] = {}
    recall_chance: ByNumber[Amount] = {}
    output_error: ByNumber[Amount] = {}
    output_error_low: ByNumber[Amount] = {}
    output_error_high: ByNumber[Amount] = {}
    rows: Whole[Whole[Amount]] = []
    lag: Lag | None = None
    verdict: Text | None = None

    @model_validator(mode="after")
    def _matrix_fits_the_grid(self):
        lines = {len(self.rows), *map(len, self.rows)}
        if self.rows and lines != {self.mel_rows}:
            raise wrong_fields(f"a matrix of {self.mel_rows} x {self.mel_rows}", {"rows": self.rows})
        return self


class Interval(Record):
    level: Share | None = None
    over: Name | None = None
    resamples: Count | None = None
    note: Text | None = None


class Attention(Record):
    blocks: Annotated[list[Place], Field(max_length=MOST_ROWS)]
    sites: Annotated[list[Place], Field(max_length=20_000)] = []
    training_seconds: Length
    interval: Interval | None = None
    training_length: Length | None = None
    log_sum_exp: Label | None = None
    skipped: list[Skipped] = []
    capture_over_plain: Ratio | None = None
    peak_bytes: Amount | None = None

    @field_validator("blocks")
    @classmethod
    def _once(cls, blocks: list[Place]) -> list[Place]:
        check_once(blocks, "seconds", "name")
        return blocks


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


class Measurement(TypedDict, total=False):
    """What the records of every kind of run have in common; they are many, so they stay plain dicts."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)

    kind: Required[Name]
    seconds: Length | None
    method: Name | None
    repeat: Count | None
    step_seconds: Whole[Seconds] | Seconds


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


class ModuleColumns(Record):
    calls: Whole[Amount | None] = []
    inclusive_seconds: Whole[Amount | None] = []
    exclusive_seconds: Whole[Amount | None] = []


class ModuleTimes(Record):
    """A record "units" of a profile, which names its modules, or "modules", which has their times."""

    kind: Name
    seconds: Length | None = None
    method: Name | None = None
    repeat: Count | None = None
    names: Whole[Path] = []
    kinds: Whole[Name] = []
    step_seconds: Whole[Seconds] = []
    modules: ModuleColumns | None = None
