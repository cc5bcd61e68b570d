"""The section on where the time goes: figures and tables of profiles."""

from collections.abc import Mapping, Sequence
from typing import Any

from focuslab.analysis.cost import merge_summaries
from focuslab.report.figures.figure1 import figure1, plot_speed_against_ideal
from focuslab.report.figures.style import KIND_COLORS, kind_label
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.parts import Group, group_of
from focuslab.report.html.sources import Run, read_records
from focuslab.runs.modules import UNITS, module_rows
from focuslab.runs.schemas.profile import ModuleTimes
from focuslab.tables.profile import (
    dense_seconds,
    ideal_speedup,
    is_bound,
    is_sparse,
    methods_of,
    profile_tables,
    summary_rows,
)
from focuslab.tables.table import SECONDS, Table, amounts, labels, numbers, seconds_of, words

MODULES = 12
"""The most expensive ones that are listed."""
LINES = 9
"""Methods that are drawn."""


def merged(runs: Sequence[Run]) -> list[tuple[list[Run], dict[str, Any]]]:
    """Runs of one model, machine and dtype that measured different rows as one summary, such as one run a length.

    Times are never mixed: two runs that both measured a method at a length stay apart.
    """
    groups: list[tuple[list[Run], set]] = []
    for run in runs:
        rows = {(row["seconds"], row["method"]) for row in run.summary["rows"]}
        lengths = {seconds for seconds, _ in rows}
        for members, there in groups:
            # A speed-up compares medians of one run, so a length belongs to one run whole.
            if _same(members[0], run) and not lengths & {seconds for seconds, _ in there}:
                members.append(run)
                there |= rows
                break
        else:
            groups.append(([run], rows))
    return [(members, _ordered(merge_summaries([run.summary for run in members]))) for members, _ in groups]


def told_of(rows: Sequence[Mapping]) -> Mapping | None:
    """The row of the sparse method that is told of first: the paper's where it was measured, else the fastest."""
    sparse = [row for row in rows if is_sparse(row) and row["speedup_vs_dense"]]
    named = [row for row in sparse if row["method"] == "litefocus"]
    fastest = max(sparse, key=lambda row: row["speedup_vs_dense"], default=None)
    return named[0] if named else fastest


def profile_group(runs: Sequence[Run], summary: Mapping, drawer: Drawer) -> Group:
    """Time against length, speed-ups beside their ideals, shares of kinds of modules, and the tables."""
    every, group = summary_rows(summary), group_of(runs)
    rows = _drawn(every)
    longest, dense = rows[-1]["seconds"], dense_seconds(every)
    told = (
        f"{row['method']} {row['step_seconds_median']:.3g} s, self-attention {_percent(row['kind_share'])}"
        for row in rows
        if row["seconds"] == longest
    )
    drawn = {**summary, "rows": rows}
    drawer.add(
        group, "Time of a step, and where it goes", lambda: figure1(drawn), f"At {longest:g} s: {'; '.join(told)}."
    )
    ideals = [row for row in rows if row["speedup_vs_dense"] and ideal_speedup(row, dense)]
    if ideals:
        last = ideals[-1]["seconds"]
        told = (
            f"{row['method']} {row['speedup_vs_dense']:.2f} of {ideal_speedup(row, dense):.2f} times"
            for row in ideals
            if row["seconds"] == last
        )
        drawer.add(
            group,
            "Speed-up, and the best there could be",
            lambda: plot_speed_against_ideal(rows),
            f"At {last:g} s: {'; '.join(told)}.",
            "Speed-up over dense against audio length: measured, the ideal of the method (bound + density x "
            "(dense - bound)), and the bound, where attention of the chosen sites costs nothing.",
        )
    left_out = [method for method in methods_of(every) if method not in methods_of(rows)]
    if left_out:
        group.lead = f"Drawn are the fastest methods; in the tables only: {', '.join(left_out)}."
    drawer.tables(group, lambda: profile_tables(summary)[:1])
    drawer.tables(group, lambda: [*_share_table(every), *profile_tables(summary)[1:]], more=True)
    drawer.tables(group, lambda: _module_table(runs, every), more=True)
    return group


def _percent(share: Mapping) -> str:
    return f"{100 * share['self_attention']:.0f} %" if "self_attention" in share else "not measured"


def _drawn(rows: Sequence[Mapping]) -> list[Mapping]:
    """The rows of as many methods as can be distinguished in a figure: dense, bound, and of the others the fastest."""
    methods = methods_of(rows)
    fixed = [method for method in methods if method in ("dense", "litefocus") or is_bound(method)]
    best = {m: max((r["speedup_vs_dense"] or 0 for r in rows if r["method"] == m), default=0) for m in methods}
    others = sorted((m for m in methods if m not in fixed), key=lambda m: -best[m])
    kept = [*fixed, *others][: max(LINES, len(fixed))]
    return [row for row in rows if row["method"] in kept]


def _same(one: Run, other: Run) -> bool:
    def key(info):
        return info.model["name"], info.unet_fingerprint, info.device, info.dtype, info.machine

    return key(one.info) == key(other.info)


def _ordered(summary: dict[str, Any]) -> dict[str, Any]:
    return {**summary, "stages": sorted(summary["stages"], key=lambda stage: stage["seconds"])}


def _share_table(rows: Sequence[Mapping]) -> list[Table]:
    rows = [row for row in rows if row["kind_share"]]
    if not rows:
        return []
    kinds = [*KIND_COLORS, *sorted({k for row in rows for k in row["kind_share"]} - set(KIND_COLORS))]
    shares = {kind_label(kind): [row["kind_share"].get(kind) for row in rows] for kind in kinds}
    shares["together"] = [sum(row["kind_share"].values()) for row in rows]
    columns = [numbers(name, values, ".1f", "%", factor=100) for name, values in shares.items()]
    keys = [seconds_of(rows), labels("method", [row["method"] for row in rows])]
    return [Table("Share of each kind of module in measured time", [*keys, *columns])]


def _modules_of(runs: Sequence[Run], row: Mapping) -> Sequence[Mapping]:
    """The modules of a row: those in it, as older summaries have them, else from the records of its run."""
    if not row:
        return ()
    if modules := row.get("modules"):
        return modules
    key = row["seconds"], row["method"]
    run = next(run for run in runs if any((r["seconds"], r["method"]) == key for r in run.summary["rows"]))
    records = [record for record in read_records(run, ModuleTimes) if record["kind"] == UNITS or record["modules"]]
    return module_rows(records).get(key, ())


def _module_table(runs: Sequence[Run], rows: Sequence[Mapping]) -> list[Table]:
    """The modules of dense at the longest length by their own time."""
    row = next((row for row in reversed(rows) if row["method"] == "dense" and row["kind_share"]), None)
    modules: list[tuple[float, str, str | None]] = [
        (m["exclusive_seconds"] or 0.0, m["name"], kind_label(m["kind"])) for m in _modules_of(runs, row or {})
    ]
    if row is None or not modules:
        return []
    modules.sort(key=lambda module: -module[0])
    whole = sum(own for own, _, _ in modules)
    if rest := modules[MODULES:]:
        modules = [*modules[:MODULES], (sum(own for own, _, _ in rest), "all others", None)]
    own, names, kinds = zip(*modules, strict=True)
    columns = [
        labels("module", names),
        words("kind", kinds),
        amounts("own time", own, SECONDS),
        numbers("of a step", [value / whole if whole else None for value in own], ".1f", "%", factor=100),
    ]
    title = f"Most expensive modules: dense at {row['seconds']:g} s, time of their own in a step with timers"
    return [Table(title, columns)]
