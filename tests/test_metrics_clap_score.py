"""CLAP score: cosines by hand, pairing, and rows without a direction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.metrics import clap_by_pair, clap_score


def test_by_hand():
    audio, text = [[1.0, 0.0], [3.0, 4.0]], [[1.0, 1.0], [-6.0, -8.0]]
    assert clap_by_pair(audio, text) == pytest.approx([np.sqrt(0.5), -1])
    assert clap_score(audio, text) == pytest.approx((np.sqrt(0.5) - 1) / 2)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_what_changes_the_score_and_what_does_not(n, dimension, seed):
    rng = np.random.default_rng(seed)
    audio, text = rng.standard_normal((2, n, dimension))
    score = clap_score(audio, text)
    expected = [x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(audio, text, strict=True)]
    assert score == pytest.approx(np.mean(expected), abs=1e-12)
    lengths = 10 ** rng.uniform(-100, 100, (n, 1))
    assert clap_score(audio * lengths, text / lengths) == pytest.approx(score, abs=1e-12)
    order = rng.permutation(n)
    assert clap_score(audio[order], text[order]) == pytest.approx(score, abs=1e-12)
    assert clap_score(-audio, text) == pytest.approx(-score, abs=1e-12)


def test_it_is_paired_by_caption():
    rows = np.eye(4)
    assert clap_score(rows, rows) == 1
    assert clap_score(rows, np.roll(rows, 1, axis=0)) == 0


@pytest.mark.parametrize(
    ("audio", "text", "says"),
    [
        (np.ones((3, 4)), np.ones((2, 4)), "shape [3, 4] and text [2, 4]"),
        (np.array([[1.0, 2.0], [0.0, 0.0]]), np.ones((2, 2)), "row 1 of audio is all zeros"),
        (np.ones((2, 2)), np.array([[1.0, 2.0], [np.nan, 0.0]]), "text holds NaN"),
        (np.ones((0, 2)), np.ones((0, 2)), "audio has 0 rows"),
    ],
)
def test_wrong_arrays_are_refused_in_one_line(audio, text, says):
    with pytest.raises(InputError) as caught:
        clap_score(audio, text)
    assert says in str(caught.value) and "\n" not in str(caught.value)
