"""What recording attention cost beside plain steps, from the records of a capture."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from focuslab.analysis.calls import Record


def capture_cost(passes: Iterable[Record], steps: int) -> dict[str, Any]:
    """The part of a capture's summary that says what recording cost, by length and in all.

    It is of the denoising steps' own time: no decoding, no writing.
    """
    grouped = defaultdict(list)
    for record in passes:
        grouped[record["seconds"]].append(record)
    by_length = [own for _, own in sorted(grouped.items())]
    rows = [_row(own, steps) for own in by_length]
    return {
        "cost": rows,
        "capture_over_plain": _over_plain(by_length, steps),
        "peak_bytes": _most(rows, "peak_bytes"),
    }


def _row(passes: Sequence[Record], steps: int) -> dict[str, Any]:
    plain, recorded = (_seconds(passes, kind) for kind in ("plain", "recorded"))
    return {
        "seconds": passes[0]["seconds"],
        "passes": len(passes),
        "plain_step_seconds_median": median(plain) if plain else None,
        "recorded_step_seconds_median": median(recorded) if recorded else None,
        "recorded_step_over_plain": _ratio(median(recorded), median(plain)) if plain and recorded else None,
        "capture_over_plain": _over_plain([passes], steps),
        "peak_bytes": _most(passes, "peak_bytes"),
        "plain_peak_bytes": _most(passes, "plain_peak_bytes"),
    }


def _over_plain(by_length: Sequence[Sequence[Record]], steps: int) -> float | None:
    """Time of all steps over what it would be if each UNet call had taken what the median plain one did there.

    A pass says how many UNet calls each step made; without it each made one.
    """
    taken = expected = 0.0
    for passes in by_length:
        plain, calls = [], 0
        for p in passes:
            unet_calls = p.get("unet_calls") or [1] * steps
            calls += sum(unet_calls)
            of_plain = [count for step, count in enumerate(unet_calls) if step not in p["recorded_steps"]]
            plain += [seconds / count for seconds, count in zip(p["plain_step_seconds"], of_plain, strict=False)]
        if plain:
            taken += sum(_seconds(passes, "plain")) + sum(_seconds(passes, "recorded"))
            expected += median(plain) * calls
    return _ratio(taken, expected) if expected else None


def _seconds(passes: Sequence[Record], kind: str) -> list[float]:
    return [seconds for p in passes for seconds in p[f"{kind}_step_seconds"]]


def _ratio(one: float, other: float) -> float:
    """In 6 significant digits, as in the records."""
    return float(f"{one / other:.6g}")


def _most(rows: Iterable[Record], key: str) -> int | None:
    return max((row[key] for row in rows if row.get(key) is not None), default=None)
