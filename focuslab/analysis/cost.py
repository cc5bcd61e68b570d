"""From the raw records of a profile to its summary: medians, speed-ups, ideals, shares of time."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from focuslab.models.schedule import PROJECTED_STEPS
from focuslab.runs import PROFILE_SCHEMA, skipped_rows
from focuslab.runs.modules import module_rows

Record = dict[str, Any]


def profile_summary(records: Sequence[Record]) -> dict[str, Any]:
    """The summary of whatever has been recorded; what has not been measured is None.

    Records are those of `focuslab.measure.profile`: "expected" and "flops" (a dry run), "memory", "steps" (plain,
    timed), "units" and "modules" (with the instrument), "stage". Of two records of the same thing (`record_key`) the
    later one counts. Speed-ups and ideals compare medians of the same run and length. The modules themselves stay in
    the records: `focuslab.results.ProfileRun` puts them into its rows.

    In a row, "peak_bytes" is what a step takes at its peak above "held_bytes", which were held before it (by torch's
    allocator on CUDA, by the process on a CPU, weights included), and "predicted_peak_bytes" is a dry run's prediction
    of it. In runs of earlier versions, which have no "held_bytes", both include what was held.
    """
    records = list({record_key(r): r for r in records}.values())
    expected = {_key(r): r for r in records if r["kind"] == "expected"}
    memory = {_key(r): r for r in records if r["kind"] == "memory"}
    plain = _step_seconds(records, "steps")
    medians = {key: float(np.median(values)) for key, values in plain.items()}
    modules = module_rows(records)
    stages = _stages(records)
    compiled = any(r.get("compiled") for r in expected.values())
    rows = []
    for key, values in plain.items():
        seconds, _method = key
        row = _row(key, expected[key], values, medians)
        row |= {name: memory.get(key, {}).get(name) for name in ("peak_bytes", "held_bytes")}
        row["generation_seconds_projected"] = _projection(row, expected[key], medians.get((seconds, "dense")), stages)
        row["kind_share"] = _shares(modules.get(key, ()), expected[key]["flops"])
        rows.append(row)
    return {
        "schema": PROFILE_SCHEMA,
        "rows": rows,
        "stages": stages,
        "skipped": skipped_rows(records),
        "shares_of_eager": compiled,
        # Most of the difference between an eager step and a compiled one is not the instrument's.
        "instrumented_over_plain": None if compiled else _instrument_cost(records, plain),
        "projected_steps": PROJECTED_STEPS,
    }


def merge_summaries(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One summary of several profiles of one model, such as one run a length; the instrument's cost is the first's."""
    return {
        "schema": PROFILE_SCHEMA,
        "rows": [row for summary in summaries for row in summary["rows"]],
        "stages": [stage for summary in summaries for stage in summary["stages"]],
        "skipped": [row for summary in summaries for row in summary.get("skipped") or ()],
        "shares_of_eager": any(summary.get("shares_of_eager") for summary in summaries),
        "instrumented_over_plain": summaries[0]["instrumented_over_plain"],
        "projected_steps": PROJECTED_STEPS,
    }


def record_key(record: Record) -> tuple[str, float | None, str | None, int]:
    """What a record is of: kind, length, method or stage, and which repeat."""
    return record["kind"], record["seconds"], record.get("stage") or record.get("method"), record.get("repeat", 0)


def _key(record: Record) -> tuple[float, str]:
    return record["seconds"], record["method"]


def _step_seconds(records: Iterable[Record], kind: str) -> dict[tuple[float, str], list[float]]:
    values: dict[tuple[float, str], list[float]] = defaultdict(list)
    for record in records:
        if record["kind"] == kind:
            values[_key(record)] += record["step_seconds"]
    return dict(values)


def _row(key, expected: Record, values: Sequence[float], medians: dict) -> Record:
    seconds, method = key
    median, dense = medians[key], medians.get((seconds, "dense"))
    bound = medians.get((seconds, expected["bound"])) if expected["bound"] else None
    ideal = None
    if expected["sparse"] and dense is not None and bound is not None:
        ideal = bound + expected["kept_pairs"] * (dense - bound)
    flops = {kind: count * _calls_per_step(expected) for kind, count in expected["flops"].items()}
    total_flops = sum(flops.values())
    return {
        "seconds": seconds,
        "method": method,
        "sites": expected["sites"],
        "dense_steps": expected.get("dense_steps", 0),
        "step_seconds_median": median,
        "step_seconds_p10": float(np.percentile(values, 10)),
        "step_seconds_p90": float(np.percentile(values, 90)),
        "step_seconds": list(values),
        "speedup_vs_dense": dense / median if dense is not None else None,
        "predicted_peak_bytes": expected["predicted_peak_bytes"],
        "flops_per_step": total_flops,
        "kept_pairs": expected["kept_pairs"],
        "bound_seconds": bound,
        "ideal_seconds": ideal,
        "share_of_ideal": ideal / median if ideal is not None else None,
        "kind_flop_share": {kind: count / total_flops for kind, count in flops.items()},
    }


def _shares(modules: Sequence[Record], kinds: Iterable[str]) -> dict[str, float] | None:
    """Share of each kind in the time of a step; None where it was not timed module by module."""
    if not modules:
        return None
    share = dict.fromkeys(kinds, 0.0)
    for module in modules:
        share[module["kind"]] += module["exclusive_seconds"] / modules[0]["inclusive_seconds"]
    return share


def _stages(records: Iterable[Record]) -> list[Record]:
    measured: dict[tuple[float, str], list[float]] = defaultdict(list)
    notes = {}
    for r in records:
        if r["kind"] == "stage":
            key = r["seconds"], r["stage"]
            measured[key] += r["stage_seconds"]
            notes[key] = r["note"]
    return [
        {
            "seconds": seconds,
            "stage": stage,
            "stage_seconds_median": float(np.median(values)) if values else None,
            "stage_seconds": values,
            "note": notes[seconds, stage],
        }
        for (seconds, stage), values in measured.items()
    ]


def _calls_per_step(expected: Record) -> int:
    """UNet calls of a timed step. Runs of earlier versions were made of schedulers with one."""
    return expected.get("calls_per_step", 1)


def _projection(
    row: Record, expected: Record, dense_step_seconds: float | None, stages: Sequence[Record]
) -> float | None:
    """All stages at this length with a generation of `PROJECTED_STEPS` steps, by its UNet calls.

    Those of steps that a plan leaves dense take as long as in dense. A stage that was not measured is left out.
    """
    here = [stage["stage_seconds_median"] for stage in stages if stage["seconds"] == row["seconds"]]
    calls = expected.get("projected_calls", PROJECTED_STEPS)
    if not here or calls is None:
        return None
    dense_calls = min(expected.get("dense_calls", row["dense_steps"]), calls)
    if dense_calls and dense_step_seconds is None:
        return None
    calls_seconds = (calls - dense_calls) * row["step_seconds_median"]
    if dense_calls:
        calls_seconds += dense_calls * dense_step_seconds
    return calls_seconds / _calls_per_step(expected) + sum(s for s in here if s is not None)


def _instrument_cost(records: Sequence[Record], plain: dict) -> float | None:
    """Median instrumented over median plain step, where the two were interleaved most often."""
    rounds = Counter(_key(r) for r in records if r["kind"] == "modules" and _key(r) in plain)
    if not rounds:
        return None
    ((key, _),) = rounds.most_common(1)
    return float(np.median(_step_seconds(records, "modules")[key]) / np.median(plain[key]))
