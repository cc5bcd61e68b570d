"""A verdict in words on whether attention stays in its own mel row."""

from collections.abc import Mapping
from typing import Any

from focuslab.stats.intervals import FEWEST

BARELY = 0.05
"""A lift this near to 1 is called barely apart from chance, however sure the interval is of it."""


def verdict(row: Mapping[str, Any]) -> str:
    """What the lifts of a row of the summary say: "4.1 times chance, on 7 of 8 heads, at every recorded step".

    At chance is a lift whose interval holds 1. A head or a step counts as above chance where its own interval is, or
    with one prompt, where there is no interval, its lift is. Intervals of few prompts are narrower than they should be,
    and the verdict says so.
    """
    if row["mel_rows"] == 1:
        return "one mel row: every key is in it"
    if row["lift"] is None:
        return "not known: same-frequency mass was not recorded"
    few = f" ({row['prompts']} prompts: not sure)" if 1 < row["prompts"] < FEWEST else ""
    return _of_lift(row) + few


def _of_lift(row: Mapping[str, Any]) -> str:
    lift, low, high = row["lift"], row["lift_low"], row["lift_high"]
    heads = f"{row['heads_above_chance']} of {counted(row['heads'], 'head')}"
    if low is None:
        return f"{times(lift)} times chance, on {heads}, {_steps(row)} (one prompt: no interval)"
    if low <= 1 <= high:
        text = f"at chance: {times(lift)} times it ({times(low, lift)} to {times(high, lift)})"
        return text + (f", above it on {heads}" if row["heads_above_chance"] else "")
    if abs(lift - 1) < BARELY:
        return f"barely {'above' if lift > 1 else 'below'} chance: {times(lift)} times it, above it on {heads}"
    if lift < 1:
        return f"below chance: {times(lift)} times it, above it on {heads}"
    return f"{times(lift)} times chance, on {heads}, {_steps(row)}"


def times(lift: float, like: float | None = None) -> str:
    """A lift in two digits or three, and more near 1: 12, 4.1, 1.43, 1.003; with as many decimals as `like` has."""
    decisive = lift if like is None else like
    decimals = 3 if abs(decisive - 1) < 0.00995 else 2 if decisive < 1.995 else 1 if decisive < 9.95 else 0
    return f"{lift:.{decimals}f}"


def _steps(row: Mapping[str, Any]) -> str:
    steps = row["by_step"]
    above = sum((s["lift"] if s["lift_low"] is None else s["lift_low"]) > 1 for s in steps)
    if above == len(steps):
        return "at every recorded step" if above > 1 else "at the one recorded step"
    return f"at {above} of {counted(len(steps), 'recorded step')}"


def counted(number: int, noun: str) -> str:
    """ "1 prompt", "2 prompts"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
