"""Mel rows as heads, the layout in which same-frequency attention is plain attention, and both parts of a focus set.

Tokens run with the mel row fastest (`n = t * F + f`), so a projection `[B, N, H * D]` read as `[B, T, F * H, D]` is
already F * H heads over T tokens, without a mask and without a copy.
"""

import math

import torch
from torch import Tensor

from focuslab.attention.kernels import attention_with_lse
from focuslab.attention.keys import CrossKeys, keys_of_other_rows


def as_rows(x: Tensor, mel_rows: int) -> Tensor:
    """`[B, H, T * F, D]` -> `[B, F * H, T, D]`: a view where x is a transposed projection."""
    return x.unflatten(2, (-1, mel_rows)).permute(0, 3, 1, 2, 4).flatten(1, 2)


def from_rows(x: Tensor, mel_rows: int) -> Tensor:
    """`[B, F * H, T, D]` -> `[B, H, T * F, D]`."""
    return x.unflatten(1, (mel_rows, -1)).permute(0, 2, 3, 1, 4).flatten(2, 3)


def select(x: Tensor, index: Tensor) -> Tensor:
    """Tokens `index` of x as `[B, H, M, D]`, gathered token by token in the layout `[B, M, H, D]` of a projection."""
    return x.transpose(1, 2).index_select(1, index).transpose(1, 2)


def select_rows(x: Tensor, index: Tensor) -> Tensor:
    """Tokens `index` `[L, F]` of x, L for each mel row, as `[B, F * H, L, D]`."""
    # With the mel row fastest, the rows and heads of the result merge without another copy.
    chosen = x.transpose(1, 2).index_select(1, index.flatten())
    return chosen.unflatten(1, index.shape).flatten(2, 3).transpose(1, 2)


def partition(mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each row of a mask `[F, L]` the positions where it holds and those where it does not."""
    order = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    # One look at the counts of all rows: on a CUDA device each look waits for the stream.
    return [(row[:count], row[count:]) for row, count in zip(order, mask.sum(dim=1).tolist(), strict=True)]


def own_row_attention(q: Tensor, k: Tensor, v: Tensor, mel_rows: int, scale: float) -> tuple[Tensor, Tensor]:
    """Attention to the own mel row alone and its log-sum-exp: `[B, H, N, D]` and `[B, H, N]`, for 1/F of the pairs."""
    out, lse = attention_with_lse(*(as_rows(x, mel_rows) for x in (q, k, v)), scale=scale)
    return from_rows(out, mel_rows), from_rows(lse.unsqueeze(-1), mel_rows).squeeze(-1)


def cross_key_attention(
    q: Tensor, k: Tensor, v: Tensor, mel_rows: int, cross_keys: CrossKeys, scale: float
) -> tuple[Tensor, Tensor]:
    """Attention to the sampled keys of the other mel rows alone, and its log-sum-exp: `[B, H, N, D]` and `[B, H, N]`.

    Where no such key is, the output is 0 and the log-sum-exp -inf. A stratified sample takes one call; any other set
    one call a mel row, and waits for a CUDA device.
    """
    if cross_keys.per_row and mel_rows > 1:
        others = keys_of_other_rows(cross_keys, mel_rows)
        keys, values = select_rows(k, others), select_rows(v, others)
        out, lse = attention_with_lse(as_rows(q, mel_rows), keys, values, scale=scale)
        return from_rows(out, mel_rows), from_rows(lse.unsqueeze(-1), mel_rows).squeeze(-1)
    index = cross_keys.index
    out = torch.zeros_like(q)
    lse = q.new_full(q.shape[:3], -math.inf, dtype=torch.promote_types(q.dtype, torch.float32))
    in_other_row = index % mel_rows != torch.arange(mel_rows, device=index.device)[:, None]
    for row, (chosen, _) in enumerate(partition(in_other_row)):
        if chosen.numel():
            queries, keys, values = q[:, :, row::mel_rows], select(k, index[chosen]), select(v, index[chosen])
            out[:, :, row::mel_rows], lse[:, :, row::mel_rows] = attention_with_lse(queries, keys, values, scale=scale)
    return out, lse
