"""Metrics of the rows of an evaluation, as values with their intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from focuslab.checks import is_number

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """A value with its interval; low and high are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)


def measured(row: Row, name: str, key: str | None = None) -> Measured | None:
    """A metric of a row, or (`key="minus_dense"`) its paired difference to dense; None where there is no number."""
    found = row["metrics"].get(name) or {}
    found = (found.get(key) if key else found) or {}
    if not is_number(found.get("value")):
        return None
    ends = (found.get("low"), found.get("high"))
    return Measured(found["value"], *(ends if all(map(is_number, ends)) else (None, None)))


def significant_sign(difference: Measured | None, better: str | None) -> bool | None:
    """True where the interval of a difference is all on the better side, False where on the worse, None otherwise."""
    if difference is None or difference.interval is None or better not in ("lower", "higher"):
        return None
    low, high = difference.interval
    return None if low <= 0 <= high else (low > 0) == (better == "higher")
