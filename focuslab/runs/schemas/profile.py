"""Typed records of the summary of a profile, and of its records of modules."""

from typing import Annotated

from pydantic import Field, field_validator

from focuslab.runs.schemas.fields import (
    Amount,
    Count,
    Length,
    Name,
    Named,
    Path,
    Ratio,
    Record,
    Seconds,
    Share,
    Text,
    Whole,
    check_once,
)
from focuslab.runs.schemas.run import MOST_ROWS, Skipped, StepTimes


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
    modules: Annotated[list[Module], Field(exclude_if=lambda modules: not modules)] = []
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
