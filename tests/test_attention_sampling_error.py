"""focuslab.attention.sampling_error and focuslab.analysis.key_counts: against draws, and against search."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.analysis.key_counts import keys_for, predicted_error
from focuslab.attention.reference import attention_by_counts, sampled_counts
from focuslab.attention.sampling_error import sampling_spread
from tests.brute_force import dense_attention, qkv

TIME, MEL_ROWS = 24, 3


def spread_of(q, k, v, mel_rows=MEL_ROWS):
    """Own and other, summed over queries, over the squared output."""
    p = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    out = p @ v
    rows = torch.arange(q.shape[2]) % mel_rows
    spread = sampling_spread(p, v, out, rows, mel_rows).sum(dim=(0, 1, 2)) / out.square().sum()
    return spread.tolist()


def test_the_spread_is_its_definition():
    q, k, v = (x.double() for x in qkv(5, 2, heads=1, batch=1))
    p = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    out = p @ v
    found = sampling_spread(p, v, out, torch.arange(10) % 2, 2)[0, 0]
    for query in range(10):
        x = p[0, 0, query][:, None] * (v[0, 0] - out[0, 0, query])
        by_row = [x[row::2].square().sum() - x[row::2].sum(dim=0).square().sum() / 5 for row in range(2)]
        own = query % 2
        assert found[query].tolist() == pytest.approx([by_row[own].item(), by_row[1 - own].item()])


@pytest.mark.parametrize("own, other", [(12, 8), (24, 6), (20, 20)])
def test_it_predicts_the_error_of_free_draws(own, other):
    q, k, v = (x.double() for x in qkv(TIME, MEL_ROWS, size=0.5, seed=3))
    dense = dense_attention(q, k, v)
    rows, draw = torch.arange(MEL_ROWS)[:, None], torch.Generator().manual_seed(0)
    squares = []
    for _ in range(400):
        keys = [torch.rand(MEL_ROWS, TIME, generator=draw).topk(m).indices * MEL_ROWS + rows for m in (own, other)]
        counts = sampled_counts(TIME * MEL_ROWS, MEL_ROWS, *keys)
        squares.append((attention_by_counts(q, k, v, counts) - dense).square().sum().item())
    measured = (np.mean(squares) / dense.square().sum().item()) ** 0.5
    assert predicted_error(*spread_of(q, k, v), TIME, (own, other)) == pytest.approx(measured, rel=0.1)


def test_no_error_where_all_keys_are_taken_or_keys_are_alike():
    q, k, v = (x.double() for x in qkv(TIME, MEL_ROWS))
    assert predicted_error(*spread_of(q, k, v), TIME, (TIME, 2 * TIME)) == 0
    own, other = spread_of(q, k[:, :, :1].expand_as(k), v[:, :, :1].expand_as(v))
    assert own == pytest.approx(0, abs=1e-12) and other == pytest.approx(0, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(
    own=st.floats(0, 0.1),
    other=st.floats(0, 0.1),
    time=st.integers(1, 30),
    mel_rows=st.integers(1, 8),
    error=st.sampled_from([0.02, 0.1, 0.5]),
)
def test_the_keys_for_an_error_reach_it_and_few_others_do_with_less(own, other, time, mel_rows, error):
    if mel_rows == 1:
        other = 0.0
    keys = keys_for(own, other, time, mel_rows, error)

    def pairs(counts):
        return counts[0] + (mel_rows - 1) * counts[1]

    assert predicted_error(own, other, time, keys) <= error * (1 + 1e-9)
    everything = itertools.product(range(1, time + 1), repeat=2)
    least = min(pairs(c) for c in everything if predicted_error(own, other, time, c) <= error)
    # Both numbers are rounded up.
    assert pairs(keys) <= least + mel_rows
