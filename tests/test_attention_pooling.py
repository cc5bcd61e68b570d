"""focuslab.attention.pooling: against its definition, one query at a time, and its ends."""

import pytest
import torch

from focuslab.attention import litefocus_attention, pooled_attention
from focuslab.attention.grid import Grid
from focuslab.attention.pooling import stretch_sizes
from focuslab.errors import InputError
from tests.brute_force import dense_attention, qkv


def by_definition(q, k, v, mel_rows, stretch):
    """Float64, query by query: its own row as it is, every stretch of another row as one key of the stretch's size."""
    q, k, v = (x.double() for x in (q, k, v))
    out = torch.empty_like(q)
    for n in range(q.shape[2]):
        keys, values, weights = [], [], []
        for row in range(mel_rows):
            size = 1 if row == n % mel_rows else stretch
            for part_k, part_v in zip(
                k[:, :, row::mel_rows].split(size, dim=2), v[:, :, row::mel_rows].split(size, dim=2), strict=True
            ):
                keys.append(part_k.mean(dim=2))
                values.append(part_v.mean(dim=2))
                weights.append(part_k.shape[2])
        scores = torch.einsum("bhd,bhmd->bhm", q[:, :, n], torch.stack(keys, dim=2)) * q.shape[-1] ** -0.5
        shares = (scores + torch.tensor(weights).double().log()).softmax(dim=-1)
        out[:, :, n] = torch.einsum("bhm,bhmd->bhd", shares, torch.stack(values, dim=2))
    return out


@pytest.mark.parametrize("time, mel_rows", [(12, 4), (7, 8), (1, 2), (9, 1)])
@pytest.mark.parametrize("stretch", [1, 3, 4, 50])
def test_it_is_what_it_says(time, mel_rows, stretch):
    q, k, v = qkv(time, mel_rows)
    assert (pooled_attention(q, k, v, mel_rows, stretch) - by_definition(q, k, v, mel_rows, stretch)).abs().max() < 1e-5


def test_stretches_of_one_are_dense_and_equal_keys_lose_nothing():
    q, k, v = qkv(10, 4)
    assert (pooled_attention(q, k, v, 4, 1) - dense_attention(q, k, v)).abs().max() < 1e-5
    alike = [x.unflatten(2, (10, 4))[:, :, ::5].repeat_interleave(5, dim=2).flatten(2, 3) for x in (k, v)]
    assert (pooled_attention(q, *alike, 4, 5) - dense_attention(q, *alike)).abs().max() < 1e-5


def test_one_mel_row_is_dense_and_the_last_stretch_may_be_short():
    q, k, v = qkv(9, 1)
    assert (pooled_attention(q, k, v, 1, 4) - litefocus_attention(q, k, v, 1)).abs().max() < 1e-6
    assert stretch_sizes(Grid(11, 2), 4, q).tolist() == [4, 4, 3]


def test_it_is_differentiable_and_takes_a_scale():
    q, k, v = (x.clone().requires_grad_() for x in qkv(6, 2))
    pooled_attention(q, k, v, 2, 3).sum().backward()
    assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in (q, k, v))
    scale = q.shape[-1] ** -0.5
    assert torch.allclose(pooled_attention(q, k, v, 2, 3, scale=2 * scale), pooled_attention(2 * q, k, v, 2, 3))


@pytest.mark.parametrize("stretch", [0, -1, 1.5, True])
def test_a_stretch_is_a_whole_number(stretch):
    with pytest.raises(InputError, match="stretch must be a whole number"):
        pooled_attention(*qkv(4, 2), 2, stretch)


def test_shapes_are_checked():
    q, k, v = qkv(4, 2)
    with pytest.raises(InputError):
        pooled_attention(q, k, v, 3, 2)


@pytest.mark.parametrize("stretch", [10**4, 10**30])
def test_a_stretch_longer_than_the_row_is_the_row(stretch):
    q, k, v = (torch.randn(1, 2, 12, 8) for _ in range(3))
    assert torch.equal(pooled_attention(q, k, v, 4, stretch), pooled_attention(q, k, v, 4, 3))
