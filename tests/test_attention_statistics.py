"""The folded statistics of a call against a float64 brute force with the whole map, and the cases known by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.attention import statistics
from focuslab.attention.grid import Grid
from focuslab.attention.statistics import (
    SampledStatistics,
    blocks_of_map,
    lag_bins,
    relative_error,
    sample_times,
    spread,
    squared_norm,
)
from tests.test_attention_mass import DTYPES, LargestTensor, cases, few, grids, make_qk, off, own_row, probabilities


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def neighbours(grid, tokens):
    """Keys at most one mel row away."""
    row = torch.arange(grid.tokens) % grid.mel_rows
    return (row - (tokens % grid.mel_rows)[:, None]).abs() <= 1


def parity(grid):
    return torch.arange(grid.tokens) // grid.mel_rows % 2, 2


EVERYTHING = {"entropy": True, "rows": True, "lags": 1, "patterns": {"neighbours": neighbours}}


def measured(q, k, grid, times=None, **wanted):
    times = torch.arange(grid.time) if times is None else times
    wanted = wanted or {**EVERYTHING, "labels": {"parity": parity(grid)}}
    return SampledStatistics(grid, times, **wanted).measure(q, k, q.shape[-1] ** -0.5)


def brute(q, k, grid, times, frames=1):
    """Every statistic by its definition: the whole map in float64, queries picked from it, sums over keys."""
    p = probabilities(q, k).unflatten(2, (grid.time, grid.mel_rows))[:, :, times]
    b, h = q.shape[:2]
    by_key = p.unflatten(-1, (grid.time, grid.mel_rows))  # [B, H, S, F, T, F]
    bins = lag_bins(grid.time, frames)
    own, other = (torch.zeros(b, h, bins, dtype=torch.double) for _ in range(2))
    chance = torch.zeros(bins, dtype=torch.double)
    for s, query_time in enumerate(times.tolist()):
        for key_time in range(grid.time):
            lag = abs(query_time - key_time) * frames
            i = 0 if lag == 0 else int(math.log2(lag)) + 1
            at_lag = by_key[:, :, s, :, key_time]
            own[..., i] += at_lag.diagonal(dim1=2, dim2=3).sum(-1) / (len(times) * grid.mel_rows)
            other[..., i] += at_lag.sum((2, 3)) / (len(times) * grid.mel_rows)
            chance[i] += 1 / (len(times) * grid.time)
    tokens = (times[:, None] * grid.mel_rows + torch.arange(grid.mel_rows)).flatten()
    flat = p.flatten(2, 3)
    member = neighbours(grid, tokens).double()
    return {
        "entropy": spread(torch.special.entr(flat).sum(-1)),
        "rows": by_key.sum(4).mean(2),
        "lag_own": own,
        "lag_other": other - own,
        "lag_chance": chance.expand(b, -1),
        "labels/parity": flat.mean(2) @ torch.nn.functional.one_hot(parity(grid)[0], 2).double(),
        "patterns/neighbours": spread((flat * member).sum(-1)),
        "patterns_chance/neighbours": member.mean().expand(b),
    }


@few
@given(grids, cases, st.integers(1, 70), st.sampled_from([1, 4]))
def test_sampled_statistics_are_those_of_the_whole_map(grid, case, count, frames):
    q, k = make_qk(grid, **case)
    times = sample_times(grid.time, count, generator(case["seed"]))
    found = measured(q, k, grid, times, **EVERYTHING | {"lags": frames, "labels": {"parity": parity(grid)}})
    expected = brute(q, k, grid, times, frames)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # An entropy reaches 7: the same relative rounding.
        assert off(found[name], value) <= 1e-5, name


@few
@given(grids, cases, st.integers(1, 70))
def test_sums_that_are_one_are_one(grid, case, count):
    q, k = make_qk(grid, **case)
    found = measured(q, k, grid, sample_times(grid.time, count, generator()))
    rows = found["rows"].sum(-1)
    assert off(rows, torch.ones_like(rows)) <= 1e-5
    lags = found["lag_own"].sum(-1) + found["lag_other"].sum(-1)
    assert off(lags, torch.ones_like(lags)) <= 1e-5
    assert found["lag_chance"].sum(-1).tolist() == pytest.approx([1] * q.shape[0])
    own = found["rows"].diagonal(dim1=2, dim2=3).mean(-1)
    assert off(found["lag_own"].sum(-1), own) <= 1e-5
    assert off(found["labels/parity"].sum(-1), torch.ones_like(own)) <= 1e-5
    assert min(value.min() for value in found.values()) >= 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mel_rows", [1, 2, 8, 16])
def test_uniform_attention_is_at_chance_everywhere(mel_rows, dtype):
    grid = Grid(63, mel_rows)
    found = measured(*make_qk(grid, "equal", dtype=dtype), grid)
    ones = torch.ones(1, 2, dtype=torch.double)
    assert off(found["entropy"], torch.stack([ones * math.log(grid.tokens), 0 * ones], -1)) < 1e-5
    assert off(found["rows"], torch.full((1, 2, mel_rows, mel_rows), 1 / mel_rows)) < 1e-5
    assert off(found["lag_own"], found["lag_chance"].expand(1, 2, -1) / mel_rows) < 1e-5
    assert off(found["lag_other"], found["lag_chance"].expand(1, 2, -1) * (1 - 1 / mel_rows)) < 1e-5
    assert off(found["patterns/neighbours"][..., 0], found["patterns_chance/neighbours"] * ones) < 1e-5


@pytest.mark.parametrize("mel_rows", [2, 8, 16])
def test_planted_attention_is_all_on_the_diagonal(mel_rows):
    found = measured(*make_qk(Grid(63, mel_rows), "planted", size=50.0), Grid(63, mel_rows))
    assert off(found["rows"], torch.eye(mel_rows).expand(1, 2, -1, -1)) < 0.01
    assert found["lag_other"].sum(-1).max() < 0.01


@pytest.mark.parametrize("size", [50.0, 1e4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_key_takes_everything(dtype, size):
    grid, chosen = Grid(63, 4), 30 * 4 + 2
    q, k = make_qk(grid, dtype=dtype)
    q, k = torch.ones_like(q), torch.zeros_like(k)
    k[:, :, chosen] = size * 32**-0.5
    found = measured(q, k, grid)
    assert found["entropy"].abs().max() < 1e-5
    assert off(found["rows"], torch.nn.functional.one_hot(torch.tensor(2), 4).expand(1, 2, 4, 4)) < 1e-6
    assert found["lag_own"].sum(-1).sub(0.25).abs().max() < 1e-6
    # Of 63 time steps one has lag 0, two have lag 1.
    assert (found["lag_own"] + found["lag_other"])[0, 0, :2].tolist() == pytest.approx([1 / 63, 2 / 63], abs=1e-6)


def test_bins_of_lags_double():
    grid = Grid(9, 1)
    q, k = make_qk(grid, "equal")
    counted = measured(q, k, grid, torch.tensor([0]), lags=1)["lag_chance"] * 9
    assert counted[0].tolist() == pytest.approx([1, 1, 2, 4, 1])  # 0, 1, 2-3, 4-7, 8
    counted = measured(q, k, grid, torch.tensor([0]), lags=4)["lag_chance"] * 9
    assert counted[0].tolist() == pytest.approx([1, 0, 0, 1, 2, 4, 1])  # 0, 4, 8-12, 16-28, 32
    assert [lag_bins(*shape) for shape in ((1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (3, 8))] == [1, 2, 3, 3, 4, 6]


def test_only_what_was_asked_for_is_made():
    grid = Grid(9, 4)
    q, k = make_qk(grid)
    every = measured(q, k, grid)
    for wanted, names in (
        ({"entropy": True}, {"entropy"}),
        ({"rows": True}, {"rows"}),
        ({"lags": 1}, {"lag_own", "lag_other", "lag_chance"}),
        ({"labels": {"parity": parity(grid)}}, {"labels/parity"}),
        ({"patterns": {"neighbours": neighbours}}, {"patterns/neighbours", "patterns_chance/neighbours"}),
    ):
        alone = measured(q, k, grid, **wanted)
        assert alone.keys() == names
        assert all(torch.equal(alone[name], every[name]) for name in names)


def test_blocks_change_nothing_and_bound_the_memory(monkeypatch):
    grid = Grid(125, 8)
    q, k = make_qk(grid)
    whole = measured(q, k, grid)
    monkeypatch.setattr(statistics, "BLOCK_BYTES", 200_000)
    with LargestTensor() as largest:
        blocks = measured(q, k, grid)
    for name, value in whole.items():
        assert off(blocks[name], value) < 1e-6
    # A block and its bins of lags; the map of both heads has 2 million.
    assert largest.elements <= 100_000


def test_a_block_is_whole_multiples_and_at_least_one():
    grid = Grid(9, 4)
    q, k = make_qk(grid)
    tokens = torch.arange(36)
    sizes = lambda **kwargs: [block.p.shape[2] for block in blocks_of_map(q, k, tokens, 0.2, **kwargs)]  # noqa: E731
    assert sizes(multiple=4) == [36]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "BLOCK_BYTES", 1)
        assert sizes(multiple=4) == [4] * 9 and sizes() == [1] * 36
        patch.setattr(statistics, "BLOCK_BYTES", 2 * 36 * 4 * 10)
        assert sizes(multiple=4) == [8] * 4 + [4]


@pytest.mark.parametrize("dtype", DTYPES)
def test_blocks_of_the_map_are_exact(dtype):
    q, k = make_qk(Grid(63, 4), size=50.0, dtype=dtype)
    tokens = torch.tensor([0, 7, 251])
    (block,) = blocks_of_map(q, k, tokens, 32**-0.5)
    assert block.p.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert off(block.p, probabilities(q, k)[:, :, tokens]) < 1e-5


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(1, 2000), st.integers(1, 80), st.integers(0, 99))
def test_sampled_times_are_one_from_each_stretch(time, count, seed):
    times = sample_times(time, count, generator(seed))
    assert len(times) == min(time, count) and times[0] >= 0 and times[-1] < time
    assert (times.diff() > 0).all()
    if count < time:
        assert ((times * count + count - 1) // time >= torch.arange(count)).all()
        assert torch.equal(times, sample_times(time, count, generator(seed)))
    else:
        assert torch.equal(times, torch.arange(time))


def test_sampling_has_no_preference_for_even_times():
    odd = torch.stack([sample_times(64, 16, generator(seed)) % 2 for seed in range(200)]).double()
    assert off(odd.mean(0), torch.full((16,), 0.5)) < 0.15


def test_spread_is_mean_and_standard_deviation_in_float64():
    x = 1 + 1e-4 * torch.randn(1, 2, 500, generator=generator())
    found = spread(x)
    assert found.dtype == torch.float64 and found.shape == (1, 2, 2)
    assert off(found[..., 1], x.double().std(-1, correction=0)) < 1e-12
    assert off(spread(torch.ones(1, 1, 1)), torch.tensor([[[1.0, 0.0]]])) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_relative_error_is_that_of_the_norms(dtype):
    whole, difference = (torch.randn(2, 3, 400, 8, generator=generator(s)).to(dtype) for s in (0, 1))
    expected = difference.double().norm(dim=(2, 3)) / whole.double().norm(dim=(2, 3))
    assert off(relative_error(difference, whole), expected) < 1e-6
    assert off(squared_norm(whole), whole.double().square().sum((2, 3))) < 1e-3
    nothing = torch.zeros_like(whole)
    assert (relative_error(nothing, whole) == 0).all() and (relative_error(nothing, nothing) == 0).all()


def test_own_row_mass_over_all_queries_is_the_mean_of_the_diagonal():
    grid = Grid(63, 8)
    q, k = make_qk(grid)
    expected = (probabilities(q, k) * own_row(grid)).sum(-1)
    found = measured(q, k, grid, rows=True)["rows"].diagonal(dim1=2, dim2=3).mean(-1)
    assert off(found, expected.mean(-1)) < 1e-6
