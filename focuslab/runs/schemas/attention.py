"""Typed records of the summary of a capture."""

from typing import Annotated, Any

from pydantic import model_validator

from focuslab.runs.schemas import types as t
from focuslab.runs.schemas.run import MOST_ROWS, Skipped


class Lag(t.Record):
    """Mass by time lag: lists of one length."""

    middles: t.Whole[t.Amount | None]
    own_lift: t.Whole[t.Amount | None]
    other_lift: t.Whole[t.Amount | None]

    @model_validator(mode="after")
    def _of_one_length(self):
        lists: dict[str | tuple[str | int, ...], Any] = {
            name: getattr(self, name) for name in ("middles", "own_lift", "other_lift")
        }
        if len({len(values) for values in lists.values()}) > 1:
            raise t.wrong_fields("lists of one length", lists)
        return self


class Spread(t.Record):
    """Of the own mel row and of the others, over the squared output."""

    own: t.Amount
    other: t.Amount


class BestHead(t.Record):
    site: t.Line | None = None
    head: t.Count | None = None


class CapturedStep(t.WithIntervals):
    step: t.Count
    timestep: t.Value | None = None
    lift: t.Ratio
    lift_low: t.Amount | None = None
    lift_high: t.Amount | None = None
    entropy: t.Value | None = None


class Place(t.WithIntervals):
    """A site, or a block with the mean of its sites, at one length."""

    name: t.Path
    seconds: t.Length
    time: t.Count
    mel_rows: t.Side
    block: t.Name | None = None
    level: t.Count | None = None
    sites: t.Count | None = None
    heads: t.Count | None = None
    chance: t.Share | None = None
    prompts: t.Count | None = None
    same_frequency_mass: t.Share | None = None
    same_frequency_mass_std: t.Amount | None = None
    lift: t.Amount | None = None
    lift_low: t.Amount | None = None
    lift_high: t.Amount | None = None
    best_head_lift: t.Amount | None = None
    lift_heads: Annotated[list[t.Amount], t.at_most(10_000)] = []
    heads_above_chance: t.Count | None = None
    best_head: BestHead | None = None
    by_step: Annotated[list[CapturedStep], t.at_most(1_000)] = []
    entropy: t.Value | None = None
    entropy_low: t.Value | None = None
    entropy_high: t.Value | None = None
    uniform_entropy: t.Value | None = None
    training_entropy: t.Value | None = None
    entropy_growth: t.Value | None = None
    entropy_growth_low: t.Value | None = None
    entropy_growth_high: t.Value | None = None
    uniform_growth: t.Value | None = None
    recall: t.ByNumber[t.Amount] = {}
    recall_low: t.ByNumber[t.Amount] = {}
    recall_high: t.ByNumber[t.Amount] = {}
    recall_chance: t.ByNumber[t.Amount] = {}
    output_error: t.ByNumber[t.Amount] = {}
    output_error_low: t.ByNumber[t.Amount] = {}
    output_error_high: t.ByNumber[t.Amount] = {}
    sampling: Spread | None = None
    sampled_predicted: t.Named[t.Amount] = {}
    sampled_error: t.Named[t.Amount] = {}
    keys_for: t.ByNumber[Annotated[list[t.Count], t.at_most(2)]] = {}
    rows: t.Whole[t.Whole[t.Amount]] = []
    lag: Lag | None = None
    verdict: t.Text | None = None

    @model_validator(mode="after")
    def _matrix_fits_the_grid(self):
        lines = {len(self.rows), *map(len, self.rows)}
        if self.rows and lines != {self.mel_rows}:
            raise t.wrong_fields(f"a matrix of {self.mel_rows} x {self.mel_rows}", {"rows": self.rows})
        return self


class Interval(t.Record):
    level: t.Share | None = None
    over: t.Name | None = None
    resamples: t.Count | None = None
    note: t.Text | None = None


class Attention(t.Record):
    blocks: Annotated[list[Place], t.each_once("seconds", "name"), t.at_most(MOST_ROWS)]
    sites: Annotated[list[Place], t.at_most(20_000)] = []
    training_seconds: t.Length
    interval: Interval | None = None
    training_length: t.Length | None = None
    log_sum_exp: t.Label | None = None
    skipped: t.Several[Skipped] = []
    capture_over_plain: t.Ratio | None = None
    peak_bytes: t.Amount | None = None
