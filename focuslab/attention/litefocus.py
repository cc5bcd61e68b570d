"""LiteFocus attention as fused calls: the same as `reference_attention`, without the N x N map.

Why it is the same:

* Tokens run with the mel row fastest, so mel rows are heads (`rows`): attention to the own mel row is dense attention
  of F * H heads over T tokens.
* A stratified sample has the same number of keys from every row. Each row then sees T + (F - 1) * m keys, those of its
  own and the sampled ones of the others, and no key twice: one plain fused call.
* A factor w on exp(score) is log w on the score: a bias on the sampled keys, or, where a bias would rule out the fast
  kernel, two calls merged by their log-sum-exps (`merge_by_lse`).
* Any other sample has a key twice where it lies in the query's own row. A bias of -inf takes the second one out.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.kernels import check_qkv, lse_kernel
from focuslab.attention.keys import CrossKeys, keys_of_other_rows
from focuslab.attention.rows import as_rows, cross_key_attention, from_rows, own_row_attention, select, select_rows
from focuslab.errors import InputError

OVERLAPS = ("once", "twice")

BIAS_ALIGNMENT = 16
"""CUDA's memory-efficient kernel copies a bias whose rows are no multiple of this, expanded to its full size."""


def litefocus_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mel_rows: int,
    *,
    same_frequency: bool = True,
    cross_keys: Tensor | CrossKeys | None = None,
    overlap: str = "once",
    cross_weight: float = 1.0,
    scale: float | None = None,
) -> Tensor:
    """Attention of every query to its focus set: its own mel row (S) and the sampled keys (C). Differentiable.

    Parameters
    ----------
    q, k, v
        `[B, H, N, D]` with N = T * mel_rows.
    mel_rows
        F; token `n = t * F + f`.
    same_frequency
        Whether S belongs to the focus set. False is Table 2 of the paper.
    cross_keys
        C, a 1-D LongTensor of token indices (any set; a repeated index counts once), or a `CrossKeys`, which spares the
        look at its values. None or empty is Table 3 of the paper.
    overlap
        "once" is the union of Eq. 4. With "twice" a key in both S and C counts twice, as in the authors' code.
    cross_weight
        Factor on exp(score) of the keys of C outside the query's own row. 1 is the paper; 1/r makes C an
        importance-sampled estimate of all other rows. Not defined for overlap="twice".
    scale
        Factor on the scores, 1/sqrt(D) by default.

    Returns
    -------
    Tensor
        `[B, H, N, D]` in the dtype of q.

    Raises
    ------
    InputError
        For shapes, dtypes, devices or values that do not fit.

    References
    ----------
    Tan et al. 2024, "LiteFocus: Accelerated Diffusion Inference for Long Audio Synthesis", arXiv:2407.10468.
    """
    check_qkv(q, k, v)
    grid = Grid.of_tokens(q.shape[2], mel_rows)
    if overlap not in OVERLAPS:
        raise InputError(f"overlap must be one of {', '.join(OVERLAPS)}, not {overlap!r}")
    if not (cross_weight > 0 and math.isfinite(cross_weight)):
        raise InputError(f"cross_weight must be a positive number, not {cross_weight!r}")
    if overlap == "twice" and cross_weight != 1:
        raise InputError("overlap='twice' is the published code, which has no cross_weight: leave it at 1.0")
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if cross_keys is not None and not isinstance(cross_keys, CrossKeys):
        cross_keys = CrossKeys.from_index(cross_keys.to(q.device), grid)

    if cross_keys is None or not cross_keys.index.numel():
        if not same_frequency:
            raise InputError("the focus set is empty: same_frequency is False and there are no cross_keys")
        query_rows, key_rows, value_rows = (as_rows(x, mel_rows) for x in (q, k, v))
        return from_rows(F.scaled_dot_product_attention(query_rows, key_rows, value_rows, scale=scale), mel_rows)
    if not same_frequency and cross_weight == 1:
        keys, values = (select(x, cross_keys.index) for x in (k, v))
        return F.scaled_dot_product_attention(q, keys, values, scale=scale)
    if same_frequency and overlap == "once" and cross_keys.per_row is not None:
        if cross_weight != 1 and _merges_calls(q, k, v):
            return _two_calls(q, k, v, grid, cross_keys, cross_weight, scale)
        return _one_call(q, k, v, grid, cross_keys, cross_weight, scale)
    index = cross_keys.index
    bias = _bias_of_rows(q, grid, index, same_frequency, cross_weight) if overlap == "once" else None
    return _biased_call(q, k, v, mel_rows, index, same_frequency, bias, scale)


def _merges_calls(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether a weight is applied by merging two calls rather than by a bias in one.

    On CUDA a bias rules out the flash kernel. On the CPU it was measured to cost less than a second call. The fused
    kernels give no gradient through the log-sum-exp that the merge needs.
    """
    differentiated = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    return q.is_cuda and not differentiated and lse_kernel(q.device.type, q.dtype, q.shape[-1]) is not None


def _one_call(q, k, v, grid: Grid, cross_keys: CrossKeys, cross_weight: float, scale: float) -> Tensor:
    index = keys_of_other_rows(cross_keys, grid.mel_rows)
    # Contiguous keys: the kernel reads them once for each block of queries.
    keys, values = (torch.cat([as_rows(x, grid.mel_rows), select_rows(x, index)], dim=2) for x in (k, v))
    bias = None
    if cross_weight != 1:
        bias = q.new_full((index.shape[0],), math.log(cross_weight))
        bias = F.pad(bias, (grid.time, 0)).expand(1, 1, 1, -1)
    out = F.scaled_dot_product_attention(as_rows(q, grid.mel_rows), keys, values, attn_mask=bias, scale=scale)
    return from_rows(out, grid.mel_rows)


def _two_calls(q, k, v, grid: Grid, cross_keys: CrossKeys, cross_weight: float, scale: float) -> Tensor:
    """Own row and sampled keys apart, merged by their log-sum-exps: softmax([s_own, s_cross + log w]) without a
    mask."""
    own, own_lse = own_row_attention(q, k, v, grid.mel_rows, scale)
    cross, cross_lse = cross_key_attention(q, k, v, grid.mel_rows, cross_keys, scale)
    return merge_by_lse(own, own_lse, cross, cross_lse, cross_weight)


def merge_by_lse(own: Tensor, own_lse: Tensor, cross: Tensor, cross_lse: Tensor, cross_weight: float = 1.0) -> Tensor:
    """Attention `[B, H, N, D]` to two disjoint sets of keys from that to each, with log-sum-exps `[B, H, N]`; the
    probabilities of the second are multiplied by `cross_weight` before both are normalised."""
    cross_share = torch.sigmoid(cross_lse + math.log(cross_weight) - own_lse).to(own.dtype)
    return torch.lerp(own, cross, cross_share.unsqueeze(-1))


def _biased_call(q, k, v, mel_rows: int, index: Tensor, own_row: bool, bias: Tensor | None, scale: float) -> Tensor:
    """Any set C of keys: one fused call over [own row, C], or over C alone, with a bias `[F, L]` for each mel row."""
    heads, padding = q.shape[1], 0
    if bias is not None:
        padding = -bias.shape[-1] % BIAS_ALIGNMENT
        bias = F.pad(bias, (0, padding), value=-math.inf).repeat_interleave(heads, dim=0)[None, :, None, :]

    def keys_of_rows(x: Tensor) -> Tensor:
        sampled = F.pad(select(x, index), (0, 0, 0, padding)).repeat(1, mel_rows, 1, 1)
        return torch.cat([as_rows(x, mel_rows), sampled], dim=2) if own_row else sampled

    out = F.scaled_dot_product_attention(
        as_rows(q, mel_rows), keys_of_rows(k), keys_of_rows(v), attn_mask=bias, scale=scale
    )
    return from_rows(out, mel_rows)


def _bias_of_rows(like: Tensor, grid: Grid, index: Tensor, own_row: bool, cross_weight: float) -> Tensor:
    """`[F, L]`: log w on keys of C outside each mel row. Where the row is attended to, its own keys in C get -inf."""
    in_own_row = index % grid.mel_rows == torch.arange(grid.mel_rows, device=index.device)[:, None]
    bias = torch.full(in_own_row.shape, math.log(cross_weight), dtype=like.dtype, device=like.device)
    bias.masked_fill_(in_own_row, -math.inf if own_row else 0.0)
    return F.pad(bias, (grid.time * own_row, 0))
