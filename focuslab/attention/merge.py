"""Token Merging (Bolya & Hoffman 2023, arXiv:2303.17604) of the tokens that enter an attention.

The matching is that of the authors' package `tomesd`; this file only lays the grid of tokens out for it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from focuslab.errors import InputError
from focuslab.grid import Grid

STRIDE = 2
"""Destination tokens are drawn one from each STRIDE x STRIDE cell of the grid: the default of `tomesd`."""


def merges(grid: Grid) -> bool:
    """Whether the matching works on this grid: it needs a whole cell, so more than one time step and mel row."""
    return grid.time >= STRIDE and grid.mel_rows >= STRIDE


def merged_count(grid: Grid, ratio: float) -> int:
    """Tokens left of N after merging a share `ratio` of them: never fewer than the destination tokens."""
    destinations = (grid.time // STRIDE) * (grid.mel_rows // STRIDE)
    return max(grid.tokens - int(grid.tokens * ratio), destinations)


def match_tokens(
    x: Tensor, grid: Grid, ratio: float, generator: torch.Generator
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Match similar tokens of x `[B, N, C]`; returns (merge, unmerge).

    `merge` averages matched tokens, `[B, N, C] -> [B, n, C]` with n = `merged_count`; `unmerge` copies each merged
    token back to all its places, `[B, n, C] -> [B, N, C]`. As in `tomesd`, an odd batch cannot hold pairs of guided
    and unguided halves, and then the top left token of each cell is the destination instead of a drawn one.
    Raises `InputError` for a grid without a whole cell (see `merges`) or a ratio outside 0..1.
    """
    if not 0 <= ratio < 1:
        raise InputError(f"Token Merging needs a ratio of at least 0 and below 1, not {ratio}")
    if not merges(grid):
        raise InputError(
            f"Token Merging needs at least {STRIDE} time steps and {STRIDE} mel rows, not {grid.time} x {grid.mel_rows}"
        )
    from tomesd.merge import bipartite_soft_matching_random2d

    return bipartite_soft_matching_random2d(
        x,
        grid.mel_rows,
        grid.time,
        STRIDE,
        STRIDE,
        int(grid.tokens * ratio),
        no_rand=x.shape[0] % 2 == 1,
        generator=generator,
    )
