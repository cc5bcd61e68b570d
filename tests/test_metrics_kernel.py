"""Kernel distance: against plain loops, without bias for few rows, with intervals that cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.metrics import kernel, kernel_by_row, kernel_distance, paired_kernel_by_row
from focuslab.stats.intervals import bootstrap_interval

sizes = st.integers(2, 9)
seeds = st.integers(0, 2**32 - 1)


def by_loops(a, b, gamma):
    def value(x, y):
        return (gamma * float(np.dot(x, y)) + 1) ** 3

    def within(rows):
        return np.mean([value(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j])

    return within(a) + within(b) - 2 * np.mean([value(x, y) for x in a for y in b])


@given(sizes, sizes, st.integers(1, 6), st.sampled_from([None, 0.5, 1.0]), seeds)
@settings(max_examples=60, deadline=None)
def test_against_loops_in_blocks_of_any_size(n, m, dimension, gamma, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, dimension)), rng.standard_normal((m, dimension)) * 2 + 1
    expected = by_loops(a, b, 1 / dimension if gamma is None else gamma)
    with pytest.MonkeyPatch.context() as patch:
        for block in (1, 4, 1024):
            patch.setattr(kernel, "_BLOCK", block)
            assert kernel_distance(a, b, gamma=gamma) == pytest.approx(expected, rel=1e-9, abs=1e-11)


def test_by_hand():
    # One dimension: kernel values (1·2+1)³ = 27 within a, (0·1+1)³ = 1 within b; across 1, 8, 1, 27.
    assert kernel_distance([[1.0], [2.0]], [[0.0], [1.0]]) == pytest.approx(27 + 1 - 2 * (1 + 8 + 1 + 27) / 4)


def expected_distance(moments_a, moments_b):
    """Of the kernel (x y + 1)³ in one dimension, from the first three raw moments of both laws."""

    def mean_kernel(one, other):
        return 1 + 3 * one[0] * other[0] + 3 * one[1] * other[1] + one[2] * other[2]

    return mean_kernel(moments_a, moments_a) + mean_kernel(moments_b, moments_b) - 2 * mean_kernel(moments_a, moments_b)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_few_rows_do_not_make_it_larger(n):
    # x is N(0, 1), y is uniform on 0..1: raw moments 0, 1, 0 and 1/2, 1/3, 1/4.
    truth = expected_distance((0, 1, 0), (1 / 2, 1 / 3, 1 / 4))
    rng = np.random.default_rng(n)
    trials = 4000
    found = np.array([kernel_distance(rng.standard_normal((n, 1)), rng.uniform(size=(n, 1))) for _ in range(trials)])
    error = found.std() / np.sqrt(trials)
    assert abs(found.mean() - truth) < 4 * error
    # The estimate that pairs rows with themselves is off by the difference of those terms over n, which would show.
    assert (15 + 3 * 3 + 3 + 1 - (1 + 3)) / n > 20 * error


def test_sets_of_one_law_are_on_both_sides_of_zero():
    rng = np.random.default_rng(0)
    found = np.array([kernel_distance(*rng.standard_normal((2, 20, 4))) for _ in range(300)])
    assert 0.2 < np.mean(found < 0) < 0.8
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(300)


@given(sizes, sizes, seeds)
@settings(max_examples=30, deadline=None)
def test_what_changes_the_distance_and_what_does_not(n, m, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, 3)), rng.standard_normal((m, 3)) + 1
    same = pytest.approx(kernel_distance(a, b), rel=1e-9, abs=1e-12)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    assert kernel_distance(b, a) == same
    assert kernel_distance(rng.permutation(a), rng.permutation(b)) == same
    assert kernel_distance(a @ turn, b @ turn) == same
    # Copies count as rows of their own, and a row is nearest to its copy.
    assert kernel_distance(np.repeat(a, 2, axis=0), b) > kernel_distance(a, b)


def test_rows_of_length_one_need_a_wider_kernel():
    # The same mean direction, one set spread around it, the other on a line: only the kernel with gamma = 1 tells much.
    rng = np.random.default_rng(0)

    def unit(spread):
        rows = rng.standard_normal((200, 64)) * spread + np.eye(64)[0] * 3
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    line = np.zeros(64)
    line[1] = 8
    round_, flat = unit(np.ones(64)), unit(line)
    shifted = flat - flat.mean(axis=0) + round_.mean(axis=0)
    assert kernel_distance(round_, shifted, gamma=1) > 100 * kernel_distance(round_, shifted)


def test_values_by_row_are_those_of_leaving_each_out():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)) + 0.5
    values = kernel_by_row(a, b)
    without = np.array([kernel_distance(np.delete(a, row, axis=0), b) for row in range(7)])
    assert values.mean() == pytest.approx(kernel_distance(a, b), rel=1e-9)
    assert values == pytest.approx(kernel_distance(a, b) + 6 * (without.mean() - without), rel=1e-8)


def test_intervals_by_row_cover_the_truth():
    rng = np.random.default_rng(0)
    b = rng.standard_normal((80, 2))
    found, intervals = [], []
    for _ in range(150):
        values = kernel_by_row(rng.standard_normal((60, 2)) + 0.7, b)
        found.append(values.mean())
        intervals.append(bootstrap_interval(values, resamples=400))
    covered = np.mean([low <= np.mean(found) <= high for low, high in intervals])
    assert 0.87 <= covered <= 0.99


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "a has 1 rows and this metric needs 2"),
        (np.zeros((5, 3)), np.zeros((1, 3)), "b has 1 rows and this metric needs 2"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "3 and of 4 dimensions"),
        (np.zeros((5, 3)), np.full((5, 3), np.inf), "b holds NaN or infinity"),
    ],
)
def test_wrong_arrays_are_refused(a, b, says):
    with pytest.raises(InputError, match=says):
        kernel_distance(a, b)


def test_values_by_row_need_a_row_to_leave_out():
    with pytest.raises(InputError, match="a has 2 rows and this metric needs 3"):
        kernel_by_row(np.zeros((2, 3)), np.zeros((5, 3)))


@given(st.integers(3, 8), st.integers(1, 5), st.sampled_from([None, 1.0]), seeds)
@settings(max_examples=40, deadline=None)
def test_pairs_against_loops_with_and_without_each(n, dimension, gamma, seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, dimension))
    b = a + rng.standard_normal((n, dimension)) * 0.3

    def by_pairs(a, b):
        scale = 1 / dimension if gamma is None else gamma
        k = (scale * np.concatenate([a, b]) @ np.concatenate([a, b]).T + 1) ** 3
        aa, bb, ab = k[: len(a), : len(a)], k[len(a) :, len(a) :], k[: len(a), len(a) :]
        others = ~np.eye(len(a), dtype=bool)
        return aa[others].mean() + bb[others].mean() - 2 * ab[others].mean()

    values = paired_kernel_by_row(a, b, gamma=gamma)
    without = np.array([by_pairs(np.delete(a, i, axis=0), np.delete(b, i, axis=0)) for i in range(n)])
    assert values.mean() == pytest.approx(by_pairs(a, b), rel=1e-7, abs=1e-9)
    expected = by_pairs(a, b) + (n - 1) * (without.mean() - without)
    assert values == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_rows_that_belong_together_do_not_make_it_smaller():
    # Of one law, and nearly the same row by row: the distance is 0, and only that of pairs is so on average.
    rng = np.random.default_rng(0)
    paired, independent = [], []
    for _ in range(2000):
        a = rng.standard_normal((5, 1))
        b = a + rng.standard_normal((5, 1)) * 1e-3
        paired.append(paired_kernel_by_row(a, b).mean())
        independent.append(kernel_distance(a, b))
    error = np.std(paired) / np.sqrt(len(paired))
    assert abs(np.mean(paired)) < 4 * error + 1e-6 and np.mean(independent) < -1


def test_pairs_are_of_equal_number_and_three_or_more():
    with pytest.raises(InputError, match="a has 4 rows and b 3, expected the same"):
        paired_kernel_by_row(np.ones((4, 2)), np.ones((3, 2)))
    with pytest.raises(InputError, match="3 or more"):
        paired_kernel_by_row(np.ones((2, 2)), np.ones((2, 2)))
