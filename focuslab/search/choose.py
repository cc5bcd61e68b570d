"""One choice of a frontier: within a budget of error, of a given speed, or at the knee."""

import math

import numpy as np

from focuslab.errors import InputError
from focuslab.search.frontier import Frontier, OperatingPoint

WORTH = 1.02
"""A choice that is predicted to be less than this much faster than dense does not pay: timings vary by that much."""


class NothingMeetsBudget(InputError):
    """No choice of a frontier meets a budget; `lack` is by which factor the nearest one misses it."""

    def __init__(self, message: str, lack: float):
        super().__init__(message)
        self.lack = lack


def choose(points: Frontier, *, max_error: float | None = None, min_speedup: float | None = None) -> OperatingPoint:
    """The fastest choice within `max_error`, or the one of least error that reaches `min_speedup` over dense.

    By default it is the knee: where the share of what could be saved most exceeds the share of the error that it would
    cost, both of the fastest choice (the point furthest from the chord between the ends; Satopaa et al. 2011, "Finding
    a Kneedle in a Haystack"). It is the fastest choice itself where no point lies above the chord. It is dense where
    `min_speedup` is not given and sparse does not pay (`WORTH`). Raises `NothingMeetsBudget` that names the nearest
    that exists.
    """
    if max_error is not None and min_speedup is not None:
        raise InputError("max_error and min_speedup were both given: expected one budget, the other is what it costs")
    if min_speedup is not None:
        return points[_reaching(points, min_speedup)]
    point = points[_knee(points) if max_error is None else _within(points, max_error)]
    return point if point.speedup >= WORTH else points.dense


def _within(points: Frontier, max_error: float) -> int:
    """Where the fastest within the budget is."""
    if not max_error >= 0:
        raise InputError(f"max_error must be a relative error of at least 0, not {max_error!r}")
    found = int(np.searchsorted(points.errors, max_error, side="right")) - 1
    if points.sparse.any() and not points.sparse[found]:
        nearest = points[int(points.sparse.argmax())]
        raise NothingMeetsBudget(
            f"no sparse choice has an error of at most {max_error:g}: the nearest that exists has {nearest.error:.3g}, "
            f"{nearest.speedup:.2f} times as fast as dense",
            nearest.error / max_error if max_error else math.inf,
        )
    return found


def _reaching(points: Frontier, min_speedup: float) -> int:
    if not 0 < min_speedup < math.inf:
        raise InputError(f"min_speedup must be a positive number such as 1.5, not {min_speedup!r}")
    # A speed-up that was predicted of some choice must be reached by that choice, whatever the rounding.
    reached = np.flatnonzero(points.dense_seconds / points.step_seconds >= min_speedup * (1 - 1e-12))
    if not len(reached):
        nearest = points[len(points) - 1]
        raise NothingMeetsBudget(
            f"no choice is {min_speedup:g} times as fast as dense: the nearest that exists is {nearest.speedup:.3f} "
            f"times as fast, with an error of {nearest.error:.3g}",
            min_speedup / nearest.speedup,
        )
    return int(reached[0])


def _knee(points: Frontier) -> int:
    if len(points) == 1:
        return 0
    saved = points.step_seconds[0] - points.step_seconds
    height = saved / saved[-1] - points.errors / points.errors[-1]
    # Both ends lie on the chord: where no point lies above it, it is the fastest that saves anything.
    return int(np.argmax(np.where(points.sparse, height, -np.inf)))
