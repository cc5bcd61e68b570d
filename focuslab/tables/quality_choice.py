"""What an evaluation found best at each length, and whether the plan runs it. Needs the standard library only."""

from collections.abc import Mapping
from typing import Any

from focuslab.runs.method_spec import brief
from focuslab.runs.plan import QUALITY
from focuslab.tables.quality import BETTER, with_interval
from focuslab.tables.quality_rows import in_brackets, scale_of
from focuslab.tables.text import NOTHING, Column, Table, in_terminal, times


def quality_choice(evidence: Mapping[str, Any]) -> str:
    """`quality_choice_tables` for a terminal."""
    return in_terminal(quality_choice_tables(evidence))


def quality_choice_tables(evidence: Mapping[str, Any]) -> list[Table]:
    """evidence: that of a plan, or the summary of a recommendation. No table where no evaluation was given to it."""
    found = evidence.get("quality") or {}
    if not found:
        return []
    rows, taken = list(found.values()), [_is_taken(evidence, at) for at in found]
    scale = scale_of(rows[0]["metric"])
    columns = [
        Column(("length", "[s]"), [f"{row['seconds']:g}" for row in rows]),
        Column(("best", ""), [brief(row["method"]) for row in rows], left=True),
        Column(
            (scale.head, in_brackets(scale.unit)), [f"{row['quality']['value'] * scale.factor:.3g}" for row in rows]
        ),
        Column(
            ("minus dense", in_brackets(scale.difference_unit)),
            [_interval(row["minus_dense"], scale.factor, "+") for row in rows],
        ),
        Column(("log-mel", "L1"), [_interval(row["distance"]) for row in rows]),
        Column(("speed-up", "vs dense"), [times(row["speedup"]) for row in rows]),
        Column(("decided", "by"), [row["decided_by"] for row in rows], left=True, words=True),
        Column(("its", "equals"), [str(len(row["equals"])) for row in rows]),
        Column(("in the", "plan"), ["yes" if there else "no" for there in taken], left=True, words=True),
    ]
    return [Table("What the evaluation found best", columns, _notes(rows, taken))]


def _notes(rows: list[Mapping[str, Any]], taken: list[bool]) -> list[str]:
    notes = [
        "Equals: methods that are not significantly different from the best in any metric. Of all these the fastest is taken."
    ]
    better = BETTER.get(rows[0]["better"])
    if better:
        notes.insert(0, f"{scale_of(rows[0]['metric']).head}: {better}.")
    for row in rows:
        if row["worse_in"]:
            worse_in = ", ".join(scale_of(name).head for name in row["worse_in"])
            notes.append(
                f"At {row['seconds']:g} s {brief(row['method'])} is significantly worse than dense in {worse_in}."
            )
    if any(taken):
        notes.append("Where it is in the plan, what stands for the plan among the choices is what fidelity would take.")
    if not all(taken):
        notes.append(
            "Where it is not in the plan fidelity to dense has chosen: always up to the training length, and beyond "
            "it unless the objective is quality."
        )
    return notes


def heard_best(evidence: Mapping[str, Any], seconds: float) -> str | None:
    """What the plan runs at a length because the evaluation found it best, None where that is not what has chosen."""
    at = f"{seconds:g}"
    found = (evidence.get("quality") or {}).get(at)
    return brief(found["method"]) if found and _is_taken(evidence, at) else None


def _is_taken(evidence: Mapping[str, Any], at: str) -> bool:
    return (evidence.get("objective") or {}).get(at) == QUALITY


def _interval(measured: Mapping[str, float | None] | None, factor: float = 1.0, sign: str = "") -> str:
    if measured is None:
        return NOTHING
    return with_interval(measured, lambda value: f"{value * factor:{sign}.3g}")
