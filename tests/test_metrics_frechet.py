"""Frechet distance: closed forms, many digits, invariances; values by group."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.metrics import frechet_by_group, frechet_distance
from focuslab.stats.intervals import bootstrap_interval

sizes = st.integers(2, 12)
seeds = st.integers(0, 2**32 - 1)


def exactly(rng, n, mean, covariance):
    """n rows that have this very mean and covariance."""
    rows = rng.standard_normal((n, len(mean)))
    rows -= rows.mean(axis=0)
    whitened = rows @ np.linalg.inv(np.linalg.cholesky(rows.T @ rows / (n - 1))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def in_many_digits(a, b):
    """The formula as it is written, with 60 digits: eigenvalues of the product of the covariances."""
    with mpmath.workdps(60):
        parts = []
        for rows in (a, b):
            rows = mpmath.matrix(rows.tolist())
            mean = [mpmath.fsum(rows[:, d]) / rows.rows for d in range(rows.cols)]
            centred = mpmath.matrix([[rows[n, d] - mean[d] for d in range(rows.cols)] for n in range(rows.rows)])
            parts.append((mean, centred.T * centred / (rows.rows - 1)))
        (mean_a, cov_a), (mean_b, cov_b) = parts
        apart = mpmath.fsum((x - y) ** 2 for x, y in zip(mean_a, mean_b, strict=True))
        traces = mpmath.fsum(cov_a[d, d] + cov_b[d, d] for d in range(len(mean_a)))
        eigenvalues = mpmath.eig(cov_a * cov_b, left=False, right=False)
        return float(apart + traces - 2 * mpmath.fsum(mpmath.sqrt(abs(mpmath.re(value))) for value in eigenvalues))


@pytest.mark.parametrize("dimension", [1, 5, 64])
def test_gaussians_of_known_axes(dimension):
    rng = np.random.default_rng(dimension)
    axes, _ = np.linalg.qr(rng.standard_normal((dimension, dimension)))
    one, other = rng.uniform(0.1, 3, (2, dimension))
    shift = rng.standard_normal(dimension)
    a = exactly(rng, 200, shift, axes @ np.diag(one) @ axes.T)
    b = exactly(rng, 150, np.zeros(dimension), axes @ np.diag(other) @ axes.T)
    expected = np.sum(shift**2) + np.sum((np.sqrt(one) - np.sqrt(other)) ** 2)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_gaussians_of_different_axes():
    # In two dimensions trace(M^(1/2)) = sqrt(trace M + 2 sqrt(det M)).
    one, other = np.array([[2.0, 0.6], [0.6, 0.5]]), np.array([[0.3, -0.2], [-0.2, 1.7]])
    rng = np.random.default_rng(0)
    a, b = exactly(rng, 30, np.array([1.0, -2.0]), one), exactly(rng, 40, np.array([0.5, 1.0]), other)
    root = np.sqrt(np.trace(one @ other) + 2 * np.sqrt(np.linalg.det(one @ other)))
    expected = 0.25 + 9 + np.trace(one) + np.trace(other) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


@given(sizes, sizes, st.integers(2, 4), st.sampled_from([1e-3, 1.0, 1e4]), seeds)
@settings(max_examples=15, deadline=None)
def test_any_number_of_rows_against_many_digits(n, m, dimension, offset, seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, dimension)) * rng.uniform(0.01, 10, dimension) + offset
    b = rng.standard_normal((m, dimension)) * rng.uniform(0.01, 10, dimension) + offset
    assert frechet_distance(a, b) == pytest.approx(in_many_digits(a, b), rel=1e-6)


def test_many_dimensions_against_a_square_root_of_a_matrix():
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((300, 40)) @ rng.standard_normal((40, 40)), rng.standard_normal((200, 40)) + 0.1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b - 2 * linalg.sqrtm(cov_a @ cov_b).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_fewer_rows_than_dimensions():
    # Each pair of rows spans one direction, e_1 and e_2, with variance 2: 2 + 2 - 0, and the means' distance.
    a, b = np.zeros((2, 512)), np.zeros((2, 512))
    a[:, 0], b[:, 1], b[:, 2] = (1, -1), (1, -1), 3
    assert frechet_distance(a, b) == pytest.approx(4 + 9, rel=1e-12)
    # The same direction with variances 2 and 8: (sqrt 2 - sqrt 8)² = 2.
    assert frechet_distance(a, 2 * a) == pytest.approx(2, rel=1e-12)
    # Seven rows in 512 dimensions, and the same seven in a corner of them: what is 0 in both sets adds nothing.
    rng = np.random.default_rng(0)
    few, others = rng.standard_normal((7, 9)), rng.standard_normal((5, 9))
    assert frechet_distance(np.pad(few, ((0, 0), (0, 503))), np.pad(others, ((0, 0), (0, 503)))) == pytest.approx(
        frechet_distance(few, others), rel=1e-12
    )


def test_nearly_the_same_sets_keep_their_digits():
    a = np.random.default_rng(0).standard_normal((500, 20))
    assert frechet_distance(a, a) < 1e-25
    assert frechet_distance(a, a + 1e-6) == pytest.approx(20e-12, rel=1e-6)
    assert frechet_distance(a - a.mean(0), (a - a.mean(0)) * (1 + 1e-5)) == pytest.approx(
        1e-10 * np.trace(np.cov(a.T)), rel=1e-6
    )


@given(sizes, sizes, st.integers(1, 6), seeds)
@settings(max_examples=40, deadline=None)
def test_what_changes_the_distance_and_what_does_not(n, m, dimension, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, dimension)), 2 * rng.standard_normal((m, dimension)) + 1
    distance = frechet_distance(a, b)
    same = pytest.approx(distance, rel=1e-9)
    turn, _ = np.linalg.qr(rng.standard_normal((dimension, dimension)))
    assert frechet_distance(b, a) == same
    assert frechet_distance(rng.permutation(a), rng.permutation(b)) == same
    assert frechet_distance(a @ turn, b @ turn) == same
    assert frechet_distance(a + 5, b + 5) == same
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * distance, rel=1e-9)
    # Every row k times: the covariance is divided by k n - 1 in place of k (n - 1), nothing else.
    narrower = a.mean(0) + (a - a.mean(0)) * np.sqrt(3 * (n - 1) / (3 * n - 1))
    assert frechet_distance(np.repeat(a, 3, axis=0), b) == pytest.approx(frechet_distance(narrower, b), rel=1e-9)


def test_halving_the_rows_about_doubles_the_excess():
    rng = np.random.default_rng(0)
    excess = {
        n: np.mean([frechet_distance(*rng.standard_normal((2, n, 8))) for _ in range(100)]) for n in (100, 200, 400)
    }
    assert 1.8 < excess[100] / excess[200] < 2.3 and 1.8 < excess[200] / excess[400] < 2.3


def test_values_by_group_have_the_distance_as_mean():
    rng = np.random.default_rng(0)
    rows, reference = rng.standard_normal((60, 4)), rng.standard_normal((50, 4)) + 0.3
    values = frechet_by_group([rows[g::6] for g in range(6)], reference)
    assert values.shape == (6,) and values.mean() == pytest.approx(frechet_distance(rows, reference), rel=1e-10)
    without = [
        frechet_distance(np.concatenate([rows[g::6] for g in range(6) if g != left]), reference) for left in range(6)
    ]
    # Tukey's pseudo-value of group 2.
    assert values[2] == pytest.approx(values.mean() + 5 * (np.mean(without) - without[2]), rel=1e-8)


def test_intervals_by_group_cover_the_truth():
    rng = np.random.default_rng(0)
    reference = exactly(rng, 100, np.zeros(3), np.eye(3))
    found, intervals = [], []
    for _ in range(150):
        rows = rng.standard_normal((120, 3)) * 1.3 + 0.2
        values = frechet_by_group([rows[g::15] for g in range(15)], reference)
        found.append(values.mean())
        intervals.append(bootstrap_interval(values, resamples=400))
    truth = np.mean(found)
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.89 <= covered <= 0.99


def test_groups_of_one_row_are_groups():
    rows = np.random.default_rng(0).standard_normal((6, 3))
    values = frechet_by_group(list(rows[:, None]), 2 * rows)
    assert values.mean() == pytest.approx(frechet_distance(rows, 2 * rows), rel=1e-10)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "a has 1 rows"),
        (np.zeros((5, 3)), np.zeros((0, 3)), "b has 0 rows"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "3 and of 4 dimensions"),
        (np.zeros(5), np.zeros((5, 3)), "shape [5], expected [N, D]"),
        (np.zeros((5, 0)), np.zeros((5, 3)), "shape [5, 0]"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "a holds NaN"),
        ([["rain"]], np.zeros((5, 3)), "a is no array of numbers"),
        ([[1.0], [1.0, 2.0]], np.zeros((5, 3)), "a is no array of numbers"),
    ],
)
def test_wrong_arrays_are_refused_in_one_line(a, b, says):
    with pytest.raises(InputError) as caught:
        frechet_distance(a, b)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_wrong_groups_are_refused():
    three = np.zeros((3, 3))
    with pytest.raises(InputError, match="three groups or more, not 2"):
        frechet_by_group([three, three], three)
    with pytest.raises(InputError, match="2 and of 3 dimensions"):
        frechet_by_group([three, three, np.zeros((1, 2))], three)
