"""What the fields of typed records may hold: numbers that can be drawn, texts of bounded length, lists and objects."""

from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from focuslab.checks import is_number

LARGEST = 1e24
SMALLEST = 1e-24
"""What is nearer to 0 is rounding, and is read as 0: no ratio of two numbers passes what floating point holds."""
LABEL = 200
"""Most characters of a name."""
MOST = 20_000
"""Most items of a list of records."""
LONGEST = 1e6
"""Most seconds of audio."""

T = TypeVar("T")


def number(low: float = -LARGEST, high: float = LARGEST, kinds: Any = (int, float)):
    """A check that keeps a number as it is: pydantic's own would turn an int into a float."""
    expected = f"a {'whole ' if kinds is int else ''}number from {low:g} to {high:g}"

    def check(value: Any) -> Any:
        if not (is_number(value) and isinstance(value, kinds) and low <= value <= high):
            raise PydanticCustomError("expected", expected)
        return 0.0 if 0 < abs(value) < SMALLEST else value

    return PlainValidator(check)


def at_most(most: int) -> BeforeValidator:
    """A limit of a list or an object that is checked before its items are: a wrong one may hold millions."""

    def check(value: Any) -> Any:
        if isinstance(value, (list, dict)) and len(value) > most:
            raise PydanticCustomError("too_long", "too long", {"max_length": most})
        return value

    return BeforeValidator(check)


def _number_text(value: str) -> str:
    try:
        if is_number(float(value)):
            return value
    except ValueError:
        pass
    raise PydanticCustomError("expected", "the text of a number")


def _as_a_whole(value: Any, validate: Any) -> Any:
    """One wrong item makes the whole list wrong: without it, the others would stand at other places."""
    try:
        return validate(value)
    except ValidationError:
        raise PydanticCustomError("expected", "a list of which every item is right") from None


Value = Annotated[float, number()]
Amount = Annotated[float, number(0)]
Share = Annotated[float, number(0, 1)]
Ratio = Annotated[float, number(1e-6, 1e6)]
Seconds = Annotated[float, number(1e-9, 1e9)]
"""How long something took."""
Length = Annotated[float, number(0.01, LONGEST)]
"""Seconds of audio."""
Count = Annotated[int, number(0, 1e9, int)]
Seed = Annotated[int, number(0, kinds=int)]
Side = Annotated[int, number(1, 4096, int)]
"""Mel rows or time bins of a matrix that is drawn."""
Text = Annotated[str, Field(max_length=1_000_000)]
Line = Annotated[str, Field(max_length=1000)]
Path = Annotated[str, Field(min_length=1, max_length=1000)]
Label = Annotated[str, Field(max_length=LABEL)]
Name = Annotated[str, Field(min_length=1, max_length=LABEL)]
Whole = Annotated[list[T], Field(fail_fast=True), WrapValidator(_as_a_whole)]
Several = Annotated[list[T], at_most(MOST)]
Named = Annotated[dict[Label, T], at_most(1_000)]
ByNumber = Annotated[dict[Annotated[str, AfterValidator(_number_text)], T | None], at_most(50)]
"""By the text of a number, such as "0.1"."""


class Record(BaseModel):
    """A part of a file. A field that is null counts as absent; fields that this version does not know are kept."""

    model_config = ConfigDict(extra="allow", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in value.items() if item is not None or key not in cls.model_fields}


class WithIntervals(Record):
    """A part with intervals: both ends of one are there, or neither."""

    @model_validator(mode="after")
    def _both_ends(self):
        for name in type(self).model_fields:
            other = f"{name[:-3]}high"
            ends = getattr(self, name), getattr(self, other, None)
            if name.endswith("low") and (ends[0] is None) != (ends[1] is None):
                raise wrong_fields(f"both of {name} and {other}", {name: ends[0], other: ends[1]})
        return self


def wrong_fields(expected: str, values: dict[str | tuple[str | int, ...], Any]) -> ValidationError:
    """The error that several fields of a record, by name or place in it, do not fit each other."""
    wrong = PydanticCustomError("expected", "{expected}", {"expected": expected})
    places = {key if isinstance(key, tuple) else (key,): value for key, value in values.items() if value is not None}
    details = [InitErrorDetails(type=wrong, loc=place, input=value) for place, value in places.items()]
    return ValidationError.from_exception_data("record", details)


def each_once(*key: str) -> AfterValidator:
    """A check that no two rows have the same key: nobody could tell which of them is right."""

    def check(rows: list[Any]) -> list[Any]:
        seen = [tuple(getattr(row, name) for name in key) for row in rows]
        if len(set(seen)) < len(seen):
            raise PydanticCustomError("expected", f"one row for each {' and '.join(key)}")
        return rows

    return AfterValidator(check)
