"""Choices that were timed as a whole, and what is chosen once that is known. Needs neither torch nor the model.

The saving of every option was measured with noise, and a choice by time takes those whose luck was best: the whole is
then slower than predicted. So what was chosen for its speed is timed, and gone on from where it falls short.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from focuslab.analysis.validation import generation_speedup
from focuslab.errors import InputError
from focuslab.results import ProfileRun
from focuslab.runs import RunInfo
from focuslab.search.experiments import choice_key
from focuslab.search.pareto import Frontier, Point, Schedule, choose

LEAST_RAISE = 1e-6
"""By at least this share more is asked for after a choice that fell short, so that it is not chosen again."""

Key = tuple[tuple[tuple[str, str], ...], Schedule]


@dataclass(frozen=True)
class Timing:
    """How much faster than dense a choice was, and the paper's choice beside it, in one interleaved run."""

    speedup: float
    paper: float


@dataclass(frozen=True)
class Timings:
    """What was timed: audio length in seconds -> `key_of` a choice -> its timing. infos: of the runs, in order.
    closed: nothing more will be timed."""

    by_length: Mapping[float, Mapping[Key, Timing]]
    infos: tuple[RunInfo, ...] = ()
    closed: bool = False

    def of(self, seconds: float, point: Point) -> Timing | None:
        return self.by_length.get(seconds, {}).get(key_of(point))

    def after(self, run: ProfileRun, points: Mapping[float, Point], steps: int) -> "Timings":
        """These and those of a profile of "dense", "paper" and "plan", which is `points` by length.

        steps: of a generation, of which a schedule keeps some dense.
        """
        rows = {(row["seconds"], row["method"]): row for row in run.rows}
        found = {seconds: dict(own) for seconds, own in self.by_length.items()}
        for seconds in sorted({seconds for seconds, _ in rows}):
            dense = rows[seconds, "dense"]["step_seconds_median"]
            speeds = [generation_speedup(rows[seconds, name], dense, steps) for name in ("plan", "paper")]
            found.setdefault(seconds, {})[key_of(points[seconds])] = Timing(*speeds)
        return Timings(found, (*self.infos, run.info))


def key_of(point: Point) -> Key:
    """Equal for points that do the same."""
    return choice_key(point.methods), tuple(point.dense_steps)


def with_speed(point: Point, dense_seconds: float, speedup: float) -> Point:
    """The point as it was timed, at the dense step of its frontier."""
    return replace(point, step_seconds=dense_seconds / speedup, speedup=speedup, timed=True)


def reaching(
    found: Frontier,
    asked: float,
    needed: Callable[[Timing], float],
    timed: Callable[[Point], Timing | None],
    max_error: float | None = None,
    closed: bool = False,
) -> Point:
    """The choice of least error that is predicted to be `asked` times as fast as dense and was not timed to be less.

    needed: what a choice must reach in the run that timed it. timed: the timing of a choice, if there is one. A timing
    is about as noisy as a prediction, so half of what one fell short by (as a ratio) is asked for on top. max_error: at
    most so much error is paid for that. closed: once something fell short, only what was timed is chosen. Where none is
    left, that which fell short least. Raises `InputError` as `choose` does where nothing is predicted to be as fast.
    """
    short: list[tuple[float, Point]] = []
    wanted = asked
    while True:
        try:
            point = choose(found, min_speedup=wanted)
        except InputError:
            if not short:
                raise
            return _least_short(short)
        if short and max_error is not None and point.error > max_error:
            return _least_short(short)
        timing = timed(point)
        if closed and short and timing is None:
            return _least_short(short)
        lack = 1.0 if timing is None else needed(timing) / timing.speedup
        if lack <= 1:
            return point
        short.append((lack, point))
        wanted = point.speedup * max(math.sqrt(lack), 1 + LEAST_RAISE)


def _least_short(short: Iterable[tuple[float, Point]]) -> Point:
    return min(short, key=lambda pair: pair[0])[1]
