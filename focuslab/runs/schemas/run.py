"""Typed records of run.json, and of what the files of every kind of run have in common."""

from typing import Annotated, Any

from pydantic import ConfigDict, with_config
from typing_extensions import Required, TypedDict

from focuslab.runs.schemas import types as t

MOST_ROWS = 5_000


class Model(t.Record):
    name: t.Path
    unet_parameters: t.Count | None = None
    unet_fingerprint: t.Line | None = None
    weights: t.Named[t.Label] = {}


class Info(t.Record):
    """run.json, of every kind of run."""

    command: t.Name
    model: Model
    parameters: t.Named[Any]
    machine: t.Named[Any]
    versions: t.Named[t.Label]
    device: t.Label
    dtype: t.Label
    seed: t.Seed | None = None
    prompts: Annotated[list[t.Text], t.at_most(1_000_000)]
    grids: t.Named[Any] = {}
    started: t.Label | None = None
    ended: t.Label | None = None


class Skipped(t.Record):
    """A length, or a method at a length, that did not fit into memory."""

    seconds: t.Length
    method: t.Name | None = None
    needed_bytes: t.Amount
    free_bytes: t.Amount


class StepTimes(t.Record):
    """What rows of timed steps have in common."""

    seconds: t.Length
    method: t.Name
    step_seconds_median: t.Seconds | None = None
    step_seconds_p10: t.Seconds | None = None
    step_seconds_p90: t.Seconds | None = None
    speedup_vs_dense: t.Ratio | None = None


@with_config(ConfigDict(extra="allow", strict=True))
class Measurement(TypedDict, total=False):
    """What the records of every kind of run have in common; they are many, so they stay plain dicts."""

    kind: Required[t.Name]
    seconds: t.Length | None
    method: t.Name | None
    repeat: t.Count | None
    step_seconds: t.Whole[t.Seconds] | t.Seconds
