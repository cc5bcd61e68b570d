"""From the records of a sensitivity pass to its summary: mean errors with intervals over prompts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from focuslab.runs import SENSITIVITY_SCHEMA, SKIPPED, skipped_rows
from focuslab.stats.intervals import mean_with_interval


def sensitivity_summary(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The summary of whatever has been recorded.

    "rows": a row a length, group and method, "joint": a row a length and joint choice; errors are means over prompts
    and recorded steps, with the interval over prompts (None with one prompt). "cost": seconds that the pass took, by
    length: of the dense generations, and of the errors.
    """
    records = list(records)
    alone: dict[tuple, list[Mapping[str, Any]]] = defaultdict(list)
    together: dict[tuple, list[Mapping[str, Any]]] = defaultdict(list)
    cost: dict[float, list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
    for record in records:
        if record["kind"] == SKIPPED:
            continue
        spent = cost[record["seconds"]]
        spent[record["kind"] != "trajectory"] += record["seconds_elapsed"]
        if record["kind"] == "sensitivity":
            alone[record["seconds"], record["group"], record["method"]].append(record)
        elif record["kind"] == "joint":
            together[record["seconds"], tuple(sorted(record["choice"].items()))].append(record)
        spent[2] += record["kind"] != "trajectory"
    return {
        "schema": SENSITIVITY_SCHEMA,
        "rows": [
            {"seconds": seconds, "group": group, "method": method, **mean_error(found)}
            for (seconds, group, method), found in alone.items()
        ],
        "joint": [
            {"seconds": seconds, "choice": dict(choice), **mean_error(found)}
            for (seconds, choice), found in together.items()
        ],
        "cost": [
            {"seconds": seconds, "trajectory_seconds": trajectory, "errors_seconds": errors, "errors": count}
            for seconds, (trajectory, errors, count) in cost.items()
        ],
        "skipped": skipped_rows(records),
    }


def mean_error(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean of the errors of records, its interval over prompts (None with one), and how many prompts and errors."""
    by_prompt = defaultdict(list)
    for record in records:
        by_prompt[record["prompt"]].append(record["error"])
    means = [float(np.mean(errors)) for errors in by_prompt.values()]
    count = sum(map(len, by_prompt.values()))
    return {**mean_with_interval("error", means), "prompts": len(means), "n": count}
