"""The own mel row exactly, and all other rows as means over stretches of time.

A sampled key stands for others that it need not resemble. The mean of a stretch is near all of its keys where attention
to the other rows is spread widely, and has no variance. As with sampled keys, mel rows are heads: one fused call.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.kernels import check_qkv
from focuslab.attention.keys import rows_but_own
from focuslab.attention.rows import as_rows, from_rows
from focuslab.checks import whole


def pooled_attention(
    q: Tensor, k: Tensor, v: Tensor, mel_rows: int, stretch: int, *, scale: float | None = None
) -> Tensor:
    """Attention of every query to its own mel row and to the mean key and value of each pool of the other rows.

    It is exact to first order in how much keys differ within a pool. Differentiable.

    Parameters
    ----------
    q, k, v
        `[B, H, N, D]` with N = T * mel_rows.
    mel_rows
        F.
    stretch
        Pool size: time steps whose keys become one, which then weighs as much as they are many. The last pool may have
        fewer. 1 is dense attention.
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
    PISA, arXiv:2602.01077; SVG-EAR, arXiv:2603.08982; after ToMe, arXiv:2210.09461.
    """
    check_qkv(q, k, v)
    grid = Grid.of_tokens(q.shape[2], mel_rows)
    stretch = whole("stretch", stretch, "a whole number of time steps of at least 1", 1)
    # A stretch longer than the row is the row: padded to its length, the keys could take all memory.
    stretch = min(stretch, grid.time)
    sizes = stretch_sizes(grid, stretch, q)
    keys, values = (_own_and_pooled(x, mel_rows, stretch, sizes) for x in (k, v))
    # One key of weight w is w keys of weight 1: log w on its score.
    bias = F.pad(sizes.log().repeat(mel_rows - 1), (grid.time, 0)).to(q.dtype).expand(1, 1, 1, -1)
    out = F.scaled_dot_product_attention(as_rows(q, mel_rows), keys, values, attn_mask=bias, scale=scale)
    return from_rows(out, mel_rows)


def stretch_count(grid: Grid, stretch: int) -> int:
    """How many stretches a row has."""
    return -(-grid.time // stretch)


def stretch_sizes(grid: Grid, stretch: int, like: Tensor) -> Tensor:
    """Time steps of each stretch, float32 `[m]` on the device of `like`."""
    sizes = like.new_full((stretch_count(grid, stretch),), float(stretch)).float()
    sizes[-1] = grid.time - stretch * (len(sizes) - 1)
    return sizes


def _own_and_pooled(x: Tensor, mel_rows: int, stretch: int, sizes: Tensor) -> Tensor:
    """`[B, H, T * F, D]` -> `[B, F * H, T + (F - 1) * m, D]`: for each mel row its tokens and the others' means."""
    by_time = x.unflatten(2, (-1, mel_rows))
    padded = F.pad(by_time, (0, 0, 0, 0, 0, stretch * len(sizes) - by_time.shape[2]))
    sums = padded.unflatten(2, (len(sizes), stretch)).sum(dim=3)
    means = sums / sizes.to(x.dtype)[:, None, None]
    others = means[:, :, :, rows_but_own(mel_rows, x.device)].permute(0, 3, 1, 4, 2, 5).flatten(3, 4)
    return torch.cat([as_rows(x, mel_rows), others.flatten(1, 2)], dim=2)
