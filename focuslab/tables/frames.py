"""Runs as tables of pandas, where it is installed: a row as in summary.json, nested numbers in columns of their own."""

from collections.abc import Iterable, Mapping
from typing import Any

from focuslab.errors import FocuslabError


def frame(rows: Iterable[Mapping[str, Any]]):
    """A `pandas.DataFrame` of these rows: `{"kind_share": {"resnet": 0.1}}` is the column "kind_share.resnet".

    Lists, such as every raw value, are left out: they are in the run's records. Raises `FocuslabError` without pandas.
    """
    try:
        import pandas
    except ImportError:
        raise FocuslabError("tables as data frames need pandas: pip install pandas") from None
    return pandas.DataFrame([dict(_flat(row)) for row in rows])


def plan_rows(plan) -> list[dict[str, Any]]:
    """A row a length range and sparse site of a plan; a range without one has a row with no site."""
    rows = []
    for entry in plan.entries:
        place = {"min_seconds": entry.min_seconds, "max_seconds": entry.max_seconds}
        rows += [{**place, "site": site, **given} for site, given in entry.sites.items()] or [{**place, "site": None}]
    return rows


def _flat(row: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif not isinstance(value, list):
            yield f"{before}{key}", value
