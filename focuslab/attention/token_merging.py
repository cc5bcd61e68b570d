"""Token Merging (Bolya & Hoffman 2023, arXiv:2303.17604) of the tokens that enter an attention.

The matching is that of the authors' package `tomesd`; this file only lays the grid of tokens out for it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.keys import to_device
from focuslab.errors import InputError

STRIDE = 2
"""Destination tokens are drawn one from each STRIDE x STRIDE cell of the grid: the default of `tomesd`."""


def merges(grid: Grid) -> bool:
    """Whether the matching works on this grid: it needs a whole cell, so more than one time step and mel row."""
    return grid.time >= STRIDE and grid.mel_rows >= STRIDE


def merged_count(grid: Grid, ratio: float) -> int:
    """Tokens left of N after merging a share `ratio` of them: never fewer than the destination tokens."""
    destinations = (grid.time // STRIDE) * (grid.mel_rows // STRIDE)
    return max(grid.tokens - int(grid.tokens * ratio), destinations)


def sample_destinations(grid: Grid, generator: torch.Generator) -> Tensor:
    """A permutation `[N]` that swaps the top left token of each cell with a drawn one of it, made on the CPU.

    It is its own inverse. The draw is that of `tomesd`.
    """
    cells = grid.time // STRIDE, grid.mel_rows // STRIDE
    drawn = torch.randint(STRIDE**2, (*cells, 1), generator=generator, device="cpu")[..., 0]
    order = torch.arange(grid.tokens, device="cpu")
    top_left = order.view(grid.time, grid.mel_rows)[::STRIDE, ::STRIDE][: cells[0], : cells[1]]
    chosen = top_left + drawn // STRIDE * grid.mel_rows + drawn % STRIDE
    swapped = order.clone()
    swapped[top_left.flatten()], swapped[chosen.flatten()] = chosen.flatten(), top_left.flatten()
    return swapped


def match_tokens(
    x: Tensor, grid: Grid, ratio: float, generator: torch.Generator | None = None, *, order: Tensor | None = None
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Match similar tokens of x.

    Parameters
    ----------
    x
        `[B, N, C]`.
    grid
        The time steps and mel rows of the N tokens.
    ratio
        Share of the tokens that is merged away, from 0 to below 1.
    generator
        Samples the destination tokens.
    order
        What `sample_destinations` gave, on the device of x; it takes the place of `generator`.

    Returns
    -------
    merge, unmerge
        `merge` averages matched tokens, `[B, N, C] -> [B, n, C]` with n = `merged_count`. `unmerge` copies each merged
        token back to all its places, `[B, n, C] -> [B, N, C]`.

    Raises
    ------
    InputError
        For a grid without a whole cell (see `merges`), or a ratio that is out of range.

    Notes
    -----
    As in `tomesd`, an odd batch cannot hold pairs of guided and unguided halves. Then the top left token of each cell
    is the destination.
    """
    if not 0 <= ratio < 1:
        raise InputError(f"Token Merging needs a ratio of at least 0 and below 1, not {ratio}")
    if not merges(grid):
        raise InputError(
            f"Token Merging needs at least {STRIDE} time steps and {STRIDE} mel rows, not {grid.time} x {grid.mel_rows}"
        )
    from tomesd.merge import bipartite_soft_matching_random2d

    if order is None:
        order = to_device(sample_destinations(grid, generator), x.device)
    swapped = x.shape[0] % 2 == 0

    def swap(x: Tensor) -> Tensor:
        return x.index_select(1, order) if swapped else x

    # The draw of `tomesd` itself would be copied to the device and waited for. It always takes the top left token here,
    # where `swap` has put the drawn one.
    merge, unmerge = bipartite_soft_matching_random2d(
        swap(x), grid.mel_rows, grid.time, STRIDE, STRIDE, int(grid.tokens * ratio), no_rand=True
    )
    return lambda tokens: merge(swap(tokens)), lambda merged: swap(unmerge(merged))
