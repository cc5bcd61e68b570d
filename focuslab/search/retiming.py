"""Choices that were timed as a whole, and what is chosen once that is known. Needs neither torch nor the model.

The saving of every candidate was measured with noise, and a choice by time takes those whose luck was best: the whole
is then slower than predicted. So what was chosen for its speed is timed, and where it falls short more is asked for.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from focuslab.errors import InputError
from focuslab.results import ProfileRun
from focuslab.runs import RunInfo
from focuslab.search.experiments import choice_key
from focuslab.search.frontier import Frontier, OperatingPoint, choose

LEAST_RAISE = 1e-6
"""By at least this share more is asked for after a choice that fell short, so that it is not chosen again."""


@dataclass(frozen=True)
class Timing:
    """How much faster than dense a choice was, and the paper's choice beside it, in one interleaved run."""

    speedup: float
    paper: float


@dataclass(frozen=True)
class Timings:
    """What was timed: audio length in seconds -> `choice_key` -> its timing. infos: of the runs, in order. closed:
    nothing more will be timed."""

    by_length: Mapping[float, Mapping[frozenset, Timing]]
    infos: tuple[RunInfo, ...] = ()
    closed: bool = False

    def of(self, seconds: float, point: OperatingPoint) -> Timing | None:
        return self.by_length.get(seconds, {}).get(choice_key(point.methods))

    def after(self, run: ProfileRun, points: Mapping[float, OperatingPoint]) -> "Timings":
        """These and those of a profile of "dense", "paper" and "plan", which is `points` by length."""
        step = {(row["seconds"], row["method"]): row["step_seconds_median"] for row in run.rows}
        found = {seconds: dict(own) for seconds, own in self.by_length.items()}
        for seconds in sorted({seconds for seconds, _ in step}):
            speeds = [step[seconds, "dense"] / step[seconds, name] for name in ("plan", "paper")]
            found.setdefault(seconds, {})[choice_key(points[seconds].methods)] = Timing(*speeds)
        return Timings(found, (*self.infos, run.info))


def with_speed(point: OperatingPoint, dense_seconds: float, speedup: float) -> OperatingPoint:
    """The point as it was timed, at the dense step of its frontier."""
    return replace(point, step_seconds=dense_seconds / speedup, speedup=speedup, timed=True)


def reaching(
    found: Frontier,
    asked: float,
    needed: Callable[[Timing], float],
    timed: Callable[[OperatingPoint], Timing | None],
    max_error: float | None = None,
    closed: bool = False,
) -> OperatingPoint:
    """The choice of least error that is predicted to be `asked` times as fast as dense and was not timed to be less.

    A timing is about as noisy as a prediction, so half of what one fell short by (as a ratio) is asked for on top.
    Where nothing is left, it is the choice that fell short least. Raises as `choose` does where nothing is predicted to
    be as fast.

    needed: what a choice must reach in the run that timed it. timed: the timing of a choice, if there is one.
    max_error: at most so much error is paid for what a timing fell short by. closed: once something fell short, only
    what was timed is chosen.
    """
    short: list[tuple[float, OperatingPoint]] = []
    wanted = asked
    while True:
        try:
            point = choose(found, min_speedup=wanted)
        except InputError:
            if not short:
                raise
            break
        timing = timed(point)
        too_dear = max_error is not None and point.error > max_error
        if short and (too_dear or (closed and timing is None)):
            break
        lack = 1.0 if timing is None else needed(timing) / timing.speedup
        if lack <= 1:
            return point
        short.append((lack, point))
        wanted = point.speedup * max(math.sqrt(lack), 1 + LEAST_RAISE)
    return min(short, key=lambda pair: pair[0])[1]
