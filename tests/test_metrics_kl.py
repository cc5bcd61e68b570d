"""KL divergence: by hand, against plain loops, and what is no probability."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.metrics import kl_by_pair, kl_divergence, posteriors

seeds = st.integers(0, 2**32 - 1)
conventions = st.sampled_from(["softmax", "sigmoid"])


def by_loops(p, q, convention):
    total = 0.0
    for row_p, row_q in zip(p.tolist(), q.tolist(), strict=True):
        for x, y in zip(row_p, row_q, strict=True):
            total += x * math.log(x / y)
            if convention == "sigmoid":
                total += (1 - x) * math.log((1 - x) / (1 - y))
    return total / len(p)


def test_by_hand():
    half, most = [[0.5, 0.5]], [[0.9, 0.1]]
    assert kl_divergence(half, most) == pytest.approx(math.log(0.5 / 0.3))
    assert kl_divergence(most, half) == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    # Each of the two classes by itself, and both say the same.
    assert kl_divergence(half, most, "sigmoid") == pytest.approx(2 * math.log(0.5 / 0.3))
    # The mean over captions, not the sum.
    assert kl_divergence(half * 2, most + half) == pytest.approx(math.log(0.5 / 0.3) / 2)


@given(st.integers(1, 6), st.integers(2, 8), conventions, seeds)
@settings(max_examples=60, deadline=None)
def test_against_loops_from_logits(n, classes, convention, seed):
    logits = np.random.default_rng(seed).normal(0, 4, (2, n, classes))
    p, q = posteriors(logits, convention)
    found = kl_divergence(p, q, convention)
    assert found == pytest.approx(by_loops(p, q, convention), rel=1e-9, abs=1e-12)
    assert found > 0
    assert kl_by_pair(p, q, convention).mean() == pytest.approx(found, rel=1e-12)
    assert kl_divergence(p, p, convention) == 0
    order = np.random.default_rng(seed).permutation(n)
    assert kl_divergence(p[order], q[order], convention) == pytest.approx(found, rel=1e-12)
    assert kl_divergence(np.repeat(p, 2, axis=0), np.repeat(q, 2, axis=0), convention) == pytest.approx(
        found, rel=1e-12
    )


def test_it_is_paired_by_caption():
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert kl_by_pair(p, p[::-1]).min() > 1
    assert kl_by_pair(p, p).max() == 0


def test_two_exclusive_classes_are_one_yes_or_no():
    p, q = np.array([[0.3], [0.6]]), np.array([[0.8], [0.5]])
    both = kl_divergence(np.hstack([p, 1 - p]), np.hstack([q, 1 - q]))
    assert kl_divergence(p, q, "sigmoid") == pytest.approx(both, rel=1e-12)


def test_what_one_rules_out():
    assert kl_divergence([[0.0, 1.0]], [[0.5, 0.5]]) == pytest.approx(math.log(2))
    assert kl_divergence([[0.5, 0.5]], [[0.0, 1.0]]) == math.inf
    assert kl_divergence([[0.5]], [[1.0]], "sigmoid") == math.inf
    assert kl_divergence([[0.0, 1.0]], [[0.0, 1.0]]) == 0


@given(conventions, seeds)
@settings(max_examples=30, deadline=None)
def test_posteriors_are_probabilities_of_any_logits(convention, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 300, (3, 4, 5))
    found = posteriors(logits, convention)
    assert found.shape == logits.shape and found.min() >= 0 and found.max() <= 1
    if convention == "softmax":
        assert found.sum(axis=-1) == pytest.approx(np.ones((3, 4)))
        assert posteriors(logits + 1000) == pytest.approx(found, abs=1e-9)
    else:
        assert found + posteriors(-logits, convention) == pytest.approx(np.ones((3, 4, 5)))
    assert np.array_equal(found.argmax(axis=-1), logits.argmax(axis=-1)) or convention == "sigmoid"


def test_posteriors_by_hand():
    assert posteriors([0.0, math.log(3)]) == pytest.approx([0.25, 0.75])
    assert posteriors([0.0, math.log(3)], "sigmoid") == pytest.approx([0.5, 0.75])


def test_float32_posteriors_are_taken():
    p = posteriors(np.random.default_rng(0).normal(0, 2, (4, 527))).astype(np.float32)
    assert kl_divergence(p, p) == 0


@pytest.mark.parametrize(
    ("p", "q", "convention", "says"),
    [
        ([[0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]], "softmax", "shape [1, 2] and q [2, 2]"),
        ([[3.0, -1.0]], [[0.5, 0.5]], "softmax", "p reaches from -1 to 3"),
        ([[0.5, 0.5]], [[0.5, 0.9]], "softmax", "row 0 of q sums to 1.4"),
        ([[0.5, 1.5]], [[0.5, 0.9]], "sigmoid", "p reaches from 0.5 to 1.5"),
        ([[0.5, 0.5]], [[0.5, float("nan")]], "softmax", "q holds NaN"),
        ([[0.5, 0.5]], [[0.5, 0.5]], "argmax", "'argmax' is not known"),
    ],
)
def test_what_is_no_probability_is_refused_in_one_line(p, q, convention, says):
    with pytest.raises(InputError) as caught:
        kl_divergence(p, q, convention)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    if convention == "argmax":
        with pytest.raises(InputError, match="not known"):
            posteriors(p, convention)
