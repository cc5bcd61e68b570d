"""focuslab.attention.window: against its definition, pair by pair, and the law by which the rest is sampled."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from focuslab.attention.grid import Grid
from focuslab.attention.sampled import sample_times
from focuslab.attention.window import Windows, window_attention
from focuslab.errors import InputError
from focuslab.hooks.processors import SiteCall
from focuslab.methods import WindowFocus
from focuslab.models.sites import Site
from tests.brute_force import dense_attention, qkv


def generator(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def block_of(windows, t):
    """The block whose output a time step takes: of two that hold it, the one before the last."""
    return min(t // windows.block, len(windows.queries) - 1)


def pairs(windows, rows, rest, others):
    """How often each key counts for each query, `[N, N]`, and whether its score is damped."""
    grid = windows.grid
    counts = torch.zeros(grid.tokens, grid.tokens, dtype=torch.float64)
    near = torch.zeros(grid.tokens, grid.tokens, dtype=torch.bool)
    for query in range(grid.tokens):
        t, f = divmod(query, grid.mel_rows)
        block = block_of(windows, t)
        first = windows.keys[block]
        for row in range(grid.mel_rows):
            if rows == "all" or row == f:
                inside = torch.arange(first, first + windows.window) * grid.mel_rows + row
                counts[query, inside] = 1
                near[query, inside] = True
                if rest is not None:
                    for time in rest[block, row].tolist():
                        counts[query, time * grid.mel_rows + row] += windows.rest / rest.shape[2]
            elif others is not None:
                for time in others[row].tolist():
                    counts[query, time * grid.mel_rows + row] += grid.time / others.shape[1]
    return counts, near


def by_definition(q, k, v, windows, rows, rest, others, decay):
    counts, near = pairs(windows, rows, rest, others)
    scores = q.double() @ k.double().transpose(-1, -2) * q.shape[-1] ** -0.5
    scores = torch.where(near, scores, decay * scores) + counts.log()
    return scores.softmax(dim=-1) @ v.double()


@settings(max_examples=60, deadline=None)
@given(
    window=st.integers(1, 9),
    more=st.integers(1, 20),
    mel_rows=st.integers(1, 4),
    count=st.integers(0, 8),
    rows=st.sampled_from(["all", "own"]),
    decay=st.sampled_from([1.0, 0.7]),
    seed=st.integers(0, 99),
)
def test_it_is_its_definition(window, more, mel_rows, count, rows, decay, seed):
    windows = Windows(Grid(window + more, mel_rows), window)
    q, k, v = qkv(window + more, mel_rows, seed=seed)
    rest = windows.sample(count, generator(seed)) if count else None
    others = sample_times(windows.grid, count, generator(seed + 1)) if count and rows == "own" else None
    out = window_attention(q, k, v, windows, rows=rows, rest=rest, others=others, decay=decay)
    assert (out - by_definition(q, k, v, windows, rows, rest, others, decay)).abs().max() < 1e-5


@settings(deadline=None)
@given(length=st.integers(2, 200), window=st.integers(1, 60))
def test_every_query_lies_in_its_window(length, window):
    assume(window < length)
    windows = Windows(Grid(length, 1), window)
    for t in range(length):
        block = block_of(windows, t)
        assert windows.queries[block] <= t < windows.queries[block] + windows.block
        assert 0 <= windows.keys[block] <= t < windows.keys[block] + window <= length


def test_in_the_middle_of_a_clip_a_query_sees_a_quarter_of_the_window_to_both_sides():
    windows = Windows(Grid(400, 1), 40)
    for t in range(40, 360):
        first = windows.keys[block_of(windows, t)]
        assert t - first >= 10 and first + 40 - t >= 10


def test_the_rest_is_outside_of_the_window_and_each_step_is_as_likely():
    windows = Windows(Grid(30, 2), 8)
    draws = torch.stack([windows.sample(5, generator(seed)) for seed in range(2000)])
    for block, first in enumerate(windows.keys):
        seen = draws[:, block].flatten().bincount(minlength=30) / 4000
        assert seen[first : first + 8].sum() == 0
        outside = torch.cat([seen[:first], seen[first + 8 :]])
        assert (outside - 5 / 22).abs().max() < 5 * (5 / 22 / 4000) ** 0.5


def test_with_the_whole_rest_it_is_dense_attention():
    windows = Windows(Grid(21, 3), 6)
    q, k, v = qkv(21, 3)
    for rows, others in (("all", None), ("own", sample_times(windows.grid, 99, generator()))):
        out = window_attention(q, k, v, windows, rows=rows, rest=windows.sample(99, generator()), others=others)
        assert (out - dense_attention(q, k, v)).abs().max() < 1e-5


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 3e-2), (torch.float16, 4e-3)])
def test_half_precision_has_its_own_tolerance(dtype, tolerance):
    windows = Windows(Grid(31, 4), 9)
    q, k, v = qkv(31, 4, dtype=dtype)
    rest = windows.sample(4, generator())
    out = window_attention(q, k, v, windows, rest=rest)
    assert out.dtype == dtype
    assert (out - by_definition(q, k, v, windows, "all", rest, None, 1.0)).abs().max() < tolerance


def call(time, mel_rows, training):
    site = Site("a", "h", "b", 0, 2, 8)
    return SiteCall(site, Grid(time, mel_rows), 0, training and Grid(training, mel_rows))


def test_up_to_the_training_length_the_method_is_dense():
    q, k, v = qkv(12, 2)
    method = WindowFocus(rest_keys=3)
    assert method.sample_keys(call(12, 2, 12)) is None
    assert torch.equal(method.core(q, k, v, call(12, 2, 12)), torch.nn.functional.scaled_dot_product_attention(q, k, v))
    assert method.density_at(Grid(12, 2), Grid(12, 2)) == 1


@pytest.mark.parametrize("rows", ["all", "own"])
@pytest.mark.parametrize("rest_keys", [0, 3])
def test_the_method_computes_the_pairs_of_its_density(rows, rest_keys):
    method = WindowFocus(rest_keys=rest_keys, rows=rows)
    q, k, v = qkv(48, 3)
    assert torch.isfinite(method.core(q, k, v, call(48, 3, 12))).all()
    keys = {"all": (12 + rest_keys) * 3, "own": 12 + rest_keys + 2 * rest_keys}[rows]
    assert method.density_at(Grid(48, 3), Grid(12, 3)) == pytest.approx(keys / (48 * 3))
    assert method.density_at(Grid(480, 3), Grid(12, 3)) == pytest.approx(keys / (480 * 3))


def test_a_decay_makes_a_difference_and_the_rest_too():
    q, k, v = qkv(48, 3)
    outs = [
        WindowFocus(rest_keys=keys, decay=decay).core(q, k, v, call(48, 3, 12))
        for keys, decay in ((0, 1), (9, 1), (9, 0.5))
    ]
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(outs) for b in outs[:i])


def test_wrong_parameters_and_an_unknown_training_length_are_refused():
    for wrong, match in (
        ({"rest_keys": -1}, "at least 0"),
        ({"decay": 1.5}, "from 0 to 1"),
        ({"rows": "some"}, "all, own"),
    ):
        with pytest.raises(InputError, match=match):
            WindowFocus(**wrong)
    with pytest.raises(InputError, match="sample_size"):
        WindowFocus().core(*qkv(48, 3), call(48, 3, None))
