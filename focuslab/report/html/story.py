"""The page's first words: what the runs show, in sentences and a few numbers, each from a run on the page."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from focuslab.report.figures.layout import TIMES
from focuslab.report.html.captures import shown_rows
from focuslab.report.html.parts import machine_of
from focuslab.report.html.profiles import told_of
from focuslab.report.html.sources import PlanFile, Run
from focuslab.runs.method_spec import brief
from focuslab.tables.attention import times
from focuslab.tables.choice import range_of
from focuslab.tables.profile import summary_rows
from focuslab.tables.quality_rows import SIGNIFICANTLY, evaluation_rows, main_metrics, metric_of, outcome, scale_of
from focuslab.tables.table import SECONDS, Table, amounts, formatter, labels, numbers, seconds_of, speedups, words
from focuslab.tables.validation import heard_best

Profiles = Sequence[tuple[list[Run], Mapping[str, Any]]]


MOST_COLUMNS = 8
"""Captures that are put side by side."""


class Tile(NamedTuple):
    """A number with a label that links to a section."""

    number: str
    label: str
    section: str


class Said(NamedTuple):
    """A sentence or two, and a number to go with them."""

    words: str
    tiles: list[Tile]


def of_profile(summary: Mapping) -> Said | None:
    """Where the time goes at the longest length with a dense step, and what sparse gains there."""
    rows = summary_rows(summary)
    dense = [row for row in rows if row["method"] == "dense"]
    if not dense:
        return None
    row, first = dense[-1], dense[0]
    seconds = row["seconds"]
    shown, unit = formatter(SECONDS, [row["step_seconds_median"]])
    said = f"At {seconds:g} s of audio a dense denoising step takes {shown(row['step_seconds_median'])} {unit}"
    tiles = []
    share = row["kind_share"].get("self_attention")
    if share is not None:
        said += f", {100 * share:.0f} % of it in self-attention"
        before = first["kind_share"].get("self_attention")
        said += f" ({100 * before:.0f} % at {first['seconds']:g} s)" if first is not row and before is not None else ""
        tiles.append(Tile(f"{100 * share:.0f} %", f"of a dense step at {seconds:g} s is self-attention", "time"))
    said += "."
    best = told_of([r for r in rows if r["seconds"] == seconds])
    if best:
        gain = best["speedup_vs_dense"]
        said += f" With {brief(best['method'])} it is {gain:.2f} times as fast"
        limits = [
            f"{name} {row['step_seconds_median'] / best[key]:.2f}"
            for name, key in (("its ideal", "ideal_seconds"), ("the bound", "bound_seconds"))
            if best[key]
        ]
        said += f" ({', '.join(limits)})." if limits else "."
        tiles.append(Tile(f"{gain:.2f}{TIMES}", f"as fast with {brief(best['method'])} at {seconds:g} s", "time"))
    return Said(said, tiles)


def of_capture(summary: Mapping) -> Said | None:
    """Which block looks most along its own mel row, and which least."""
    rows = sorted((row for row in shown_rows(summary) if row["lift"] is not None), key=lambda row: -row["lift"])
    if not rows:
        return None
    most, least = rows[0], rows[-1]
    said = f"Attention stays in a query's own mel row most at {most['name']}: {times(most['lift'])} times chance"
    if most["lift_low"] is not None and most["lift_high"] is not None:
        said += f" ({times(most['lift_low'], most['lift'])} to {times(most['lift_high'], most['lift'])})"
    said += f", at {most['seconds']:g} s"
    if least is not most:
        said += f"; least at {least['name']}: {times(least['lift'])} times"
    tile = Tile(f"{times(most['lift'])}{TIMES}", f"chance: attention on the own mel row, {most['name']}", "attention")
    return Said(f"{said}.", [tile])


def of_choice(choice: Mapping, evidence: Mapping | None = None) -> Said | None:
    """The length from which on sparse pays, and what is predicted at the longest.

    `evidence` is that of the plan, which says where an evaluation has chosen.
    """
    rows = [row for row in choice["lengths"] if "plan" in row["points"]]
    if not rows:
        return None
    row = max(rows, key=lambda row: row["seconds"])
    point = row["points"]["plan"]
    heard = heard_best(evidence or {}, row["seconds"])
    said = f"{choice['crossover']} At {row['seconds']:g} s "
    if heard:
        said += f"the plan runs {heard}, which the evaluation found best; "
    said += f"{'the choice for fidelity' if heard else 'the plan'} is predicted to be {point['speedup']:.2f} times as"
    said += f" fast for an error of {100 * point['error']:.2g} % in the UNet's output"
    paper = row["points"].get("paper")
    if paper:
        said += f"; the paper's choice {paper['speedup']:.2f} times for {100 * paper['error']:.2g} %"
    return Said(f"{said}.", [])


def of_plan(plan: PlanFile) -> Said:
    """The number of sparse sites in each range of lengths."""
    sparse = [entry for entry in plan.plan.entries if entry.sites]
    sites = len(plan.plan.unet["sites"])
    if not sparse:
        return Said("The plan is dense at all lengths.", [])
    parts = "; ".join(f"{range_of(entry)}: {len(entry.sites)} of {sites} sites" for entry in sparse)
    return Said(f"The plan makes self-attention sparse at {parts}.", [])


def of_validation(summary: Mapping) -> Said | None:
    """The measured speed-up and error of the plan at the longest length, on prompts that its choice had not seen."""
    rows = [row for row in summary["rows"] if row["method"] == "plan" and row["speedup_vs_dense"]]
    if not rows:
        return None
    row = max(rows, key=lambda row: row["seconds"])
    gain = f"{row['speedup_vs_dense']:.2f}"
    said = f"On prompts that the choice had not seen, the plan was measured at {gain} times dense"
    tiles = [Tile(f"{gain}{TIMES}", f"as fast with the plan at {row['seconds']:g} s, measured", "cost")]
    if row["n"] and row["error"] is not None:
        said += f" with an error of {100 * row['error']:.2g} % in the UNet's output"
        label = f"error of the UNet's output with the plan at {row['seconds']:g} s"
        tiles.append(Tile(f"{100 * row['error']:.2g} %", label, "cost"))
    said += f" at {row['seconds']:g} s"
    if row["log_mel_l1"] is not None:
        said += f"; its audio is {row['log_mel_l1']:.2f} from the dense audio in log-mel distance"
    missed = " The validation missed the prediction; its section says where." if summary["missed"] else ""
    return Said(f"{said}.{missed}", tiles)


def of_evaluation(summary: Mapping) -> Said | None:
    """The methods that differ significantly from dense at the longest length, and in which of the main metrics."""
    rows = evaluation_rows(summary)
    rows = [row for row in rows if row["seconds"] == rows[-1]["seconds"] and row["method"] != "dense"]
    metrics = [name for name in main_metrics(rows) if any(_has_interval(row, name) for row in rows)]
    if not metrics:
        return None
    significant = [said for row in rows if (said := _significant_differences(summary, row, metrics))]
    heads = ", ".join(scale_of(name).head for name in metrics)
    methods = f"{len(rows)} method{'s' * (len(rows) > 1)} against dense at {rows[0]['seconds']:g} s in {heads}"
    others = "no other difference is significant" if significant else "no difference is significant"
    return Said(f"Of {methods}: {'; '.join([*significant, others])}.", [])


def profiles_side_by_side(profiles: Profiles) -> Table | None:
    """A table of dense step times and speed-ups, a row a profile and length; None for a single profile."""
    found = [
        (runs[0], row, told_of([r for r in summary_rows(summary) if r["seconds"] == row["seconds"]]))
        for runs, summary in profiles
        for row in summary_rows(summary)
        if row["method"] == "dense"
    ]
    if len(profiles) < 2 or not found:
        return None
    runs, rows, best = zip(*found, strict=True)
    shares = [row["kind_share"].get("self_attention") for row in rows]
    columns = [
        words("model", [run.model for run in runs]),
        seconds_of(rows),
        amounts("dense step", [row["step_seconds_median"] for row in rows], SECONDS),
        numbers("self-attention, of time", shares, ".1f", "%", factor=100),
        labels("sparse method", [row and row["method"] for row in best]),
        speedups("speed-up over dense", [row and row["speedup_vs_dense"] for row in best]),
        words("made on", [machine_of(run.info) for run in runs]),
        words("run", [run.folder.shown for run in runs]),
    ]
    note = "Compare times of one machine only. The method is litefocus where it was measured, else the fastest."
    return Table("Profiles side by side", columns, [note])


def captures_side_by_side(captures: Sequence[Run]) -> Table | None:
    """The lift of each block, a column a capture, where there are several."""
    if len(captures) < 2:
        return None
    lifts = [{row["name"]: row["lift"] for row in shown_rows(run.summary)} for run in captures[:MOST_COLUMNS]]
    blocks = list(dict.fromkeys(name for own in lifts for name in own))
    columns = [
        speedups(f"{run.model}, {run.folder.shown}", [own.get(block) for block in blocks])
        for run, own in zip(captures, lifts, strict=False)
    ]
    return Table("Lift of each block, captures side by side", [labels("block", blocks), *columns])


def _has_interval(row: Mapping, metric: str) -> bool:
    return None not in (metric_of(row, metric, "minus_dense")[key] for key in ("value", "low", "high"))


def _significant_differences(summary: Mapping, row: Mapping, metrics: Sequence[str]) -> str:
    """The metrics in which a method is significantly better or worse than dense; "" where there is none."""
    found: dict[str, list[str]] = {}
    for metric in metrics:
        sign = outcome(row, metric, (summary["metrics"].get(metric) or {}).get("better"))
        if not sign:
            continue
        minus, scale = metric_of(row, metric, "minus_dense"), scale_of(metric)
        value, low, high = (scale.factor * minus[key] for key in ("value", "low", "high"))
        unit = f" {scale.difference_unit}" if scale.unit else ""
        said = f"{scale.head} ({value:+.2g}{unit}, {low:+.2g} to {high:+.2g})"
        found.setdefault(SIGNIFICANTLY[sign], []).append(said)
    said = ", ".join(f"{significantly} in {' and '.join(parts)}" for significantly, parts in found.items())
    return f"{brief(row['method'])} {said}" if said else ""
