"""The table of the method that an evaluation found best at each length."""

from collections.abc import Iterator, Mapping
from typing import Any

from focuslab.runs.method_spec import brief
from focuslab.runs.plan import QUALITY
from focuslab.tables.quality import BETTER
from focuslab.tables.quality_rows import scale_of
from focuslab.tables.table import Column, Table, labels, numbers, seconds_of, speedups, words


def quality_choice_tables(evidence: Mapping[str, Any]) -> list[Table]:
    """One table, or none where no evaluation was given.

    `evidence` is that of a plan, or the summary of a recommendation.
    """
    found = evidence.get("quality") or {}
    if not found:
        return []
    rows, taken = list(found.values()), [_is_taken(evidence, at) for at in found]
    scale = scale_of(rows[0]["metric"])
    columns = [
        seconds_of(rows),
        labels("best", [brief(row["method"]) for row in rows]),
        numbers(scale.head, [row["quality"]["value"] for row in rows], ".3g", scale.unit, factor=scale.factor),
        _intervals("minus dense", [row["minus_dense"] for row in rows], "+.3g", scale.difference_unit, scale.factor),
        _intervals("log-mel L1", [row["distance"] for row in rows], ".3g"),
        speedups("speed-up\nvs dense", [row["speedup"] for row in rows]),
        words("decided\nby", [row["decided_by"] for row in rows]),
        numbers("its\nequals", [len(row["equals"]) for row in rows], "d"),
        words("in the\nplan", ["yes" if there else "no" for there in taken]),
    ]
    return [Table("What the evaluation found best", columns, list(_notes(rows, taken)))]


def heard_best(evidence: Mapping[str, Any], seconds: float) -> str | None:
    """The method that the plan runs because the evaluation found it best; None where fidelity decided."""
    at = f"{seconds:g}"
    found = (evidence.get("quality") or {}).get(at)
    return brief(found["method"]) if found and _is_taken(evidence, at) else None


def _notes(rows: list[Mapping[str, Any]], taken: list[bool]) -> Iterator[str]:
    better = BETTER.get(rows[0]["better"])
    if better:
        yield f"{scale_of(rows[0]['metric']).head}: {better}."
    yield (
        "Equals: methods that are not significantly different from the best in any metric. Of all these the fastest is "
        "taken."
    )
    for row in rows:
        if row["worse_in"]:
            worse_in = ", ".join(scale_of(name).head for name in row["worse_in"])
            yield f"At {row['seconds']:g} s {brief(row['method'])} is significantly worse than dense in {worse_in}."
    if any(taken):
        yield "Where it is in the plan, the choice called plan in the other tables is the one for fidelity."
    if not all(taken):
        yield (
            "Where it is not in the plan, the plan was chosen for fidelity to dense: always up to the training length, "
            "and beyond it unless the objective is quality."
        )


def _is_taken(evidence: Mapping[str, Any], at: str) -> bool:
    return (evidence.get("objective") or {}).get(at) == QUALITY


def _intervals(head: str, found: list[Mapping | None], form: str, unit: str = "", factor: float = 1.0) -> Column:
    value, low, high = ([each[key] if each else None for each in found] for key in ("value", "low", "high"))
    return numbers(head, value, form, unit, factor=factor, low=low, high=high)
