"""What the files of a run must look like: checks that keep all that is right and name what is not.

A shape has `check(value, where, gaps)`, which returns a value that can be relied on or raises `Wrong`. Lists and
objects take it upon themselves: an item or an optional field that is wrong is left out and told to `gaps`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from focuslab.checks import is_number, shown
from focuslab.errors import InputError

LARGEST = 1e24
SMALLEST = 1e-24
"""Of a number above 0, so that no ratio of two passes what floating point holds."""
TEXT = 1_000_000
LABEL = 200


class Wrong(Exception):
    """A value that is not what was expected."""

    def __init__(self, where: str, expected: str, value: Any):
        super().__init__(f"{where} is {shown(value)}: expected {expected}")


@dataclass(frozen=True)
class Number:
    """A finite number, neither huge nor next to nothing. A whole one has to be an int."""

    low: float = -LARGEST
    high: float = LARGEST
    whole: bool = False
    default: None = None

    def check(self, value: Any, where: str, gaps: list[str]) -> Any:
        kind = "a whole number" if self.whole else "a number"
        fine = is_number(value) and (isinstance(value, int) or not self.whole)
        if not fine or not self.low <= value <= self.high or 0 < abs(value) < SMALLEST:
            raise Wrong(where, f"{kind} from {self.low:g} to {self.high:g}", value)
        return value


@dataclass(frozen=True)
class Text:
    most: int = TEXT
    least: int = 0
    default: None = None

    def check(self, value: Any, where: str, gaps: list[str]) -> str:
        if not isinstance(value, str) or not self.least <= len(value) <= self.most:
            raise Wrong(where, f"text of {self.least} to {self.most} characters", value)
        return value


@dataclass(frozen=True)
class Flag:
    default: None = None

    def check(self, value: Any, where: str, gaps: list[str]) -> bool:
        if not isinstance(value, bool):
            raise Wrong(where, "true or false", value)
        return value


@dataclass(frozen=True)
class Maybe:
    """The shape, or null."""

    of: Any
    default: None = None

    def check(self, value: Any, where: str, gaps: list[str]) -> Any:
        return None if value is None else self.of.check(value, where, gaps)


@dataclass(frozen=True)
class Items:
    """A list; what is wrong in it is left out, and `least` must be left. With `whole` one wrong item makes it wrong."""

    of: Any
    most: int = 100_000
    whole: bool = False
    least: int = 0

    @property
    def default(self) -> list:
        return []

    def check(self, value: Any, where: str, gaps: list[str]) -> list:
        if not isinstance(value, list) or (self.whole and len(value) > self.most):
            raise Wrong(where, f"a list of at most {self.most}", value)
        if len(value) > self.most:
            gaps.append(f"{where}: only the first {self.most} of {len(value)} are taken")
        found = []
        for i, item in enumerate(value[: self.most]):
            try:
                found.append(self.of.check(item, f"{where}[{i}]", gaps))
            except Wrong as wrong:
                if self.whole:
                    raise
                gaps.append(f"{wrong}; left out")
        if len(found) < self.least:
            raise Wrong(where, f"a list with {self.least} or more that can be shown", value)
        return found


@dataclass(frozen=True)
class Named:
    """An object whose names are free, all values of one shape; what is wrong in it is left out."""

    of: Any
    most: int = 10_000
    name: Any = Text(LABEL)

    @property
    def default(self) -> dict:
        return {}

    def check(self, value: Any, where: str, gaps: list[str]) -> dict:
        if not isinstance(value, dict) or len(value) > self.most:
            raise Wrong(where, f"an object of at most {self.most} fields", value)
        found = {}
        for key, item in value.items():
            try:
                self.name.check(key, f"a name in {where}", gaps)
                found[key] = self.of.check(item, f"{where}[{shown(key)}]", gaps)
            except Wrong as wrong:
                gaps.append(f"{wrong}; left out")
        return found


@dataclass(frozen=True)
class NumberText:
    """The name of a number, such as "0.1"."""

    default: None = None

    def check(self, value: Any, where: str, gaps: list[str]) -> str:
        try:
            Number().check(float(value), where, gaps)
        except ValueError:
            raise Wrong(where, "a number", value) from None
        return value


@dataclass(frozen=True)
class Fields:
    """An object with these fields. An `optional` one that is missing, null or wrong has its shape's default; others
    that this version does not know are passed over. `check_all` looks at the whole: it may raise `Wrong`, or take out
    what does not fit the rest and tell it to `gaps`."""

    required: Mapping[str, Any] = field(default_factory=dict)
    optional: Mapping[str, Any] = field(default_factory=dict)
    check_all: Callable[[dict, str, list[str]], None] | None = None
    default: None = None

    def check(self, value: Any, where: str, gaps: list[str]) -> dict:
        if not isinstance(value, dict):
            raise Wrong(where, "an object", value)
        found = {}
        for name, shape in self.required.items():
            if name not in value:
                raise Wrong(where, f"a field {name!r}", value)
            found[name] = shape.check(value[name], f"{where}.{name}", gaps)
        for name, shape in self.optional.items():
            found[name] = shape.default
            if value.get(name) is not None:
                try:
                    found[name] = shape.check(value[name], f"{where}.{name}", gaps)
                except Wrong as wrong:
                    gaps.append(f"{wrong}; taken as not measured")
        if self.check_all:
            self.check_all(found, where, gaps)
        return found


@dataclass(frozen=True)
class Anything:
    """JSON of any form, cut off where it is too deep or too long to be shown."""

    deep: int = 8
    most: int = 2_000
    default: None = None

    def check(self, value: Any, where: str, gaps: list[str]) -> Any:
        return self._cut(value, self.deep)

    def _cut(self, value: Any, deep: int) -> Any:
        if isinstance(value, (list, dict)) and not deep:
            return "..."
        if isinstance(value, list):
            return [self._cut(item, deep - 1) for item in value[: self.most]]
        if isinstance(value, dict):
            return {key: self._cut(item, deep - 1) for key, item in list(value.items())[: self.most]}
        return value if isinstance(value, (str, bool)) or value is None or is_number(value) else shown(value)


def conform(value: Any, shape: Any, source: str, gaps: list[str]) -> Any:
    """`value` as `shape` wants it. Raises `Wrong` where too little is left of it."""
    return shape.check(value, source, gaps)


def checked(value: Any, shape: Any, source: str) -> Any:
    """`value` with what an older version did not write yet. Raises `InputError` for whatever `shape` finds wrong."""
    gaps: list[str] = []
    try:
        found = shape.check(value, source, gaps)
    except Wrong as wrong:
        raise InputError(str(wrong)) from None
    if gaps:
        raise InputError(gaps[0].partition(";")[0])
    return _filled(value, found)


_SPARSE = ("metrics",)
"""Fields of a summary in whose objects only what was measured is written."""
_OLDER = ("modules",)
"""Fields that only older versions wrote."""


def _filled(value: Any, found: Any) -> Any:
    """`value`, also where the shape does not know it, with what only the shape has of it."""
    if value is None:
        return found
    if isinstance(value, dict) and isinstance(found, dict):
        both = {k: _filled(v, found[k]) if k in found and k not in _SPARSE else v for k, v in value.items()}
        return both | {key: item for key, item in found.items() if key not in value and key not in _OLDER}
    if isinstance(value, list) and isinstance(found, list) and len(value) == len(found):
        return [_filled(item, other) for item, other in zip(value, found, strict=True)]
    return value
