"""A kernel distance of two sets of embeddings that small sets do not make larger.

Source: the squared maximum mean discrepancy of Gretton et al. 2012 (Lemma 6, the unbiased estimate) with the cubic
kernel of the kernel inception distance, Binkowski et al. 2018, arXiv:1801.01401. The kernel audio distance (Chung et
al. 2025, arXiv:2502.15602) is the same estimate with a Gaussian kernel as wide as the reference's median distance: its
width is then drawn with the data, here the kernel is fixed.
"""

from typing import Any

import numpy as np

from focuslab.errors import InputError
from focuslab.metrics.arrays import rows, same_width
from focuslab.stats.intervals import pseudo_values

DEGREE = 3
_BLOCK = 1024
"""Rows of the kernel matrix held at a time."""


def kernel_distance(a: Any, b: Any, *, gamma: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy of embeddings `[N, D]` and `[M, D]`, any N and M of two or more.

    The kernel is (gamma x·y + 1)³. All pairs of different rows count once (KID also averages over subsets of 1000). Its
    expectation is 0 for sets of one distribution and does not depend on N and M, so single values can be below 0.

    Parameters
    ----------
    a, b : array `[N, D]` and `[M, D]`
        Rows are to be independent: one a clip, not one a window.
    gamma : float, optional
        1/D by default, as in KID, which suits embeddings with entries near 1. For rows of length 1, CLAP's, x·y/D is
        next to nothing and only means would be compared: give 1.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For fewer than two rows, different D, or NaN.

    References
    ----------
    Gretton et al. 2012, Lemma 6; Binkowski et al. 2018, arXiv:1801.01401.
    """
    a, b = rows(a, "a", at_least=2), rows(b, "b", at_least=2)
    same_width(a, b)
    within_a, within_b, across = _sums(a, b, gamma)
    return _estimate(within_a.sum(), within_b.sum(), across.sum(), len(a), len(b))


def kernel_by_row(a: Any, b: Any, *, gamma: float | None = None) -> np.ndarray:
    """One value a row of `a`, whose mean is `kernel_distance(a, b)`; for intervals. `b` counts as given.

    Parameters
    ----------
    a, b, gamma
        As of `kernel_distance`.

    Returns
    -------
    array `[N]`

    Raises
    ------
    InputError
        For fewer than three rows in `a`, which has to be a set without one of them too.
    """
    a, b = rows(a, "a", at_least=3), rows(b, "b", at_least=2)
    same_width(a, b)
    within_a, within_b, across = _sums(a, b, gamma)
    estimate = _estimate(within_a.sum(), within_b.sum(), across.sum(), len(a), len(b))
    without = _estimate(within_a.sum() - 2 * within_a, within_b.sum(), across.sum() - across, len(a) - 1, len(b))
    return pseudo_values(estimate, without)


def paired_kernel_by_row(a: Any, b: Any, *, gamma: float | None = None) -> np.ndarray:
    """One value a pair, whose mean is the unbiased distance of sets whose rows i belong together; for intervals.

    Such as one caption and noise by two methods: `kernel_distance` is too small there, since it counts how alike the
    two of a pair are. Here a kernel value of row i of `a` and row i of `b` does not count (Gretton et al. 2012, Lemma
    6, the second form), so that the expectation is that of independent sets.

    Parameters
    ----------
    a, b : array `[N, D]`
        Row i of both belongs together.
    gamma : float, optional
        The same as of `kernel_distance`.

    Returns
    -------
    array of N values

    Raises
    ------
    InputError
        For fewer than three pairs, or sets of different size.
    """
    a, b = rows(a, "a", at_least=3), rows(b, "b", at_least=3)
    same_width(a, b)
    if len(a) != len(b):
        raise InputError(f"a has {len(a)} rows and b {len(b)}, expected the same: row i of both belongs together")
    within_a, within_b, across = _sums(a, b, gamma)
    _, _, across_back = _sums(b, a, gamma)
    of_pairs = _kernel(np.einsum("nd,nd->n", a, b), 1 / a.shape[1] if gamma is None else gamma)
    # Each pair with all others, once from either side.
    with_others = 2 * (within_a + within_b) - 2 * (across + across_back - 2 * of_pairs)
    n, total = len(a), with_others.sum() / 2
    return pseudo_values(total / (n * (n - 1)), (total - with_others) / ((n - 1) * (n - 2)))


def _estimate(within_a: Any, within_b: Any, across: Any, n: int, m: int) -> Any:
    return within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * across / (n * m)


def _sums(a: np.ndarray, b: np.ndarray, gamma: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row's sum of kernel values: over the other rows of a, over the other rows of b, of a over b."""
    gamma = 1 / a.shape[1] if gamma is None else gamma

    def summed(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        blocks = range(0, len(left), _BLOCK)
        return np.concatenate([_kernel(left[i : i + _BLOCK] @ right.T, gamma).sum(axis=1) for i in blocks])

    def others(values: np.ndarray) -> np.ndarray:
        return summed(values, values) - _kernel(np.einsum("nd,nd->n", values, values), gamma)

    return others(a), others(b), summed(a, b)


def _kernel(products: np.ndarray, gamma: float) -> np.ndarray:
    return (gamma * products + 1) ** DEGREE
