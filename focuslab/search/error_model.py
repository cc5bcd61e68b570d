"""How the errors of single groups of sites make the error of all of them at once, and what no choice beats."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from focuslab.runs.method_spec import DENSE
from focuslab.search.candidates import Candidate
from focuslab.search.experiments import choice_key, choice_of

EXPONENTS = 0.5, 16.0
"""The range that exponents are looked for in: 1 is errors that add up, 2 independent ones, much more the largest."""


@dataclass(frozen=True)
class ErrorModel:
    """error = (sum of error_g ** exponent) ** (1 / exponent)."""

    exponent: float = 2.0
    # Of log(measured / predicted), as a relative number; None where there was no joint ablation.
    rmse: float | None = None
    low: float | None = None  # the least measured over predicted
    high: float | None = None  # the greatest
    runs: int = 0  # how many joint ablations it was fitted on

    def joint(self, errors: np.ndarray | Sequence[float]) -> np.ndarray:
        """Errors of groups alone `[..., groups]` to the error of all of them at once `[...]`."""
        errors = np.asarray(errors, dtype=float)
        # In units of the largest, since a small error to a high power is no number any more.
        largest = errors.max(axis=-1, initial=0.0)
        scale = np.where(largest > 0, largest, 1.0)
        return scale * ((errors / scale[..., None]) ** self.exponent).sum(axis=-1) ** (1 / self.exponent)

    def interval(self, error: float) -> tuple[float, float] | None:
        """Where the joint ablations say that a predicted error will be measured; None without any."""
        return (
            None if self.low is None or self.high is None else (error * min(self.low, 1.0), error * max(self.high, 1.0))
        )

    def to_json(self) -> dict[str, Any]:
        """With the names that summaries have had from the first version on."""
        return {"exponent": self.exponent, "misfit": self.rmse, "low": self.low, "high": self.high, "runs": self.runs}


def fit_error_model(
    candidates: Mapping[float, Sequence[Candidate]], records: Iterable[Mapping[str, Any]]
) -> ErrorModel:
    """The exponent that best predicts the joint ablations: least squares of log error, over lengths and choices alike.

    Of the records those of kind "joint" count. A choice counts with the mean of its errors if its candidates are known
    and two or more of them are sparse. Where none counts, errors are independent: the exponent is 2.
    """
    known = {(s, c.group, c.method): c.error for s, found in candidates.items() for c in found}
    measured: dict[tuple, dict] = defaultdict(dict)
    for record in records:
        if record["kind"] == "joint":
            key = record["seconds"], choice_key(choice_of(record))
            measured[key][record["prompt"], record["step"]] = record["error"]
    parts, wholes = [], []
    for (seconds, choice), values in sorted(measured.items(), key=lambda pair: (pair[0][0], sorted(pair[0][1]))):
        errors = [known.get((seconds, *pair), math.nan) for pair in sorted(choice) if pair[1] != DENSE]
        whole = float(np.mean(list(values.values())))
        if len(errors) >= 2 and all(error > 0 for error in errors) and whole > 0:
            parts.append(errors)
            wholes.append(whole)
    if not parts:
        return ErrorModel()
    # Groups that were not on add nothing, whatever the exponent.
    padded = np.array([errors + [0.0] * (max(map(len, parts)) - len(errors)) for errors in parts])

    def residuals(exponent: float) -> np.ndarray:
        return np.log(wholes) - np.log(ErrorModel(exponent).joint(padded))

    exponent = _least(lambda p: float(np.sum(residuals(p) ** 2)), *EXPONENTS)
    off = residuals(exponent)
    rmse = float(np.expm1(np.sqrt(np.mean(off**2))))
    return ErrorModel(exponent, rmse, float(np.exp(off.min())), float(np.exp(off.max())), len(wholes))


def _least(function, low: float, high: float) -> float:
    """Where a function of one number is least: a grid of the logarithm, and then finer ones around its best."""
    grid = np.geomspace(low, high, 101)
    for _ in range(8):
        best = int(np.argmin([function(x) for x in grid]))
        grid = np.geomspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 21)
    return float(grid[int(np.argmin([function(x) for x in grid]))])


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
