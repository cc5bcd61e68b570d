"""The definition of LiteFocus, against loops over queries and keys."""

import math

import pytest
import torch

from focuslab.attention import reference_attention
from tests.brute_force import dense_attention, qkv

TIME, MEL_ROWS = 5, 3
SAMPLED = [0, 4, 5, 11]


def by_loops(q, k, v, counts):
    """`counts(i, j)`: how often key j counts for query i."""
    out = torch.zeros_like(q)
    for i in range(q.shape[0]):
        weights = [counts(i, j) * math.exp(float(q[i] @ k[j]) / math.sqrt(q.shape[1])) for j in range(len(k))]
        out[i] = sum(weight * v[j] for j, weight in enumerate(weights)) / sum(weights)
    return out


@pytest.mark.parametrize(
    "switches, counts",
    [
        ({}, lambda own, sampled: 1.0 if own or sampled else 0.0),
        ({"cross_weight": 7.5}, lambda own, sampled: 1.0 if own else 7.5 if sampled else 0.0),
        ({"overlap": "twice"}, lambda own, sampled: float(own) + float(sampled)),
        ({"same_frequency": False}, lambda own, sampled: float(sampled)),
        ({"same_frequency": False, "cross_weight": 2.0}, lambda own, sampled: (1.0 if own else 2.0) * sampled),
    ],
)
def test_each_key_counts_as_the_focus_set_says(switches, counts):
    q, k, v = (x.double() for x in qkv(TIME, MEL_ROWS, heads=1, batch=1))
    out = reference_attention(q, k, v, MEL_ROWS, cross_keys=torch.tensor(SAMPLED), **switches)
    expected = by_loops(q[0, 0], k[0, 0], v[0, 0], lambda i, j: counts(i % MEL_ROWS == j % MEL_ROWS, j in SAMPLED))
    assert (out[0, 0] - expected).abs().max() < 1e-12


def test_all_keys_are_dense_attention():
    q, k, v = (x.double() for x in qkv(TIME, MEL_ROWS))
    out = reference_attention(q, k, v, MEL_ROWS, cross_keys=torch.arange(TIME * MEL_ROWS))
    assert (out - dense_attention(q, k, v)).abs().max() < 1e-12
