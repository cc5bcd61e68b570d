"""Typed records of the summary of a capture."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from focuslab.runs.schemas.fields import (
    Amount,
    ByNumber,
    Count,
    Label,
    Length,
    Line,
    Name,
    Path,
    Ratio,
    Record,
    Share,
    Side,
    Text,
    Value,
    Whole,
    WithIntervals,
    check_once,
    wrong_fields,
)
from focuslab.runs.schemas.run import MOST_ROWS, Skipped


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
