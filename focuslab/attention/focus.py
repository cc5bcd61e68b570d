"""LiteFocus attention (Tan et al. 2024, arXiv:2407.10468): a query sees its own mel row and a few keys of the others.

Tokens run with the mel row fastest (`n = t * F + f`), so a projection `[B, N, H * D]` read as `[B, T, F * H, D]` is
already F * H heads over T tokens: same-frequency attention is plain attention with frequency as a head, without a
mask and without a copy. Drawing the same number of keys from every row keeps that form for the cross-frequency part.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from focuslab.attention.sdpa import attention_with_lse, check_qkv, lse_kernel
from focuslab.errors import InputError
from focuslab.grid import Grid

SAMPLINGS = ("stratified", "uniform")
OVERLAPS = ("once", "twice")

BIAS_ALIGNMENT = 16
"""CUDA's memory-efficient kernel copies a bias whose rows are no multiple of this, expanded to its full size."""


@dataclass(frozen=True)
class CrossKeys:
    """The set C of keys drawn for cross-frequency compensation.

    `index` is a LongTensor `[M]` of distinct token indices. `per_row` is m where `index.view(F, m)` holds m keys of
    mel row f in its row f (a stratified draw), which needs no mask, and None for any other set.
    """

    index: Tensor
    per_row: int | None = None

    @classmethod
    def from_index(cls, index: Tensor, grid: Grid) -> "CrossKeys":
        """Any set of token indices, repeated ones counted once. Reads the values, so it waits for a CUDA device."""
        if index.ndim != 1 or index.dtype != torch.long:
            raise InputError(
                f"cross_keys must be a 1-D LongTensor of token indices, not {index.dtype} {list(index.shape)}"
            )
        if not index.numel():
            return cls(index, 0)
        low, high = index.min().item(), index.max().item()
        if low < 0 or high >= grid.tokens:
            raise InputError(f"cross_keys must lie in 0..{grid.tokens - 1}, but reach from {low} to {high}")
        index = index.unique()
        rows = index % grid.mel_rows
        counts = rows.bincount(minlength=grid.mel_rows)
        if (counts == counts[0]).all().item():
            return cls(index[rows.argsort(stable=True)], int(counts[0]))
        return cls(index)


def cross_key_count(grid: Grid, fraction: float, sampling: str) -> int:
    """How many keys a draw takes: `floor(r * N)` if uniform (Eq. 6), `F * round(r * T)` if stratified."""
    if sampling == "uniform":
        # A product such as 0.29 * 100 falls short of its integer by rounding.
        return math.floor(fraction * grid.tokens + 1e-9)
    return grid.mel_rows * round(fraction * grid.time)


def draw_cross_keys(
    grid: Grid, count: int, sampling: str, generator: torch.Generator, device: torch.device | str = "cpu"
) -> CrossKeys:
    """Draw `count` of the N keys without replacement: from all of them, or equally from every mel row.

    The draw is made on the CPU, so that one seed gives the same keys on every device.
    """
    if sampling == "uniform":
        index, per_row = torch.randperm(grid.tokens, generator=generator)[:count], None
    else:
        per_row = count // grid.mel_rows
        time = torch.rand(grid.mel_rows, grid.time, generator=generator).topk(per_row, dim=1).indices
        index = (time * grid.mel_rows + torch.arange(grid.mel_rows)[:, None]).flatten()
    if torch.device(device).type == "cuda":
        # From pageable memory the copy would make the host wait for the stream.
        index = index.pin_memory()
    return CrossKeys(index.to(device, non_blocking=True), per_row)


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
    """Attention of every query to its focus set: its own mel row (S) and the drawn keys (C), Eq. 1 to 5.

    q, k, v are `[B, H, N, D]` with N = T * mel_rows; returns `[B, H, N, D]` in their dtype.

    * same_frequency: whether S belongs to the focus set (False is Table 2 of the paper).
    * cross_keys: C, a 1-D LongTensor of token indices (any set; a repeated index counts once), or a `CrossKeys`,
      which spares the look at its values; None or empty is Table 3.
    * overlap: "once" is the union of Eq. 4. With "twice" a key in both S and C counts twice, as in the authors' code.
    * cross_weight: factor on exp(score) of the keys of C outside the query's own row; 1 is the paper, 1/r makes C an
      importance-sampled estimate of all other rows. Not defined for overlap="twice".
    * scale: factor on the scores, 1/sqrt(D) by default.

    Raises `InputError` on shapes, dtypes, devices or values that do not fit. Differentiable.
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
        rows = (_as_rows(x, mel_rows) for x in (q, k, v))
        return _from_rows(F.scaled_dot_product_attention(*rows, scale=scale), mel_rows)
    if not same_frequency and cross_weight == 1:
        drawn = (_select(x, cross_keys.index) for x in (k, v))
        return F.scaled_dot_product_attention(q, *drawn, scale=scale)
    if same_frequency and overlap == "once" and cross_keys.per_row is not None:
        if cross_weight != 1 and _merges_calls(q, k, v):
            return _two_calls(q, k, v, grid, cross_keys, cross_weight, scale)
        return _one_call(q, k, v, grid, cross_keys, cross_weight, scale)
    return _biased_call(q, k, v, grid, same_frequency, cross_keys, overlap, cross_weight, scale)


def _as_rows(x: Tensor, mel_rows: int) -> Tensor:
    """`[B, H, T * F, D]` -> `[B, F * H, T, D]`: a view where x is a transposed projection."""
    return x.unflatten(2, (-1, mel_rows)).permute(0, 3, 1, 2, 4).flatten(1, 2)


def _from_rows(x: Tensor, mel_rows: int) -> Tensor:
    """`[B, F * H, T, D]` -> `[B, H, T * F, D]`."""
    return x.unflatten(1, (mel_rows, -1)).permute(0, 2, 3, 1, 4).flatten(2, 3)


def _select(x: Tensor, index: Tensor) -> Tensor:
    """Tokens `index` of x as `[B, H, M, D]`, gathered token by token in the layout `[B, M, H, D]` of a projection."""
    return x.transpose(1, 2).index_select(1, index).transpose(1, 2)


def _select_rows(x: Tensor, index: Tensor) -> Tensor:
    """Tokens `index` `[F, L]` of x, L for each mel row, as `[B, F * H, L, D]`."""
    # Gathered with the mel row fastest, so that the rows and heads of the result merge without another copy.
    chosen = x.transpose(1, 2).index_select(1, index.t().flatten())
    return chosen.unflatten(1, index.shape[::-1]).flatten(2, 3).transpose(1, 2)


def _keys_of_other_rows(cross_keys: CrossKeys, mel_rows: int) -> Tensor:
    """For each mel row the drawn keys of all the others, as token indices `[F, (F - 1) * m]`."""
    rows = torch.arange(mel_rows, device=cross_keys.index.device)
    others = (rows[:, None] + rows[None, 1:]) % mel_rows
    return cross_keys.index.view(mel_rows, -1)[others].flatten(1)


def _merges_calls(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether a weight is applied by merging two calls rather than by a bias in one.

    On CUDA a bias rules out the flash kernel. On the CPU it was measured to cost less than a second call. The fused
    kernels give no gradient through the log-sum-exp that the merge needs.
    """
    differentiated = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    return q.is_cuda and not differentiated and lse_kernel(q.device.type, q.dtype, q.shape[-1]) is not None


def _one_call(q, k, v, grid: Grid, cross_keys: CrossKeys, cross_weight: float, scale: float) -> Tensor:
    index = _keys_of_other_rows(cross_keys, grid.mel_rows)
    # Contiguous keys: the kernel reads them once for each block of queries.
    keys, values = (torch.cat([_as_rows(x, grid.mel_rows), _select_rows(x, index)], dim=2) for x in (k, v))
    bias = None
    if cross_weight != 1:
        bias = q.new_full((index.shape[1],), math.log(cross_weight))
        bias = F.pad(bias, (grid.time, 0)).expand(1, 1, 1, -1)
    out = F.scaled_dot_product_attention(_as_rows(q, grid.mel_rows), keys, values, attn_mask=bias, scale=scale)
    return _from_rows(out, grid.mel_rows)


def _two_calls(q, k, v, grid: Grid, cross_keys: CrossKeys, cross_weight: float, scale: float) -> Tensor:
    """Own row and drawn keys apart, merged by their log-sum-exps: softmax([s_own, s_drawn + log w]) without a mask."""
    own_q, own_k, own_v = (_as_rows(x, grid.mel_rows) for x in (q, k, v))
    index = _keys_of_other_rows(cross_keys, grid.mel_rows)
    if not index.numel():
        return _from_rows(F.scaled_dot_product_attention(own_q, own_k, own_v, scale=scale), grid.mel_rows)
    own, own_lse = attention_with_lse(own_q, own_k, own_v, scale=scale)
    drawn, drawn_lse = attention_with_lse(own_q, _select_rows(k, index), _select_rows(v, index), scale=scale)
    drawn_share = torch.sigmoid(drawn_lse + math.log(cross_weight) - own_lse).to(q.dtype)
    return _from_rows(torch.lerp(own, drawn, drawn_share[..., None]), grid.mel_rows)


def _biased_call(
    q, k, v, grid: Grid, same_frequency: bool, cross_keys: CrossKeys, overlap: str, cross_weight: float, scale: float
) -> Tensor:
    """Any set C: one fused call over [own row, C], with a bias per mel row where C needs one."""
    heads, mel_rows = q.shape[1], grid.mel_rows
    index = cross_keys.index
    # [F, M]: whether a drawn key lies in the query's own row.
    in_own_row = (index % mel_rows)[None, :] == torch.arange(mel_rows, device=q.device)[:, None]
    bias = torch.full(in_own_row.shape, math.log(cross_weight), dtype=q.dtype, device=q.device)
    bias.masked_fill_(in_own_row, -math.inf if same_frequency and overlap == "once" else 0.0)
    blocks_k, blocks_v = [_select(k, index).repeat(1, mel_rows, 1, 1)], [_select(v, index).repeat(1, mel_rows, 1, 1)]
    if same_frequency:
        blocks_k.insert(0, _as_rows(k, mel_rows))
        blocks_v.insert(0, _as_rows(v, mel_rows))
        bias = F.pad(bias, (grid.time, 0))
    if overlap == "twice" or (not same_frequency and cross_weight == 1):
        bias = None
    else:
        padding = -bias.shape[-1] % BIAS_ALIGNMENT
        bias = F.pad(bias, (0, padding), value=-math.inf).repeat_interleave(heads, dim=0)[None, :, None, :]
        for blocks in (blocks_k, blocks_v):
            blocks.append(blocks[0].new_zeros(*blocks[0].shape[:2], padding, blocks[0].shape[-1]))
    keys, values = torch.cat(blocks_k, dim=2), torch.cat(blocks_v, dim=2)
    out = F.scaled_dot_product_attention(_as_rows(q, mel_rows), keys, values, attn_mask=bias, scale=scale)
    return _from_rows(out, mel_rows)
