import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.attention.grid import Grid
from focuslab.attention.token_merging import match_tokens, merged_count, merges
from focuslab.errors import InputError

sides = st.integers(2, 21)


def generator():
    return torch.Generator().manual_seed(0)


@settings(max_examples=40, deadline=None)
@given(sides, sides, st.sampled_from([0, 0.1, 0.5, 0.75, 0.9]), st.sampled_from([1, 2, 3]))
def test_odd_grids_merge_to_the_count_that_is_promised_and_back(time, mel_rows, ratio, batch):
    grid = Grid(time, mel_rows)
    x = torch.randn(batch, grid.tokens, 6, generator=generator())
    merge, unmerge = match_tokens(x, grid, ratio, generator())
    merged = merge(x)
    assert merged.shape == (batch, merged_count(grid, ratio), 6)
    assert unmerge(merged).shape == x.shape


def test_equal_tokens_come_back_as_they_were():
    grid = Grid(7, 4)
    x = torch.ones(2, 28, 3)
    merge, unmerge = match_tokens(x, grid, 0.5, generator())
    assert torch.allclose(unmerge(merge(x)), x)


def test_unmerged_tokens_keep_their_place():
    grid = Grid(6, 4)
    x = torch.randn(2, 24, 5, generator=generator())
    merge, unmerge = match_tokens(x, grid, 0.25, generator())
    kept = (unmerge(merge(x)) - x).abs().amax(-1) < 1e-6
    # 6 of 24 tokens are merged, each into one of the others: at least half keep their own value.
    assert kept.sum(1).min() >= 12


def test_neighbouring_tokens_that_are_alike_are_those_that_merge():
    grid = Grid(4, 4)
    values = torch.eye(4).repeat_interleave(2, 0).repeat(2, 1)  # pairs of alike tokens in each row of the grid
    x = values[None].repeat(2, 1, 1)
    merge, unmerge = match_tokens(x, grid, 0.5, generator())
    assert torch.allclose(unmerge(merge(x)), x)


@pytest.mark.parametrize("grid", [Grid(1, 8), Grid(63, 1)])
def test_grids_without_a_whole_cell_are_refused(grid):
    assert not merges(grid)
    with pytest.raises(InputError, match="at least 2 time steps and 2 mel rows"):
        match_tokens(torch.zeros(1, grid.tokens, 2), grid, 0.5, generator())


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5])
def test_ratios_outside_are_refused(ratio):
    with pytest.raises(InputError, match="ratio"):
        match_tokens(torch.zeros(1, 16, 2), Grid(4, 4), ratio, generator())
