"""Attention to a fixed number of sampled keys of every mel row: linear in the length of the sound.

LiteFocus keeps a query's own mel row whole, so that its work grows with the square of the length. Here the own row is
sampled too. Each key is weighted by the number of keys that it stands for, which makes numerator and denominator of the
softmax unbiased (importance sampling within strata, the strata being mel rows). The error follows the number of keys,
hardly the length.

Mel rows are heads, as in `focuslab.attention.litefocus`: one fused call over gathered keys.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.kernels import attention_with_lse, check_qkv
from focuslab.attention.keys import rows_but_own
from focuslab.attention.litefocus import merge_by_lse, merges_calls
from focuslab.attention.rows import as_rows, from_rows, select_rows
from focuslab.errors import InputError


@dataclass(frozen=True)
class SampledKeys:
    """Which keys the queries of each mel row attend to.

    `index` is a LongTensor `[own + (F - 1) * other, F]` of token indices: for each mel row `own` keys of its own, then
    `other` keys of each other row.
    """

    index: Tensor
    own: int
    other: int

    @classmethod
    def of_rows(cls, own_keys: Tensor, other_keys: Tensor) -> "SampledKeys":
        """From the keys of each row, `[F, own]` for its own queries and `[F, other]` for those of other rows."""
        rows_of_others = rows_but_own(own_keys.shape[0], own_keys.device)
        index = torch.cat([own_keys, other_keys[rows_of_others].flatten(1)], dim=1)
        return cls(index.t().contiguous(), own_keys.shape[1], other_keys.shape[1])


def sample_times(grid: Grid, count: int, generator: torch.Generator) -> Tensor:
    """Time steps `[F, min(count, T)]` for each mel row, one from each of `count` equal stretches, drawn on the CPU.

    Each time step is expected count / T times, also where T is no multiple of `count`: a stretch ends within a step,
    which its neighbour may draw too. All of them where `count` is at least T.
    """
    if count >= grid.time:
        return torch.arange(grid.time, device="cpu").expand(grid.mel_rows, -1)
    places = torch.rand(grid.mel_rows, count, generator=generator, dtype=torch.float64, device="cpu")
    places += torch.arange(count, dtype=torch.float64, device="cpu")
    # Rounding could end at T itself.
    return (places * (grid.time / count)).long().clamp_(max=grid.time - 1)


def sample_keys(grid: Grid, own: int, other: int, generator: torch.Generator) -> SampledKeys:
    """Sample `own` keys of each mel row for its own queries and `other` for those of other rows, on the CPU."""
    rows = torch.arange(grid.mel_rows, device="cpu")[:, None]
    own_keys, other_keys = (sample_times(grid, count, generator) * grid.mel_rows + rows for count in (own, other))
    return SampledKeys.of_rows(own_keys, other_keys)


def sampled_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mel_rows: int,
    *,
    own_keys: Tensor,
    other_keys: Tensor,
    scale: float | None = None,
) -> Tensor:
    """Attention of every query to keys sampled of its own mel row and of each other row. Differentiable.

    A key of the own row counts T / own times and one of another row T / other times, as many keys as it stands for.

    Parameters
    ----------
    q, k, v
        `[B, H, N, D]` with N = T * mel_rows.
    mel_rows
        F; token `n = t * F + f`.
    own_keys
        LongTensor `[F, own]` of token indices: keys of each mel row for its own queries. One that is repeated counts
        as often.
    other_keys
        LongTensor `[F, other]` of token indices: keys of each mel row for the queries of all other rows.
    scale
        Factor on the scores, 1/sqrt(D) by default.

    Returns
    -------
    Tensor
        `[B, H, N, D]` in the dtype of q.

    Raises
    ------
    InputError
        For shapes, dtypes, devices or token indices that do not fit. Reading the indices waits for a CUDA device.

    References
    ----------
    Self-normalised importance sampling of softmax attention: HyperAttention, arXiv:2310.05869, and vAttention,
    arXiv:2510.05688, which keep their heavy keys whole. Mel rows as strata are LiteFocus' own rows, arXiv:2407.10468.
    """
    check_qkv(q, k, v)
    grid = Grid.of_tokens(q.shape[2], mel_rows)
    for name, keys in (("own_keys", own_keys), ("other_keys", other_keys)):
        _check_keys(name, keys, grid)
    keys = SampledKeys.of_rows(own_keys.to(q.device), other_keys.to(q.device))
    return attention_to_keys(q, k, v, mel_rows, keys, scale)


def attention_to_keys(
    q: Tensor, k: Tensor, v: Tensor, mel_rows: int, keys: SampledKeys, scale: float | None = None
) -> Tensor:
    """`sampled_attention` with keys that are known to fit, which does not wait for the device."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    # Only the ratio of the two weights, T / own and T / other, matters.
    weight = keys.own / keys.other if mel_rows > 1 else 1.0
    query_rows = as_rows(q, mel_rows)
    key_rows, value_rows = (select_rows(x, keys.index) for x in (k, v))
    if weight != 1 and merges_calls(q, k, v):
        return from_rows(_two_calls(query_rows, key_rows, value_rows, keys.own, weight, scale), mel_rows)
    bias = None
    if weight != 1:
        bias = q.new_full((keys.index.shape[0] - keys.own,), math.log(weight))
        bias = F.pad(bias, (keys.own, 0)).expand(1, 1, 1, -1)
    out = F.scaled_dot_product_attention(query_rows, key_rows, value_rows, attn_mask=bias, scale=scale)
    return from_rows(out, mel_rows)


def _two_calls(q: Tensor, k: Tensor, v: Tensor, own: int, weight: float, scale: float) -> Tensor:
    parts = ((k[:, :, :own], v[:, :, :own]), (k[:, :, own:], v[:, :, own:]))
    (own_out, own_lse), (other_out, other_lse) = (attention_with_lse(q, *part, scale=scale) for part in parts)
    return merge_by_lse(own_out, own_lse, other_out, other_lse, weight)


def _check_keys(name: str, keys: Tensor, grid: Grid) -> None:
    if keys.dtype != torch.long or keys.ndim != 2 or keys.shape[0] != grid.mel_rows or not keys.shape[1]:
        raise InputError(
            f"{name} must be a LongTensor [{grid.mel_rows}, m] of token indices, m for each mel row, not "
            f"{keys.dtype} {list(keys.shape)}"
        )
    low, high = keys.min().item(), keys.max().item()
    if low < 0 or high >= grid.tokens:
        raise InputError(f"{name} must lie in 0..{grid.tokens - 1}, but reach from {low} to {high}")
