import pytest
import torch

from focuslab.hooks.meta_cost import meta_cost
from focuslab.methods import Bound, Dense, Eager, LiteFocus
from focuslab.models.sites import KINDS, find_sites, select_sites
from tests.configurations import METHODS


def core_flops(pipe, run):
    """By hand: two products of N x N x width, each two operations, for both halves of the guided batch."""
    widths = {s.name: s.heads * s.head_width for s in find_sites(pipe)}
    return sum(2 * 4 * grid.tokens**2 * widths[name] for name, grid in run.grids.items())


def test_flops_of_attention_are_those_counted_by_hand(session_pipe, twin, inputs):
    dense, bound = meta_cost(twin, inputs(10), Dense()), meta_cost(twin, inputs(10), Bound())
    saved = core_flops(session_pipe, bound)
    assert dense.flops["self_attention"] - bound.flops["self_attention"] == saved > 0
    assert {k: v for k, v in dense.flops.items() if k != "self_attention"} == {
        k: v for k, v in bound.flops.items() if k != "self_attention"
    }
    assert set(dense.flops) == set(KINDS) and min(dense.flops.values()) > 0
    assert dense.total_flops == sum(dense.flops.values())


def test_flops_of_litefocus_follow_its_share_of_pairs(session_pipe, twin, inputs):
    method = LiteFocus(cross_fraction=0.2)
    dense, sparse, bound = (meta_cost(twin, inputs(10), m) for m in (Dense(), method, Bound()))
    grid = next(iter(sparse.grids.values()))
    expected = bound.total_flops + method.density(grid) * (dense.total_flops - bound.total_flops)
    assert sparse.total_flops == pytest.approx(expected, rel=1e-9)


def test_naive_counts_as_dense_and_holds_the_map(session_pipe, twin, inputs):
    dense, naive = meta_cost(twin, inputs(20), Dense()), meta_cost(twin, inputs(20), Eager())
    assert naive.total_flops == dense.total_flops
    largest = max(s.heads * naive.grids[s.name].tokens ** 2 for s in find_sites(session_pipe))
    map_bytes = 2 * largest * 4
    # Scores and softmax are held at once.
    assert naive.peak_bytes - dense.peak_bytes == pytest.approx(2 * map_bytes, rel=0.2)


def test_the_predicted_peak_is_that_of_a_chain_done_by_hand(monkeypatch):
    from focuslab.hooks.meta_cost import _LiveBytes

    memory = _LiveBytes()
    with memory:
        x = torch.empty(1000, device="meta")  # 4,000 bytes
        y = x * 2  # 8,000
        z = y.view(10, 100) + 1  # 12,000, the view is free
        del x, y
        z.mul_(2)
        w = torch.cat([z, z])  # 12,000
        del z
    assert memory.peak == 12_000
    assert memory._live == 8_000
    del w
    assert memory._live == 0


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_dry_run_and_reads_the_grids(name, session_pipe, twin, inputs):
    run = meta_cost(twin, inputs(10), METHODS[name])
    expected = {s.name for s in select_sites(find_sites(session_pipe), METHODS[name].sites)}
    assert run.grids.keys() == expected
    assert run.total_flops > 0 and run.peak_bytes > 0


def test_a_dry_run_leaves_the_twin_as_it_was(twin, inputs):
    before = list(twin.attn_processors.values())
    meta_cost(twin, inputs(2), LiteFocus())
    assert all(a is b for a, b in zip(before, twin.attn_processors.values(), strict=True))
    assert not any(m._forward_pre_hooks for m in twin.modules())


def test_the_twin_has_the_dtype_and_shape_of_the_unet(session_pipe, twin):
    assert {p.device.type for p in twin.parameters()} == {"meta"}
    assert [tuple(p.shape) for p in twin.parameters()] == [tuple(p.shape) for p in session_pipe.unet.parameters()]
    assert twin.dtype == session_pipe.unet.dtype
