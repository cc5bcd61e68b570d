"""A plan as a table: what runs where at which length."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from focuslab.runs.method_spec import MethodSpec
from focuslab.runs.plan import PlanEntry, PlanSpec, block_of
from focuslab.tables.table import Table, numbers, words

_MOST = 2_000
"""Characters of a cell: a plan may give every site something of its own."""


def plan_tables(plan: PlanSpec) -> list[Table]:
    """A row a range of lengths."""
    columns = [
        words("length", [range_of(entry) for entry in plan.entries]),
        numbers("sparse\nsites", [len(entry.sites) for entry in plan.entries], "d"),
        words("what runs there", [_what(entry) for entry in plan.entries]),
        words("dense steps", [_dense_steps(entry) for entry in plan.entries]),
    ]
    notes = [f"The UNet has {len(plan.unet['sites'])} self-attention sites."]
    return [Table("What the plan does", columns, notes, keys=1)]


def range_of(entry: PlanEntry) -> str:
    """The lengths that an entry is for, in words."""
    if entry.max_seconds is None:
        return f"{entry.min_seconds:g} s and longer" if entry.min_seconds else "all lengths"
    return f"{entry.min_seconds:g} to {entry.max_seconds:g} s"


def _what(entry: PlanEntry) -> str:
    """Method by method, with how many sites of which block run it."""
    by_method: dict[str, Counter] = {}
    for site, given in entry.sites.items():
        by_method.setdefault(_method(given), Counter())[block_of(site)] += 1
    said = "; ".join(
        f"{method} at {', '.join(f'{block} ({count})' for block, count in blocks.items())}"
        for method, blocks in by_method.items()
    )
    return f"{said[:_MOST]}..." if len(said) > _MOST else said or "dense"


def _method(given: Mapping[str, Any]) -> str:
    return MethodSpec.of_site(given).brief


def _dense_steps(entry: PlanEntry) -> str:
    steps = entry.dense_steps or {"first": 0, "last": 0}
    return f"{steps['first']} first, {steps['last']} last" if any(steps.values()) else "none"
