"""The Frechet distance of two sets of embeddings.

Source: Dowson and Landau 1982; as Frechet audio distance (on VGGish embeddings): Kilgour et al. 2019, arXiv:1812.08466.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from focuslab.errors import InputError
from focuslab.metrics.arrays import rows, same_width
from focuslab.stats.intervals import pseudo_values


class _Gaussian(NamedTuple):
    """mean `[D]`; factor `[at most D, D]`, whose product with itself is the covariance.

    A factor loses no digits to squaring, and the covariance is never indefinite.
    """

    mean: np.ndarray
    factor: np.ndarray


def frechet_distance(a: Any, b: Any) -> float:
    """Frechet distance of Gaussians that are fitted to two sets of embeddings, squared as is the custom (FID, FAD).

    It is |mean_a - mean_b|² + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)), with covariances divided by N - 1, all in
    float64. It is FAD only on VGGish embeddings: name the embedder beside it.

    Parameters
    ----------
    a, b : array `[N, D]` and `[M, D]`
        A row a clip, in any order. With few rows the distance is too large, by about twice as much whenever N halves:
        compare only distances of equal N, or take `kernel_distance`.

    Returns
    -------
    float
        0 for equal means and covariances; in the embedding's unit squared.

    Raises
    ------
    InputError
        Fewer than two rows, different D, or NaN.

    References
    ----------
    Dowson and Landau 1982. On VGGish embeddings, as Frechet audio distance: Kilgour et al. 2019, arXiv:1812.08466.
    """
    a, b = rows(a, "a", at_least=2), rows(b, "b", at_least=2)
    same_width(a, b)
    return _distance(_fit(a), _fit(b))


def frechet_by_group(groups: Sequence[Any], reference: Any) -> np.ndarray:
    """One value a group, whose mean is the distance of all groups together to a reference; for intervals.

    Resampling clips instead would put the interval beside the distance: a resample has fewer distinct clips, and so a
    larger distance.

    Parameters
    ----------
    groups : sequence of arrays `[N_g, D]`
        10 to 30 groups of clips that were drawn independently: caption i in group i % 20, say. More are more work and
        no better.
    reference : array `[M, D]`
        It counts as given.

    Returns
    -------
    array `[groups]`

    Raises
    ------
    InputError
        Fewer than three groups, and what `frechet_distance` refuses.
    """
    if len(groups) < 3:
        raise InputError(f"values by group need three groups or more, not {len(groups)}: split the clips further")
    groups, reference = [rows(group, "a group") for group in groups], rows(reference, "the reference", at_least=2)
    for group in groups:
        same_width(group, reference)
    of_reference = _fit(reference)
    without = [
        _distance(_fit(np.concatenate([*groups[:left], *groups[left + 1 :]])), of_reference)
        for left in range(len(groups))
    ]
    return pseudo_values(_distance(_fit(np.concatenate(groups)), of_reference), without)


def _fit(values: np.ndarray) -> _Gaussian:
    if len(values) < 2:
        raise InputError(f"a covariance needs two embeddings or more, not {len(values)}: give more clips")
    mean = values.mean(axis=0)
    factor = (values - mean) / np.sqrt(len(values) - 1)
    return _Gaussian(mean, factor if len(factor) <= factor.shape[1] else np.asarray(np.linalg.qr(factor, mode="r")))


def _distance(a: _Gaussian, b: _Gaussian) -> float:
    length = max(len(a.factor), len(b.factor))
    one, two = (np.pad(part.factor, ((0, length - len(part.factor)), (0, 0))) for part in (a, b))
    # min over rotations R of |one - R two|² is the trace term; R comes from the singular vectors of one twoᵀ. There is
    # no square root of a matrix and no difference of large traces in it, so it is exact where covariances are singular
    # (fewer rows than dimensions) and where both sets are nearly the same.
    left, _, right = np.linalg.svd(one @ two.T)
    return float(np.sum((a.mean - b.mean) ** 2) + np.sum((one - (left @ right) @ two) ** 2))
