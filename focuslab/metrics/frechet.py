"""The Frechet distance of two sets of embeddings, and the running moments it is made of.

Source: Dowson and Landau 1982; as Frechet audio distance (on VGGish embeddings): Kilgour et al. 2019, arXiv:1812.08466.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import add
from typing import Any

import numpy as np

from focuslab.errors import InputError
from focuslab.metrics.arrays import rows, same_width
from focuslab.stats.jackknife import pseudo_values


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and covariance of rows that are not kept: what Gaussians are compared by.

    Parts add up: `Moments.of(rows_1) + Moments.of(rows_2)` are the moments of all rows, up to rounding; to get the same
    bits again, add the same parts in the same order. The size depends on D alone. Instead of the covariance a factor of
    it is kept, so that no digits are lost to squaring and the covariance is never indefinite.
    """

    count: int
    mean: np.ndarray
    """`[D]`."""
    factor: np.ndarray
    """`[K, D]`, K at most 2 D: its product with itself, factorᵀ factor, is the sum of squares about the mean."""

    @classmethod
    def of(cls, values: Any) -> "Moments":
        """The moments of rows `[N, D]`; many at once cost less than one by one. Raises `InputError`."""
        values = rows(values, "embeddings")
        mean = values.mean(axis=0)
        # One row deviates from its mean by nothing.
        return cls(len(values), mean, _bounded(values - mean if len(values) > 1 else values[:0]))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Moments":
        """The moments that `arrays()` gave, also after a way over a disk."""
        return cls(int(arrays["count"]), arrays["mean"], arrays["factor"])

    def arrays(self) -> dict[str, np.ndarray]:
        """All there is to save, by name."""
        return {"count": np.array(self.count), "mean": self.mean, "factor": self.factor}

    def __add__(self, other: "Moments") -> "Moments":
        same_width(self.mean, other.mean)
        count = self.count + other.count
        apart = other.mean - self.mean
        # Chan, Golub and LeVeque 1979: the means' distance is one more row of deviations.
        between = apart * np.sqrt(self.count * (other.count / count))
        factor = _bounded(np.concatenate([self.factor, other.factor, between[None]]))
        return Moments(count, self.mean + apart * (other.count / count), factor)

    @property
    def covariance(self) -> np.ndarray:
        """`[D, D]`, divided by N - 1 (`numpy.cov`). Raises `InputError` for a single row."""
        deviation = self._deviation()
        return deviation.T @ deviation

    def frechet(self, other: "Moments") -> float:
        """`frechet_distance` of the rows behind both."""
        same_width(self.mean, other.mean)
        one, two = _equally_long(self._deviation(), other._deviation())
        # min over rotations R of |one - R two|² is the trace term; R comes from the singular vectors of one twoᵀ. There
        # is no square root of a matrix and no difference of large traces in it, so it is exact where covariances are
        # singular (fewer rows than dimensions) and where both sets are nearly the same.
        left, _, right = np.linalg.svd(one @ two.T)
        return float(np.sum((self.mean - other.mean) ** 2) + np.sum((one - (left @ right) @ two) ** 2))

    def _deviation(self) -> np.ndarray:
        """`[at most D, D]`, whose product with itself is the covariance."""
        if self.count < 2:
            raise InputError(f"a covariance needs two embeddings or more, not {self.count}: give more clips")
        return _triangular(self.factor) / np.sqrt(self.count - 1)


def frechet_distance(a: Any, b: Any) -> float:
    """Frechet distance of Gaussians fitted to embeddings `[N, D]` and `[M, D]`; squared, as is the custom (FID, FAD).

    |mean_a - mean_b|² + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)), covariances divided by N - 1, all in float64. It
    is 0 for equal means and covariances and in the embedding's unit squared. Any N of two or more is taken; it is too
    large, by about twice as much whenever N halves, so compare only distances of equal N, or take `kernel_distance`.
    The order of rows does not matter. It is FAD only on VGGish embeddings: name the embedder beside it. Raises
    `InputError` for fewer than two rows, different D, NaN.
    """
    a, b = rows(a, "a", at_least=2), rows(b, "b", at_least=2)
    same_width(a, b)
    return Moments.of(a).frechet(Moments.of(b))


def frechet_by_group(groups: Sequence[Moments], reference: Moments) -> np.ndarray:
    """One value a group, whose mean is the distance of all groups together to `reference`; for intervals.

    groups: the moments of 10 to 30 groups of clips drawn independently (caption i in group i % 20, say, with all its
    windows); more are more work and no better. Resampling clips instead would put the interval beside the distance: a
    resample has fewer distinct clips, and so a larger distance. The reference counts as given. Raises `InputError` for
    fewer than three groups.
    """
    if len(groups) < 3:
        raise InputError(f"values by group need three groups or more, not {len(groups)}: split the clips further")
    before = list(accumulate(groups, add))
    after = list(accumulate(reversed(groups), add))[::-1]
    inner = [before[g - 1] + after[g + 1] for g in range(1, len(groups) - 1)]
    without = [rest.frechet(reference) for rest in (after[1], *inner, before[-2])]
    return pseudo_values(before[-1].frechet(reference), without)


def _bounded(factor: np.ndarray) -> np.ndarray:
    """At most 2 D rows with the same product with themselves; there is work at every D rows or so, not at every one."""
    return factor if len(factor) <= 2 * factor.shape[1] else _triangular(factor)


def _triangular(factor: np.ndarray) -> np.ndarray:
    """At most D rows with the same product with themselves."""
    return factor if len(factor) <= factor.shape[1] else np.linalg.qr(factor, mode="r")


def _equally_long(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    length = max(len(one), len(two))
    return tuple(np.pad(factor, ((0, length - len(factor)), (0, 0))) for factor in (one, two))
