"""How the errors of single groups of sites make the error of all of them at once."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from focuslab.runs.method_spec import without_sites
from focuslab.search.options import DENSE, Option

EXPONENTS = 0.5, 16.0
"""The range that exponents are looked for in: 1 is errors that add up, 2 independent ones, much more the largest."""


@dataclass(frozen=True)
class Combination:
    """error = (sum of error_g ** exponent) ** (1 / exponent).

    runs: how many joint runs it was fitted on. misfit: by how much they miss it, the root mean square of
    log(measured / predicted) as a relative number. low, high: the least and greatest measured over predicted. All None
    where there was no joint run.
    """

    exponent: float = 2.0
    misfit: float | None = None
    low: float | None = None
    high: float | None = None
    runs: int = 0

    def joint(self, errors: np.ndarray | Sequence[float]) -> np.ndarray:
        """Errors of groups alone `[..., groups]` to the error of all of them at once `[...]`."""
        return _joint(np.asarray(errors, dtype=float), self.exponent)

    def interval(self, error: float) -> tuple[float, float] | None:
        """Where the joint runs say that a predicted error will be measured; None without joint runs."""
        return None if self.low is None else (error * min(self.low, 1.0), error * max(self.high, 1.0))


def fit_combination(options: Mapping[float, Sequence[Option]], joint: Iterable[Mapping[str, Any]]) -> Combination:
    """The exponent that best predicts the joint runs: least squares of log error, over lengths and choices alike.

    joint: records {"kind": "joint", "seconds", "choice": {group: method}, "prompt", "step", "error"}; others are
    passed over. A choice counts with the mean of its errors if its options are known and two or more of them are
    sparse. Without any the exponent is 2: errors that know nothing of each other.
    """
    known = {(s, o.group, o.method): o.error for s, found in options.items() for o in found}
    measured: dict[tuple, dict] = defaultdict(dict)
    for record in joint:
        if record["kind"] == "joint":
            choice = tuple(sorted((group, without_sites(method)) for group, method in record["choice"].items()))
            measured[record["seconds"], choice][record["prompt"], record["step"]] = record["error"]
    parts, wholes = [], []
    for (seconds, choice), values in sorted(measured.items()):
        errors = [known.get((seconds, *pair), math.nan) for pair in choice if pair[1] != DENSE]
        whole = float(np.mean(list(values.values())))
        if len(errors) >= 2 and all(error > 0 for error in errors) and whole > 0:
            parts.append(errors)
            wholes.append(whole)
    if not parts:
        return Combination()
    # Groups that were not on add nothing, whatever the exponent.
    padded = np.array([errors + [0.0] * (max(map(len, parts)) - len(errors)) for errors in parts])
    exponent = _least(lambda p: float(np.sum(_residuals(padded, wholes, p) ** 2)), *EXPONENTS)
    residuals = _residuals(padded, wholes, exponent)
    return Combination(
        exponent=exponent,
        misfit=float(np.expm1(np.sqrt(np.mean(residuals**2)))),
        low=float(np.exp(residuals.min())),
        high=float(np.exp(residuals.max())),
        runs=len(wholes),
    )


def _residuals(parts: np.ndarray, wholes: Sequence[float], exponent: float) -> np.ndarray:
    return np.log(wholes) - np.log(_joint(parts, exponent))


def _joint(errors: np.ndarray, exponent: float) -> np.ndarray:
    # In units of the largest, since a small error to a high power is no number any more.
    largest = errors.max(axis=-1, initial=0.0)
    scale = np.where(largest > 0, largest, 1.0)
    return scale * ((errors / scale[..., None]) ** exponent).sum(axis=-1) ** (1 / exponent)


def _least(function, low: float, high: float) -> float:
    """Where a function of one number is least: a grid of the logarithm, and then finer ones around its best."""
    grid = np.geomspace(low, high, 101)
    for _ in range(8):
        best = int(np.argmin([function(x) for x in grid]))
        grid = np.geomspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 21)
    return float(grid[int(np.argmin([function(x) for x in grid]))])
