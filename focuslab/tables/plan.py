"""A plan as a table: what runs where at which length. Needs the standard library only."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from focuslab.runs.method_spec import MethodSpec
from focuslab.runs.plan import PlanEntry, PlanSpec, block_of
from focuslab.tables.text import Column, Table

_MOST = 2_000
"""Characters of a cell: a plan may give every site something of its own."""


def plan_tables(plan: PlanSpec) -> list[Table]:
    """A row a range of lengths."""
    return [
        Table(
            "What the plan does",
            [
                Column(("length", ""), [range_of(entry) for entry in plan.entries], left=True),
                Column(("sparse", "sites"), [str(len(entry.sites)) for entry in plan.entries]),
                Column(("what runs there", ""), [_what(entry) for entry in plan.entries], left=True, words=True),
                Column(("dense steps", ""), [_dense_steps(entry) for entry in plan.entries], left=True, words=True),
            ],
            [f"The UNet has {len(plan.unet['sites'])} self-attention sites."],
        )
    ]


def range_of(entry: PlanEntry) -> str:
    if entry.max_seconds is None:
        return f"{entry.min_seconds:g} s and longer" if entry.min_seconds else "all lengths"
    return f"{entry.min_seconds:g} to {entry.max_seconds:g} s"


def method_of_site(given: Mapping[str, Any]) -> str:
    """What runs at a site of a plan, in a few words."""
    return MethodSpec.of_site(given).brief


def _what(entry: PlanEntry) -> str:
    """Method by method, with how many sites of which block run it."""
    by_method: dict[str, Counter] = {}
    for site, given in entry.sites.items():
        by_method.setdefault(method_of_site(given), Counter())[block_of(site)] += 1
    said = "; ".join(
        f"{method} at {', '.join(f'{block} ({count})' for block, count in blocks.items())}"
        for method, blocks in by_method.items()
    )
    return f"{said[:_MOST]}..." if len(said) > _MOST else said or "dense"


def _dense_steps(entry: PlanEntry) -> str:
    steps = entry.dense_steps or {"first": 0, "last": 0}
    return f"{steps['first']} first, {steps['last']} last" if any(steps.values()) else "none"
