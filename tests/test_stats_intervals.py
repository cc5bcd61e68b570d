"""Bootstrap intervals: they cover the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.stats.intervals import FEWEST, bootstrap_interval


def coverage(n, draw, truth, statistic=None, repeats=400, level=0.95):
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(repeats):
        low, high = bootstrap_interval(draw(rng, n), statistic, level=level, resamples=500, seed=i)
        hits += low <= truth <= high
    return hits / repeats


@pytest.mark.parametrize("n", [FEWEST, 8, 20])
def test_they_cover_a_mean_as_often_as_they_say(n):
    # 400 repeats: the standard error of the coverage is 0.011.
    assert 0.90 <= coverage(n, lambda rng, n: rng.normal(3, 2, n), 3) <= 0.985


def test_they_cover_less_at_a_lower_level():
    assert 0.73 <= coverage(12, lambda rng, n: rng.normal(size=n), 0, level=0.8) <= 0.87
    assert 0.87 <= coverage(20, lambda rng, n: rng.exponential(size=n), 1) <= 0.98


@pytest.mark.parametrize("n, covered", [(2, 0.5), (3, 0.75), (4, 0.875)])
def test_with_few_values_they_are_the_range_which_covers_less(n, covered):
    values = np.random.default_rng(1).normal(size=n)
    low, high = bootstrap_interval(values)
    assert (low, high) == (pytest.approx(values.min()), pytest.approx(values.max()))
    assert coverage(n, lambda rng, n: rng.normal(size=n), 0) == pytest.approx(covered, abs=0.08)
    assert n < FEWEST


def test_any_statistic_of_resampled_values():
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(40, 2))
    pairs[:, 1] += 2 * pairs[:, 0]
    low, high = bootstrap_interval(pairs, lambda x: np.polyfit(x[:, 0], x[:, 1], 1)[0], resamples=300)
    assert low < 2 < high and high - low < 1.5
    by_function = bootstrap_interval(pairs, lambda x: x.mean(axis=0), resamples=300)
    np.testing.assert_allclose(by_function, bootstrap_interval(pairs, resamples=300), rtol=1e-9)


def test_each_column_has_the_interval_that_it_has_alone():
    values = np.random.default_rng(3).normal(size=(9, 2, 3))
    low, high = bootstrap_interval(values)
    assert low.shape == high.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose((low[i, j], high[i, j]), bootstrap_interval(values[:, i, j]), rtol=1e-9)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(3).normal(size=15)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    assert isinstance(bootstrap_interval(values)[0], float)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12),
    st.floats(-1e6, 1e6),
    st.floats(0.01, 100),
)
@settings(max_examples=60, deadline=None)
def test_they_move_and_grow_with_the_values(values, shift, size):
    values = np.array(values)
    slack = 1e-9 * (1 + np.abs(values).max() + abs(shift)) * max(1, size)
    low, high = bootstrap_interval(values, resamples=200)
    assert values.min() - slack <= low <= high + slack and high <= values.max() + slack
    moved = bootstrap_interval(size * values + shift, resamples=200)
    np.testing.assert_allclose(moved, (size * low + shift, size * high + shift), rtol=1e-6, atol=slack)


def test_equal_values_have_no_width():
    assert bootstrap_interval(np.full(7, 0.1)) == (0.1, 0.1)


@pytest.mark.parametrize("values", [[1.0], [], 3.0])
def test_fewer_than_two_values_are_refused(values):
    with pytest.raises(InputError, match="two values or more, not [01]"):
        bootstrap_interval(values)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(InputError, match="NaN or infinity"):
        bootstrap_interval([1.0, bad, 2.0])
