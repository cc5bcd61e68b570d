"""How far attention to sampled keys lies from dense attention, known from dense attention alone.

With `x_j = p_j (v_j - o)`, o the dense output of a query, the error of `sampled_attention` is to first order

    sum over rows s of T / m_s * (sum of x_j over the m_s sampled keys of s)

since all x_j add up to 0. Sampling m of the T keys of a row without replacement, its expected square is

    T (T - m) / (m (T - 1)) * spread_s,    spread_s = sum_s |x_j|^2 - |sum_s x_j|^2 / T

so that two numbers, the spread of the own row and that of all others, give the error for any numbers of keys. Keys are
sampled one from each stretch of time, which is closer than that where neighbours are alike. Sample sizes from the
variance of the estimate are vAttention's idea (arXiv:2510.05688).
"""

import torch
from torch import Tensor


def sampling_spread(p: Tensor, v: Tensor, out: Tensor, query_rows: Tensor, mel_rows: int) -> Tensor:
    """The spread of the own mel row and of all other rows, for each query.

    Parameters
    ----------
    p
        Dense attention probabilities of some queries, `[B, H, Q, N]`.
    v
        `[B, H, N, D]`.
    out
        Dense output of these queries, `[B, H, Q, D]`.
    query_rows
        LongTensor `[Q]`: the mel row of each query.
    mel_rows
        F.

    Returns
    -------
    Tensor
        `[B, H, Q, 2]`, in units of the squared output.
    """
    squared = (v.square().sum(dim=-1)[:, :, None] - 2 * out @ v.transpose(-1, -2)).add_(
        out.square().sum(dim=-1, keepdim=True)
    )
    squared = squared.clamp_(min=0).mul_(p.square()).unflatten(-1, (-1, mel_rows)).sum(dim=-2)
    by_row = p.unflatten(-1, (-1, mel_rows)).transpose(-1, -2)
    time = by_row.shape[-1]
    values = v.unflatten(2, (time, mel_rows)).transpose(2, 3)
    weighted = torch.einsum("bhqft,bhftd->bhqfd", by_row, values)
    sums = weighted - by_row.sum(dim=-1, keepdim=True) * out[:, :, :, None]
    spread = (squared - sums.square().sum(dim=-1) / time).clamp(min=0)
    own = spread.gather(-1, query_rows.expand(spread.shape[:-1])[..., None])
    return torch.cat([own, spread.sum(dim=-1, keepdim=True) - own], dim=-1)
