"""Where the time goes: what profiles show."""

from collections.abc import Mapping, Sequence
from typing import Any

from focuslab.analysis.cost import merge_summaries
from focuslab.report.figures.figure1 import plot_kind_share, plot_speed_against_ideal, plot_time_against_length
from focuslab.report.figures.layout import TIMES
from focuslab.report.figures.style import KIND_COLORS, kind_label
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.made import machine_of, made_of
from focuslab.report.html.parts import Group, Table, numbers, plain, table, words
from focuslab.report.html.sources import Run, read_records
from focuslab.runs.modules import SHAPE, UNITS, module_rows
from focuslab.tables.profile import (
    BYTES,
    FLOPS,
    LONG_SECONDS,
    SECONDS,
    dense_seconds,
    is_bound,
    methods_of,
    profile_tables,
    summary_rows,
)

MODULES = 12
"""The most expensive ones that are listed."""
LINES, SHARES = 9, 6
"""Methods whose times are drawn, and whose shares are."""


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
    sparse = [r for r in rows if not is_bound(r["method"]) and r["speedup_vs_dense"] and (r["kept_pairs"] or 1) < 1]
    named = [row for row in sparse if row["method"] == "litefocus"]
    return (named or sorted(sparse, key=lambda row: -row["speedup_vs_dense"]) or [None])[0]


def profile_group(runs: Sequence[Run], summary: Mapping, drawer: Drawer) -> Group:
    every = summary_rows(summary)
    rows, info = _drawn(every), runs[0].info
    longest, dense = rows[-1]["seconds"], dense_seconds(every)
    group = Group(f"{info.model['name']}, {machine_of(info)}", made=[made_of(run) for run in runs])
    measured = [row for row in rows if row["seconds"] == longest]
    told = "; ".join(f"{row['method']} {row['step_seconds_median']:.3g} s" for row in measured)
    drawer.add(
        group,
        "Time of a step against length",
        lambda: plot_time_against_length(rows),
        "Median seconds of a denoising step against audio length, both axes logarithmic, a line a method; bars reach "
        "from the 10th to the 90th percentile.",
        f"At {longest:g} s: {told}.",
    )
    ideals = [row for row in rows if row["speedup_vs_dense"] and _ideal(row, dense)]
    if ideals:
        told = "; ".join(
            f"{row['method']} {row['speedup_vs_dense'] or 0:.2f} of {_ideal(row, dense):.2f} times"
            for row in ideals
            if row["seconds"] == ideals[-1]["seconds"]
        )
        drawer.add(
            group,
            "Speed-up, and the best there could be",
            lambda: plot_speed_against_ideal(rows),
            "Speed-up over dense against audio length: measured, the ideal of the method (bound + density x "
            "(dense - bound)), and the bound, where attention of the chosen sites costs nothing.",
            f"At {ideals[-1]['seconds']:g} s: {told}.",
        )
    methods = [
        m for m in methods_of(rows) if not is_bound(m) and any(r["method"] == m and r["kind_share"] for r in rows)
    ]
    first = told_of([row for row in rows if row["seconds"] == longest])
    for method in methods[:SHARES]:
        told = "; ".join(
            f"{row['seconds']:g} s {100 * row['kind_share'].get('self_attention', 0.0):.0f} %"
            for row in rows
            if row["method"] == method and row["kind_share"]
        )
        drawer.add(
            group,
            f"Where the time goes: {method}",
            lambda method=method: plot_kind_share(rows, method),
            "Share of each kind of module in a step against audio length: of measured time on the left, and hatched "
            "of FLOPs on the right.",
            f"Self-attention takes, of time: {told}.",
            more=method not in ("dense", first and first["method"]),
        )
    left_out = [method for method in methods_of(every) if method not in methods_of(rows)]
    if left_out:
        group.lead = f"Drawn are the fastest methods; in the tables only: {', '.join(left_out)}."
    notes = profile_tables(summary)[0].notes
    group.tables.append(_step_table(every, dense, summary["projected_steps"], notes))
    group.more += [t for t in (_share_table(every), _stage_table(summary["stages"])) if t]
    drawer.tables(group, lambda: [t for t in [_module_table(runs, every)] if t], more=True)
    return group


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


def _ideal(row: Mapping, dense: Mapping[float, float]) -> float | None:
    if not row["ideal_seconds"] or row["seconds"] not in dense:
        return None
    return dense[row["seconds"]] / row["ideal_seconds"]


def _step_table(rows: Sequence[Mapping], dense: Mapping, steps: int | None, notes: Sequence[str]) -> Table:
    def of(key: str) -> list:
        return [row[key] for row in rows]

    def share(key: str) -> list:
        return [row[key].get("self_attention") for row in rows]

    whole = f"Whole generation, {steps} steps, projected" if steps else "Whole generation, projected"
    return table(
        "A denoising step, by length and method",
        [
            plain("Length", of("seconds"), "g", "s"),
            words("Method", of("method")),
            numbers("Step time, median", of("step_seconds_median"), SECONDS, "s"),
            numbers("10th percentile", of("step_seconds_p10"), SECONDS, "s"),
            numbers("90th percentile", of("step_seconds_p90"), SECONDS, "s"),
            plain("Speed-up over dense", of("speedup_vs_dense"), ".2f", TIMES),
            plain("Ideal speed-up", [_ideal(row, dense) for row in rows], ".2f", TIMES),
            plain("Of ideal", of("share_of_ideal"), ".0f", "%", 100),
            plain("Self-attention, of time", share("kind_share"), ".1f", "%", 100),
            plain("Self-attention, of FLOPs", share("kind_flop_share"), ".1f", "%", 100),
            numbers("Peak memory", of("peak_bytes"), BYTES, "bytes"),
            numbers("FLOPs", of("flops_per_step"), FLOPS, "FLOP"),
            numbers(whole, of("generation_seconds_projected"), LONG_SECONDS, "s"),
        ],
        [note for note in notes if not note.startswith("The last column")],
    )


def _share_table(rows: Sequence[Mapping]) -> Table | None:
    rows = [row for row in rows if row["kind_share"]]
    if not rows:
        return None
    kinds = [*KIND_COLORS, *sorted({k for row in rows for k in row["kind_share"]} - set(KIND_COLORS))]
    return table(
        "Share of each kind of module in measured time",
        [
            plain("Length", [row["seconds"] for row in rows], "g", "s"),
            words("Method", [row["method"] for row in rows]),
            *(
                plain(kind_label(kind).capitalize(), [row["kind_share"].get(kind) for row in rows], ".1f", "%", 100)
                for kind in kinds
            ),
            plain("Together", [sum(row["kind_share"].values()) for row in rows], ".1f", "%", 100),
        ],
    )


def _stage_table(stages: Sequence[Mapping]) -> Table | None:
    if not stages:
        return None
    return table(
        "Other stages of a generation",
        [
            plain("Length", [stage["seconds"] for stage in stages], "g", "s"),
            words("Stage", [stage["stage"].replace("_", " ") for stage in stages]),
            numbers("Time, median", [stage["stage_seconds_median"] for stage in stages], SECONDS, "s"),
            words("Note", [stage["note"] for stage in stages]),
        ],
    )


def _modules_of(runs: Sequence[Run], row: Mapping) -> Sequence[Mapping]:
    """The modules of a row: those in it, as older summaries have them, else from the records of its run."""
    if row["modules"]:
        return row["modules"]
    key = row["seconds"], row["method"]
    run = next(run for run in runs if any((r["seconds"], r["method"]) == key for r in run.summary["rows"]))
    records = [record for record in read_records(run, SHAPE) if record["kind"] == UNITS or record["modules"]]
    return module_rows(records).get(key, ())


def _module_table(runs: Sequence[Run], rows: Sequence[Mapping]) -> Table | None:
    """The modules of dense at the longest length by their own time."""
    row = next((row for row in reversed(rows) if row["method"] == "dense" and row["kind_share"]), None)
    modules = _modules_of(runs, row) if row else ()
    if not modules:
        return None
    whole = sum(m["exclusive_seconds"] or 0.0 for m in modules)
    modules = sorted(modules, key=lambda m: -(m["exclusive_seconds"] or 0.0))
    shown, rest = modules[:MODULES], modules[MODULES:]
    names = [m["name"] for m in shown] + ["all others"] * bool(rest)
    kinds = [kind_label(m["kind"]) for m in shown] + [None] * bool(rest)
    own = [m["exclusive_seconds"] or 0.0 for m in shown]
    own += [sum(m["exclusive_seconds"] or 0.0 for m in rest)] * bool(rest)
    return table(
        f"Most expensive modules: dense at {row['seconds']:g} s, time of their own in a step with timers",
        [
            words("Module", names),
            words("Kind", kinds),
            numbers("Own time", own, SECONDS, "s"),
            plain("Of a step", [value / whole if whole else None for value in own], ".1f", "%", 100),
        ],
    )
