"""Typed records of a plan's file. It has no field beside these, so that a typing error in one is found."""

from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from focuslab.checks import is_number
from focuslab.errors import did_you_mean
from focuslab.runs.schemas import types as t


def _scalar(value: Any) -> Any:
    if isinstance(value, (str, bool)) or is_number(value):
        return value
    raise PydanticCustomError("expected", "text, a number or a boolean")


Positive = Annotated[int, t.number(1, 2**53, int)]
Steps = Annotated[int, t.number(0, 2**53, int)]
Scalar = Annotated[str | bool | float, PlainValidator(_scalar)]
SiteName = Annotated[str, Field(pattern=r"^[\w.]+$")]


class Exact(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SiteShape(Exact):
    mel_rows: Positive
    heads: Positive
    head_width: Positive


class Layout(Exact):
    """What a UNet must look like to take the plan. Without a family it is AudioLDM2's."""

    family: str | None = None
    frame_seconds: Annotated[float, t.number(1e-9, 1e9)]
    frames_per_latent: Positive
    latent_mel_rows: Positive
    sites: Annotated[dict[SiteName, SiteShape], Field(min_length=1)]


class SiteMethod(BaseModel):
    """The method of a site, and its parameters under their own names."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Scalar]

    method: str


class DenseSteps(Exact):
    first: Steps
    last: Steps


class Entry(Exact):
    min_seconds: Annotated[float, t.number(0)]
    max_seconds: Annotated[float, t.number(0)] | None
    sites: dict[str, SiteMethod]
    dense_steps: DenseSteps | None = None

    @model_validator(mode="after")
    def _ends_after_its_begin(self):
        if self.max_seconds is not None and self.max_seconds <= self.min_seconds:
            raise t.wrong_fields("a number above min_seconds, or null for no end", {"max_seconds": self.max_seconds})
        return self


class PlanContent(Exact):
    model: str
    unet: Layout
    entries: Annotated[list[Entry], Field(min_length=1)]
    evidence: dict[str, Any] = {}

    @model_validator(mode="after")
    def _every_length_has_one_entry(self):
        first, last = self.entries[0], self.entries[-1]
        if first.min_seconds != 0:
            raise t.wrong_fields("0 in the first entry", {("entries", 0, "min_seconds"): first.min_seconds})
        for i, (one, after) in enumerate(pairwise(self.entries), start=1):
            if one.max_seconds != after.min_seconds:
                expected = "the max_seconds of the entry before, which only in the last one may be null"
                raise t.wrong_fields(expected, {("entries", i, "min_seconds"): after.min_seconds})
        if last.max_seconds is not None:
            expected = "null in the last entry, so that every length has one"
            raise t.wrong_fields(expected, {("entries", len(self.entries) - 1, "max_seconds"): last.max_seconds})
        return self

    @model_validator(mode="after")
    def _names_sites_of_the_unet(self):
        known = self.unet.sites
        for i, entry in enumerate(self.entries):
            for site in entry.sites.keys() - known.keys():
                expected = f"one of the {len(known)} sites in unet.sites{did_you_mean(site, known)}"
                raise t.wrong_fields(expected, {("entries", i, "sites", site): site})
        return self
