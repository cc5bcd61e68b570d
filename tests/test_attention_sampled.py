"""focuslab.attention.sampled: against its definition, and the law by which keys are sampled."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.attention import sampled, sampled_attention
from focuslab.attention.grid import Grid
from focuslab.attention.reference import attention_by_counts, sampled_counts
from focuslab.attention.sampled import SampledKeys, attention_to_keys, sample_keys, sample_times
from focuslab.errors import InputError
from tests.brute_force import dense_attention, qkv


def generator(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def keys_of(grid, own, other, seed=0):
    """Token indices `[F, own]` and `[F, other]`."""
    rows = torch.arange(grid.mel_rows)[:, None]
    draw = generator(seed)
    return tuple(sample_times(grid, count, draw) * grid.mel_rows + rows for count in (own, other))


def by_definition(q, k, v, mel_rows, own_keys, other_keys, scale=None):
    counts = sampled_counts(q.shape[2], mel_rows, own_keys, other_keys)
    return attention_by_counts(q.double(), k.double(), v.double(), counts, scale)


@settings(max_examples=60, deadline=None)
@given(
    time=st.integers(1, 23),
    mel_rows=st.integers(1, 5),
    own=st.integers(1, 30),
    other=st.integers(1, 30),
    size=st.sampled_from([0.1, 1.0, 6.0]),
    seed=st.integers(0, 99),
)
def test_it_is_its_definition(time, mel_rows, own, other, size, seed):
    q, k, v = qkv(time, mel_rows, size=size, seed=seed)
    own_keys, other_keys = keys_of(Grid(time, mel_rows), own, other, seed)
    out = sampled_attention(q, k, v, mel_rows, own_keys=own_keys, other_keys=other_keys)
    assert (out - by_definition(q, k, v, mel_rows, own_keys, other_keys)).abs().max() < 1e-5


def test_the_definition_counts_each_key_as_often_as_it_says():
    own_keys, other_keys = torch.tensor([[0, 4, 4], [1, 3, 5]]), torch.tensor([[2, 0], [5, 5]])
    counts = sampled_counts(6, 2, own_keys, other_keys)
    # Row 0: a third of three time steps each; of row 1 key 5 twice, at one and a half.
    assert counts[0].tolist() == counts[2].tolist() == [1, 0, 0, 0, 2, 3]
    assert counts[1].tolist() == [1.5, 1, 1.5, 1, 0, 1]


@pytest.mark.parametrize("own, other", [(3, 3), (5, 2), (1, 4)])
def test_two_calls_give_what_one_gives(monkeypatch, own, other):
    q, k, v = qkv(11, 3)
    keys = sample_keys(Grid(11, 3), own, other, generator())
    one = attention_to_keys(q, k, v, 3, keys)
    monkeypatch.setattr(sampled, "merges_calls", lambda *_: True)
    assert (attention_to_keys(q, k, v, 3, keys) - one).abs().max() < 1e-6


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 3e-2), (torch.float16, 4e-3)])
def test_half_precision_has_its_own_tolerance(dtype, tolerance):
    q, k, v = qkv(31, 4, dtype=dtype)
    own_keys, other_keys = keys_of(Grid(31, 4), 10, 3)
    out = sampled_attention(q, k, v, 4, own_keys=own_keys, other_keys=other_keys)
    assert out.dtype == dtype
    assert (out - by_definition(q, k, v, 4, own_keys, other_keys)).abs().max() < tolerance


def test_whole_rows_are_dense_attention_and_so_is_one_row():
    q, k, v = qkv(9, 3)
    own_keys, other_keys = keys_of(Grid(9, 3), 9, 50)
    out = sampled_attention(q, k, v, 3, own_keys=own_keys, other_keys=other_keys)
    assert (out - dense_attention(q, k, v)).abs().max() < 1e-5
    q, k, v = qkv(9, 1)
    own_keys, other_keys = keys_of(Grid(9, 1), 9, 2)
    assert (
        sampled_attention(q, k, v, 1, own_keys=own_keys, other_keys=other_keys) - dense_attention(q, k, v)
    ).abs().max() < 1e-5


def test_it_is_differentiable_and_takes_a_scale():
    q, k, v = (x.clone().requires_grad_() for x in qkv(8, 2))
    own_keys, other_keys = keys_of(Grid(8, 2), 4, 2)
    sampled_attention(q, k, v, 2, own_keys=own_keys, other_keys=other_keys).sum().backward()
    assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in (q, k, v))
    q, k, v = qkv(8, 2)
    out = sampled_attention(q, k, v, 2, own_keys=own_keys, other_keys=other_keys, scale=0.7)
    assert (out - by_definition(q, k, v, 2, own_keys, other_keys, scale=0.7)).abs().max() < 1e-5


@pytest.mark.parametrize("time, count", [(12, 5), (12, 11), (7, 2), (30, 1)])
def test_each_time_step_is_expected_as_often_as_any_other(time, count):
    draws = torch.stack([sample_times(Grid(time, 2), count, generator(seed)) for seed in range(4000)])
    assert draws.shape == (4000, 2, count)
    share = draws.flatten().bincount(minlength=time) / (4000 * 2)
    # Five standard deviations of a share of 8,000 draws.
    expected = count / time
    assert (share - expected).abs().max() < 5 * (expected / 8000) ** 0.5


def test_every_stretch_has_one_time_step_and_a_whole_row_each_of_its_own():
    times = sample_times(Grid(40, 3), 8, generator())
    assert (times // 5).tolist() == [list(range(8))] * 3
    assert sample_times(Grid(4, 2), 9, generator()).tolist() == [[0, 1, 2, 3]] * 2


def test_over_draws_pairs_count_once_and_the_output_is_dense():
    grid = Grid(16, 3)
    q, k, v = (x.double() for x in qkv(grid.time, grid.mel_rows, heads=1, batch=1))
    counts = torch.stack([sampled_counts(48, 3, *keys_of(grid, 6, 4, seed)) for seed in range(3000)])
    assert (counts.mean(dim=0) - 1).abs().max() < 0.15
    dense = dense_attention(q, k, v)
    mean = torch.stack([attention_by_counts(q, k, v, c) for c in counts[:1000]]).mean(dim=0)
    one = attention_by_counts(q, k, v, counts[0])
    assert (mean - dense).norm() < 0.25 * (one - dense).norm()


def test_keys_of_rows_are_laid_out_by_query_row():
    keys = SampledKeys.of_rows(torch.tensor([[0, 2], [1, 3]]), torch.tensor([[4], [5]]))
    assert keys.index.tolist() == [[0, 1], [2, 3], [5, 4]]
    assert (keys.own, keys.other) == (2, 1)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"own_keys": torch.zeros(3, 2, dtype=torch.long)}, r"own_keys must be a LongTensor \[2, m\]"),
        ({"other_keys": torch.zeros(2, 2)}, "other_keys must be a LongTensor"),
        ({"other_keys": torch.zeros(2, 0, dtype=torch.long)}, "other_keys must be a LongTensor"),
        ({"own_keys": torch.full((2, 1), 8)}, r"own_keys must lie in 0\.\.7, but reach from 8 to 8"),
    ],
)
def test_keys_that_do_not_fit_are_refused(wrong, says):
    own_keys, other_keys = keys_of(Grid(4, 2), 2, 1)
    with pytest.raises(InputError, match=says):
        sampled_attention(*qkv(4, 2), 2, **{"own_keys": own_keys, "other_keys": other_keys, **wrong})
    with pytest.raises(InputError):
        sampled_attention(*qkv(4, 2), 3, own_keys=own_keys, other_keys=other_keys)
