"""The tables of a choice of sites: what the plan does at each length, block by block, and why, in words.

Also holds what tables and figures of a choice share.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from focuslab.errors import InputError
from focuslab.runs import CHOICE_SCHEMA, check_summary
from focuslab.runs.method_spec import MethodSpec, brief
from focuslab.runs.plan import PlanEntry, PlanSpec, block_of
from focuslab.tables.table import (
    NOTHING,
    SECONDS,
    Column,
    Table,
    amounts,
    formatter,
    labels,
    numbers,
    percent,
    seconds_of,
    speedups,
    words,
)

MARKS = ("plan", "paper", "all sites", "dense")
"""The order in which marked choices stand; others stand before dense."""


def length_rows(summary: Mapping) -> list[Mapping]:
    """A row a length. Raises `InputError` where the summary is none of a choice or has no length."""
    check_summary(summary, CHOICE_SCHEMA, "a choice")
    rows = list(summary.get("lengths") or ())
    if not rows:
        raise InputError("the choice holds no length: expected at least one that was measured")
    return rows


def marks_of(row: Mapping) -> dict[str, Mapping]:
    """The marked choices of one length by name, in the order of `MARKS`."""
    order = {name: i for i, name in enumerate(MARKS)}
    return dict(sorted(row["points"].items(), key=lambda pair: order.get(pair[0], len(order) - 1.5)))


def timed_note(summary: Mapping) -> str | None:
    """A sentence on the lengths at which the plan was timed before it was published."""
    rows = length_rows(summary)
    where = ", ".join(f"{row['seconds']:g}" for row in rows if row["points"].get("plan", {}).get("timed"))
    said = f"Times of plan and paper at {where} s were measured of the whole choice, interleaved with dense."
    return said if where else None


def brief_group(group: str) -> str:
    """A block as it is; of a site its block and its place in it: "up_blocks.2 a3.0.attn1"."""
    return group.replace(".attentions.", " a").replace(".transformer_blocks.", ".")


def choice_tables(summary: Mapping) -> Iterator[Table]:
    """The plan beside what it is compared with; then a table a length, a row a block; then reasons in words."""
    rows = length_rows(summary)
    yield _by_length(summary, rows)
    yield from map(_by_group, rows)
    pairs = [(row, group) for row in rows for group in row["groups"]]
    yield Table(
        "In words",
        [
            seconds_of([row for row, _ in pairs]),
            labels("block", [brief_group(group["group"]) for _, group in pairs]),
            words("reason", [group["reason"] for _, group in pairs]),
        ],
    )


def _by_length(summary: Mapping, rows: list[Mapping]) -> Table:
    shown = [(row, name, point) for row in rows for name, point in marks_of(row).items()]
    points = [point for _, _, point in shown]

    def of(key: str) -> list:
        return [point[key] for point in points]

    low = [point["error_low"] if point["error"] else None for point in points]
    columns = [
        seconds_of([row for row, _, _ in shown]),
        labels("choice", [name for _, name, _ in shown]),
        numbers("sparse\ngroups", [len(point["methods"]) for point in points], "d"),
        amounts("step time\npredicted", of("step_seconds"), SECONDS),
        speedups("speed-up\nvs dense", of("speedup")),
        numbers("UNet error", of("error"), unit="%", factor=100, low=low, high=of("error_high")),
    ]
    if any(point.get("density") is not None for point in points):
        columns.append(numbers("pairs\ncomputed", [point.get("density") for point in points], ".1f", "%", factor=100))
    return Table("The plan and what it is compared with", columns, list(_notes(summary, shown)))


def _notes(summary: Mapping, shown: list[tuple]) -> Iterator[str]:
    yield summary["crossover"]
    yield _budget(length_rows(summary))
    yield f"Errors of groups combine as {error_rule(summary['combination'])}."
    if timed := timed_note(summary):
        yield timed
    yield from _against_paper(length_rows(summary))
    filled = sorted({row["seconds"] for row, _, point in shown if point["predicted_from_flops"]})
    if filled:
        yield f"Time predicted from FLOPs, not measured, at {', '.join(f'{s:g}' for s in filled)} s."


def _against_paper(rows: list[Mapping]) -> Iterator[str]:
    """A sentence a length on what the choices promise beside the paper's."""
    for row in rows:
        found = row.get("against_paper")
        if found and found["error_at_its_speed"] is not None:
            faster, less = 1 / found["step_seconds_at_its_error"], found["error_at_its_speed"]
            yield (
                f"At {row['seconds']:g} s a choice is predicted to be {faster:.2f} times as fast as the paper's at no "
                f"more error, and one to have {less:.2f} of its error at no less speed."
            )


def error_rule(model: Mapping) -> str:
    """How the errors of groups of sites combine, and how well that was met on joint runs, in words."""
    rule = f"(sum error^p)^(1/p), p = {model['exponent']:.2f}"
    if model["misfit"] is None:
        return f"{rule}, which is assumed: there was no joint run to fit it on"
    return (
        f"{rule}, fitted on {model['runs']} joint runs with an RMSE of {percent(model['misfit'], 1)} %; measured over "
        f"predicted from {model['low']:.2f} to {model['high']:.2f}"
    )


def _budget(rows: list[Mapping]) -> str:
    """A sentence on what was asked for, length by length where it differs."""
    for key, said, text in (
        ("max_error", "the fastest with an error of at most", lambda value: f"{percent(value, 2)} %"),
        ("min_speedup", "the least error with a speed-up over dense of at least", lambda value: f"{value:.2f}x"),
    ):
        asked = {row["seconds"]: row["budget"][key] for row in rows if row["budget"][key] is not None}
        if len(set(asked.values())) == 1:
            return f"Chosen: {said} {text(next(iter(asked.values())))}."
        if asked:
            return f"Chosen: {said} {', '.join(f'{text(value)} at {s:g} s' for s, value in asked.items())}."
    return "Chosen: the knee, where the share of time saved most exceeds the share of error that it costs."


def _by_group(row: Mapping) -> Table:
    groups = row["groups"]

    def of(key: str) -> list:
        return [group[key] for group in groups]

    def share(head: str, key: str, form: str = ".1f") -> Column:
        return numbers(head, of(key), form, "%", factor=100)

    columns = [
        labels("block", [brief_group(group["group"]) for group in groups]),
        numbers("sites", of("sites"), "d"),
        labels("tried", [brief(group["method"]) if group["method"] else None for group in groups]),
        numbers("lift", of("lift")),
        share("recall", "recall"),
        share("site error", "local_error"),
        share("UNet error", "error", ".2f"),
        _saved(groups),
        words("verdict", ["sparse" if group["taken"] else "dense" for group in groups]),
    ]
    notes = []
    if any(not group["taken"] for group in groups):
        notes.append("For a block that stays dense, the method that saves most for its error is shown.")
    if any(group["predicted"] for group in groups):
        notes.append("~ is predicted from FLOPs, not measured.")
    time, unit = formatter(SECONDS, [row["dense_step_seconds"]])
    dense = f"{time(row['dense_step_seconds'])} {unit}"
    return Table(f"At {row['seconds']:g} s, block by block (a dense step: {dense})", columns, notes, keys=1)


def _saved(groups: list[Mapping]) -> Column:
    """Milliseconds that each group saves in a step, as many digits as the largest needs."""
    saved = [group["saved_seconds"] for group in groups]
    most = max((abs(1e3 * value) for value in saved if value is not None), default=0)
    decimals = 0 if most >= 1000 else 1 if most >= 100 else 2 if most >= 10 else 3
    column = numbers("saved", saved, f".{decimals}f", "ms", factor=1e3)
    cells = [
        replace(cell, shown=f"~{cell.shown}") if group["predicted"] and cell.shown != NOTHING else cell
        for cell, group in zip(column.cells, groups, strict=True)
    ]
    return replace(column, cells=cells, base="s")


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
