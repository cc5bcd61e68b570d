"""Runs as tables of pandas: a row as in summary.json, nested numbers in columns of their own."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


def frame(rows: Iterable[Mapping[str, Any]]) -> "pandas.DataFrame":
    """A data frame of rows.

    Nested numbers get columns of their own: `{"kind_share": {"resnet": 0.1}}` is the column "kind_share.resnet".
    Lists, such as all raw values, are left out: the records of the run have them.
    """
    import pandas  # takes as long as all else together, and only a notebook asks for it

    found = pandas.json_normalize(list(rows))
    return found.loc[:, [not found[name].map(lambda value: isinstance(value, list)).any() for name in found]]


def plan_rows(plan) -> list[dict[str, Any]]:
    """A row a length range and sparse site of a plan; a range without one has a row with no site."""
    rows = []
    for entry in plan.entries:
        place = {"min_seconds": entry.min_seconds, "max_seconds": entry.max_seconds}
        rows += [{**place, "site": site, **given} for site, given in entry.sites.items()] or [{**place, "site": None}]
    return rows
