"""Typed records of the summary of a profile, and of its records of modules."""

from typing import Annotated

from pydantic import Field

from focuslab.runs.schemas import types as t
from focuslab.runs.schemas.run import MOST_ROWS, Skipped, StepTimes


class Stage(t.Record):
    seconds: t.Length
    stage: t.Name
    stage_seconds_median: t.Seconds | None = None
    note: t.Text | None = None


class Module(t.Record):
    name: t.Path
    kind: t.Name
    calls: t.Count | None = None
    inclusive_seconds: t.Amount | None = None
    exclusive_seconds: t.Amount | None = None
    flops: t.Amount | None = None


class ProfileRow(StepTimes):
    step_seconds_median: t.Seconds
    sites: t.Count | None = None
    step_seconds: t.Several[t.Seconds] = []
    peak_bytes: t.Amount | None = None
    held_bytes: t.Amount | None = None
    predicted_peak_bytes: t.Amount | None = None
    flops_per_step: t.Amount | None = None
    kept_pairs: t.Share | None = None
    bound_seconds: t.Seconds | None = None
    ideal_seconds: t.Seconds | None = None
    share_of_ideal: t.Ratio | None = None
    generation_seconds_projected: t.Seconds | None = None
    kind_share: Annotated[dict[t.Label, t.Share], t.at_most(20)] = {}
    kind_flop_share: Annotated[dict[t.Label, t.Share], t.at_most(20)] = {}
    modules: Annotated[t.Several[Module], Field(exclude_if=lambda modules: not modules)] = []
    """Only older versions wrote them here."""


class Profile(t.Record):
    rows: Annotated[list[ProfileRow], t.each_once("seconds", "method"), t.at_most(MOST_ROWS)]
    stages: t.Several[Stage] = []
    skipped: t.Several[Skipped] = []
    shares_of_eager: bool | None = None
    instrumented_over_plain: t.Ratio | None = None
    projected_steps: t.Count | None = None


class ModuleColumns(t.Record):
    calls: t.Whole[t.Amount | None] = []
    inclusive_seconds: t.Whole[t.Amount | None] = []
    exclusive_seconds: t.Whole[t.Amount | None] = []


class ModuleTimes(t.Record):
    """A record "units" of a profile, which names its modules, or "modules", which has their times."""

    kind: t.Name
    seconds: t.Length | None = None
    method: t.Name | None = None
    repeat: t.Count | None = None
    names: t.Whole[t.Path] = []
    kinds: t.Whole[t.Name] = []
    step_seconds: t.Whole[t.Seconds] = []
    modules: ModuleColumns | None = None
