"""Confidence intervals over prompts, clips or whatever else was drawn independently."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from focuslab.errors import InputError

LEVEL = 0.95
RESAMPLES = 2000
FEWEST = 5
"""With fewer values the interval is at most the range of the values, which covers the mean in 1 - 2^(1-n) of cases."""


def bootstrap_interval(
    values: Any,
    statistic: Callable[[np.ndarray], Any] | None = None,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Any, Any]:
    """The confidence interval of a statistic of values that were drawn independently.

    It is the percentiles of the resamples, further out than `level` says by as much as makes them as wide as Student's
    interval: plain percentiles are too narrow for few values (Hesterberg 2015, "What teachers should know about the
    bootstrap", 5.3). The same n and seed give the same resamples, so intervals of several quantities of the same
    prompts belong together.

    Parameters
    ----------
    values : array
        `[n, ...]`; the first axis is resampled with replacement.
    statistic : callable, optional
        `[n, ...]` to a number or array. None is the mean over the first axis, made of all resamples at once.
    level : float
    resamples : int
    seed : int

    Returns
    -------
    low, high
        Numbers or arrays, as the statistic is.

    Raises
    ------
    InputError
        For fewer than two values, or one that is not finite.
    """
    values = np.asarray(values, dtype=float)
    n = len(values) if values.ndim else 0
    if n < 2:
        raise InputError(f"an interval needs two values or more, not {n}: measure more prompts")
    if not np.isfinite(values).all():
        raise InputError("an interval needs finite values, and there is NaN or infinity among these")
    chosen = np.random.default_rng(seed).integers(n, size=(resamples, n))
    if statistic is None:
        counts = np.zeros((resamples, n))
        np.add.at(counts, (np.arange(resamples)[:, None], chosen), 1)
        # About the middle, so that rounding gives equal values no width.
        middle = values.mean(axis=0)
        results = middle + np.tensordot(counts / n, values - middle, axes=1)
    else:
        results = np.array([statistic(values[index]) for index in chosen])
    tail = 100 * _tail(n, level)
    low, high = np.percentile(results, [tail, 100 - tail], axis=0)
    return (low, high) if results.ndim > 1 else (float(low), float(high))


def mean_with_interval(name: str, values: Sequence[float]) -> dict[str, float | None]:
    """{name, name_low, name_high}: the mean of values and its interval; None for what too few values do not give."""
    low, high = bootstrap_interval(values) if len(values) > 1 else (None, None)
    return {name: float(np.mean(values)) if len(values) else None, f"{name}_low": low, f"{name}_high": high}


def _tail(n: int, level: float) -> float:
    """The share of resamples of n values below the interval, and above it."""
    # Not at the top: tables need `FEWEST` alone, and must show at once.
    from scipy.special import ndtr, stdtrit

    return float(ndtr(-math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 + level) / 2)))


def pseudo_values(estimate: float, without: Any) -> np.ndarray:
    """`[n]` values whose mean is `estimate` and whose standard error is the jackknife's.

    without: the estimate `[n]` without each of n clips, or groups of clips of about the same size, in turn. The mean is
    that of all clips, not the jackknife's own, which also corrects a bias that two methods have alike.
    Source: Tukey's pseudo-values; Efron and Tibshirani 1993, "An Introduction to the Bootstrap", 11.5.
    """
    without = np.asarray(without, dtype=float)
    return estimate + (len(without) - 1) * (without.mean() - without)
