"""The Pareto frontier over all ways to take one of each of several lists, exactly."""

import math
from collections.abc import Sequence

import numpy as np


def unbeaten_picks(saved: Sequence[np.ndarray], errors: Sequence[np.ndarray], exponent: float) -> np.ndarray:
    """Choices `[n, groups]` that no other one beats in the sums of `saved` and of `errors ** exponent`."""
    # A power of two: dividing by anything else would round, and equal sums would differ.
    largest = 2.0 ** math.frexp(max(float(e.max()) for e in errors) or 1.0)[1]
    # As whole numbers, whose sums are exact in whatever order: what is equal is then seen to be.
    times = _whole([-s for s in saved])
    costs = _whole([(e / largest) ** exponent for e in errors])
    costs = [np.maximum(cost, e > 0) for cost, e in zip(costs, errors, strict=True)]
    time, cost, count = (np.zeros(1, dtype=np.int64) for _ in range(3))
    picks = np.zeros((1, 0), dtype=np.int16)
    for own_times, own_costs in zip(times, costs, strict=True):
        sparse = (np.arange(len(own_times)) > 0).astype(np.int64)
        own = np.sort(unbeaten(own_times, own_costs, sparse))
        sums = [
            np.add.outer(total, values[own]).ravel()
            for total, values in ((time, own_times), (cost, own_costs), (count, sparse))
        ]
        best = unbeaten(*sums)
        time, cost, count = (total[best] for total in sums)
        before, taken = np.divmod(best, len(own))
        picks = np.column_stack([picks[before], own[taken].astype(np.int16)])
    return picks


def unbeaten(times: np.ndarray, costs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Where those are that no other one beats in time and cost, by time; of equal ones that of the least count, and
    then the first."""
    order = np.lexsort((counts, costs, times))
    lowest = np.minimum.accumulate(costs[order])
    return order[np.concatenate([[True], lowest[1:] < lowest[:-1]])]


def _whole(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """In one unit, a power of two, in which no sum of one of each array exceeds 2 ** 52."""
    most = sum(float(np.abs(v).max()) for v in values) or 1.0
    unit = 2.0 ** (math.frexp(most)[1] - 52)
    return [np.rint(v / unit).astype(np.int64) for v in values]
