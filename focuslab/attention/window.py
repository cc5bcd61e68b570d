"""Attention to a window of time around each query, and to keys sampled of the rest: linear in the length of the sound.

Beyond the training length a softmax over all keys is spread over more of them than the model has learnt from. Here a
query sees as many time steps around it exactly as there were in training; the rest may be sampled, and damped.

Queries go in blocks of half a window, which share their keys. The window lies around the middle of its block, moved
inwards at both ends of the clip, so that it always has its full length. Blocks are heads: one fused call.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.keys import rows_but_own
from focuslab.attention.sampled import sample_times

ROWS = ("all", "own")


@dataclass(frozen=True)
class Windows:
    """Where the blocks of queries, and their windows of keys, begin on a grid of more than `window` time steps.

    The last block is moved back to end with the clip; what it shares with the one before is computed twice.
    """

    grid: Grid
    window: int

    @property
    def block(self) -> int:
        """Time steps of queries in a block."""
        return max(1, self.window // 2)

    @property
    def rest(self) -> int:
        """Time steps outside of a window."""
        return self.grid.time - self.window

    @property
    def queries(self) -> list[int]:
        """First time step of each block."""
        return [min(first, self.grid.time - self.block) for first in range(0, self.grid.time, self.block)]

    @property
    def keys(self) -> list[int]:
        """First time step of each block's window."""
        before = (self.window - self.block) // 2
        return [min(max(first - before, 0), self.rest) for first in self.queries]

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Time steps `[blocks, F, min(count, rest)]` of each mel row outside of each block's window, on the CPU.

        They are one from each of `count` equal stretches of the rest; all of it where `count` is at least as much.
        """
        first = torch.tensor(self.keys, device="cpu")[:, None, None]
        rows = len(first) * self.grid.mel_rows
        times = sample_times(Grid(self.rest, rows), count, generator).unflatten(0, (len(first), -1))
        return times + self.window * (times >= first)


def window_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    windows: Windows,
    *,
    rows: str = "all",
    rest: Tensor | None = None,
    others: Tensor | None = None,
    decay: float = 1.0,
) -> Tensor:
    """Attention of every query to the keys in a window of time around it, and to sampled ones of the rest.

    Parameters
    ----------
    q, k, v
        `[B, H, N, D]` with N tokens on the grid of `windows`.
    windows
        The blocks of queries and their windows.
    rows
        "all": the window is of all mel rows. "own": of the query's own.
    rest
        LongTensor of time steps `[blocks, F, m]`, those sampled of each mel row outside of each block's window. Each
        counts for the (T - window) / m keys that it stands for. None for none.
    others
        LongTensor of time steps `[F, n]`, with rows="own": those sampled of each mel row for the queries of the other
        rows, for T / n keys each. None for none.
    decay
        Factor on the scores of sampled keys.

    Returns
    -------
    Tensor
        `[B, H, N, D]` in the dtype of q.

    References
    ----------
    A constant factor on scores beyond the training window: UltraViCo, arXiv:2511.20123. A window with sampled keys of
    the rest: vAttention, arXiv:2510.05688.
    """
    grid, own = windows.grid, rows == "own"
    queries = _tokens(windows.queries, windows.block, grid, own, q.device)
    near = _tokens(windows.keys, windows.window, grid, own, q.device)
    row = torch.arange(grid.mel_rows, device=q.device)[:, None]
    sampled, weights = [], [0.0] * near.shape[1]
    if rest is not None:
        index = rest * grid.mel_rows + row
        sampled.append(index.flatten(0, 1) if own else index.flatten(1))
        weights += [math.log(windows.rest / rest.shape[2])] * sampled[0].shape[1]
    if others is not None and grid.mel_rows > 1:
        index = (others * grid.mel_rows + row)[rows_but_own(grid.mel_rows, q.device)].flatten(1)
        sampled.append(index.repeat(len(windows.queries), 1))
        weights += [math.log(grid.time / others.shape[1])] * index.shape[1]
    keys, values = (_grouped(x, near) for x in (k, v))
    bias = None
    if sampled:
        far = torch.cat(sampled, dim=1)
        keys = torch.cat([keys, _grouped(k, far) * decay], dim=2)
        values = torch.cat([values, _grouped(v, far)], dim=2)
        bias = _row_of(weights, q)
    out = F.scaled_dot_product_attention(_grouped(q, queries), keys, values, attn_mask=bias)
    return _joined(out, windows, own, q.shape[1])


def _tokens(first: list[int], length: int, grid: Grid, own: bool, device: torch.device) -> Tensor:
    """Token indices `[groups, L]` of `length` time steps from each `first` on: a group of all rows, or one a row."""
    steps = torch.tensor(first, device=device)[:, None] + torch.arange(length, device=device)
    rows = torch.arange(grid.mel_rows, device=device)
    if own:
        return (steps[:, None] * grid.mel_rows + rows[:, None]).flatten(0, 1)
    return (steps[:, :, None] * grid.mel_rows + rows).flatten(1)


def _grouped(x: Tensor, index: Tensor) -> Tensor:
    """Tokens `index` `[groups, L]` of x `[B, H, N, D]` as `[B, groups * H, L, D]`."""
    chosen = x.transpose(1, 2).index_select(1, index.flatten())
    return chosen.unflatten(1, index.shape).transpose(2, 3).flatten(1, 2)


def _row_of(weights: list[float], q: Tensor) -> Tensor:
    """A bias `[1, 1, 1, L]`, the same for every query."""
    return torch.tensor(weights, dtype=q.dtype, device=q.device).expand(1, 1, 1, -1)


def _joined(out: Tensor, windows: Windows, own: bool, heads: int) -> Tensor:
    """`[B, groups * H, L, D]` of blocks -> `[B, H, N, D]`."""
    blocks, mel_rows = len(windows.queries), windows.grid.mel_rows
    if own:
        by_step = out.unflatten(1, (blocks, mel_rows, heads)).permute(0, 3, 1, 4, 2, 5)
    else:
        by_step = out.unflatten(1, (blocks, heads)).transpose(1, 2).unflatten(3, (windows.block, mel_rows))
    last = windows.grid.time - (blocks - 1) * windows.block
    joined = torch.cat([by_step[:, :, :-1].flatten(2, 3), by_step[:, :, -1, -last:]], dim=2)
    return joined.flatten(2, 3)
