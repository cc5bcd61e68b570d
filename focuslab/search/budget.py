"""How much error or how little speed a choice may have, and the choice that has it once it was timed as a whole.

The saving of every candidate was measured with noise, and a choice by time takes those whose luck was best: the whole
is then slower than predicted. So what was chosen for its speed is timed, and where it falls short more is asked for.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from focuslab.checks import number, settle
from focuslab.errors import InputError
from focuslab.results import ProfileRun
from focuslab.runs import RunInfo
from focuslab.search.experiments import choice_key
from focuslab.search.frontier import WORTH, Frontier, OperatingPoint, choose

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


FROM_PAPER = "paper"
"""A budget that is what the paper's choice is predicted to take at each length."""
MARGIN = 1.03
"""A plan that is to be as fast as the paper's choice is asked to be so much faster, since timings vary."""
CLOSER = 0.75
"""A plan that is to be as close to dense as the paper's choice is asked to have at most so much of its error. On
prompts that the choice had not seen, plans of the bundled model had up to 1.4 times the predicted error where the
paper's choice had the predicted one."""

Limits = dict[str, float | None]
"""{"max_error", "min_speedup"} of one length, in numbers."""


@dataclass(frozen=True)
class Budget:
    """At most one of two limits, each a number or "paper". Raises `InputError` for two, and for anything else."""

    max_error: float | str | None = None  # the fastest choice with at most this relative error of the UNet's output
    min_speedup: float | str | None = None  # the choice of least error that is so much faster than dense

    def __post_init__(self):
        if self.max_error is not None and self.min_speedup is not None:
            raise InputError(
                "max_error and min_speedup were both given: expected one budget, the other is what it costs"
            )
        for name, value in vars(self).items():
            if value is not None and not (isinstance(value, str) and value == FROM_PAPER):
                settle(self, **{name: number(name, value, f"a number or {FROM_PAPER!r}")})

    def at(self, paper: OperatingPoint) -> Limits:
        """The limits at a length, where the paper's choice is predicted to be `paper`."""
        limits = dict(vars(self))
        if self.max_error == FROM_PAPER:
            limits["max_error"] = CLOSER * paper.error
        if self.min_speedup == FROM_PAPER:
            # Where the paper's choice does not pay, dense is as fast.
            limits["min_speedup"] = MARGIN * paper.speedup if paper.speedup >= WORTH else 1.0
        return limits

    def needed(self, timing: Timing) -> float:
        """The speed-up that a choice must reach in the run that timed it."""
        return self.min_speedup if isinstance(self.min_speedup, (int, float)) else max(timing.paper, 1.0)

    @property
    def in_numbers(self) -> Limits:
        """The limits that are the same at each length."""
        return {name: None if value == FROM_PAPER else value for name, value in vars(self).items()}
