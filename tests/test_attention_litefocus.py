import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.attention import CrossKeys, litefocus, litefocus_attention, rows, sample_cross_keys
from focuslab.attention.grid import Grid
from focuslab.attention.keys import SAMPLINGS, cross_key_count
from focuslab.errors import InputError
from tests.brute_force import dense_attention, focus_attention, qkv

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 4e-2, torch.float16: 5e-3}

times = st.sampled_from([1, 2, 3, 31, 63, 125])
row_counts = st.sampled_from([1, 2, 4, 8, 16])
seeds = st.integers(0, 1000)


def compare(q, k, v, mel_rows, drawn, tolerance=1e-5, **switches):
    chosen = {"same_frequency": True, "overlap": "once", "cross_weight": 1.0, **switches}
    out = litefocus_attention(q, k, v, mel_rows, cross_keys=drawn, **chosen)
    index = drawn.index if isinstance(drawn, CrossKeys) else [] if drawn is None else drawn
    expected = focus_attention(q, k, v, mel_rows, drawn=index, **chosen)
    assert out.shape == q.shape and out.dtype == q.dtype
    assert (out - expected).abs().max() <= tolerance


@settings(max_examples=60, deadline=None)
@given(times, row_counts, seeds, st.data())
def test_any_key_set_with_every_switch(time, mel_rows, seed, data):
    q, k, v = qkv(time, mel_rows, seed=seed, size=data.draw(st.sampled_from([0.1, 1, 8])))
    drawn = data.draw(st.lists(st.integers(0, time * mel_rows - 1), max_size=40))
    same = data.draw(st.booleans()) if drawn else True
    overlap = data.draw(st.sampled_from(["once", "twice"]))
    weight = data.draw(st.sampled_from([1.0, 0.3, 10.0, 100.0])) if overlap == "once" else 1.0
    index = torch.tensor(drawn, dtype=torch.long)
    compare(q, k, v, mel_rows, index, same_frequency=same, overlap=overlap, cross_weight=weight)


@settings(max_examples=60, deadline=None)
@given(times, row_counts, seeds, st.sampled_from([0, 0.1, 0.5, 1]), st.sampled_from(SAMPLINGS), st.data())
def test_draws_of_both_samplings_with_every_switch(time, mel_rows, seed, fraction, sampling, data):
    grid = Grid(time, mel_rows)
    count = cross_key_count(grid, fraction, sampling)
    drawn = sample_cross_keys(grid, count, sampling, torch.Generator().manual_seed(seed)) if count else None
    same = data.draw(st.booleans()) if count else True
    overlap = data.draw(st.sampled_from(["once", "twice"]))
    weight = data.draw(st.sampled_from([1.0, 10.0])) if overlap == "once" else 1.0
    q, k, v = qkv(time, mel_rows, seed=seed)
    compare(q, k, v, mel_rows, drawn, same_frequency=same, overlap=overlap, cross_weight=weight)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_half_precision_has_its_own_tolerance_and_keeps_its_dtype(dtype, sampling, weight):
    grid = Grid(63, 8)
    drawn = sample_cross_keys(grid, 48, sampling, torch.Generator().manual_seed(1))
    compare(*qkv(63, 8, width=32, dtype=dtype), 8, drawn, TOLERANCE[dtype], cross_weight=weight)


def test_contiguous_heads_give_the_same_as_the_layout_of_projections():
    q, k, v = qkv(25, 4)
    drawn = sample_cross_keys(Grid(25, 4), 12, "stratified", torch.Generator().manual_seed(2))
    laid_out = litefocus_attention(q, k, v, 4, cross_keys=drawn)
    contiguous = litefocus_attention(q.contiguous(), k.contiguous(), v.contiguous(), 4, cross_keys=drawn)
    assert (laid_out - contiguous).abs().max() < 1e-6


@pytest.mark.parametrize("time, mel_rows", [(1, 8), (63, 2), (125, 8)])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_all_keys_with_weight_one_are_dense_attention(time, mel_rows, sampling):
    q, k, v = qkv(time, mel_rows, size=4)
    drawn = sample_cross_keys(Grid(time, mel_rows), time * mel_rows, sampling, torch.Generator().manual_seed(3))
    out = litefocus_attention(q, k, v, mel_rows, cross_keys=drawn)
    assert (out - dense_attention(q, k, v)).abs().max() < 1e-5


def test_over_many_draws_the_unbiased_weight_approaches_dense_and_weight_one_does_not():
    grid = Grid(60, 4)
    q, k, v = qkv(60, 4, width=16, size=0.5)
    dense = dense_attention(q, k, v)

    def error_of_mean(weight, draws):
        total = torch.zeros_like(dense)
        for seed in range(draws):
            drawn = sample_cross_keys(grid, 60, "stratified", torch.Generator().manual_seed(seed))
            total += litefocus_attention(q, k, v, 4, cross_keys=drawn, cross_weight=weight)
        return ((total / draws - dense).norm() / dense.norm()).item()

    assert error_of_mean(4.0, 1000) < min(0.07, 0.6 * error_of_mean(4.0, 100))
    assert error_of_mean(1.0, 1000) > 0.7


@pytest.mark.parametrize("weight", [1.0, 10.0])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_gradients_are_those_of_the_definition(weight, sampling):
    drawn = sample_cross_keys(Grid(5, 4), 8, sampling, torch.Generator().manual_seed(4))
    inputs = [x.clone().requires_grad_() for x in qkv(5, 4)]
    litefocus_attention(*inputs, 4, cross_keys=drawn, cross_weight=weight).square().sum().backward()
    reference = [x.detach().clone().requires_grad_() for x in inputs]
    focus_attention(
        *reference, 4, same_frequency=True, drawn=drawn.index, overlap="once", cross_weight=weight
    ).square().sum().backward()
    for got, expected in zip(inputs, reference, strict=True):
        assert (got.grad - expected.grad).abs().max() < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    times,
    row_counts,
    seeds,
    st.sampled_from([0.1, 0.5, 1]),
    st.sampled_from([0.5, 10.0, 100.0]),
    st.sampled_from([1, 9]),
)
def test_two_calls_merged_by_their_log_sum_exps_give_the_same(time, mel_rows, seed, fraction, weight, size):
    grid = Grid(time, mel_rows)
    count = max(cross_key_count(grid, fraction, "stratified"), mel_rows)
    drawn = sample_cross_keys(grid, count, "stratified", torch.Generator().manual_seed(seed))
    q, k, v = qkv(time, mel_rows, seed=seed, size=size)
    merged = litefocus._two_calls(q, k, v, grid, drawn, weight, q.shape[-1] ** -0.5)
    switches = {"same_frequency": True, "overlap": "once", "cross_weight": weight}
    expected = focus_attention(q, k, v, mel_rows, drawn=drawn.index, **switches)
    assert (merged - expected).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_two_calls_keep_half_precision(dtype):
    drawn = sample_cross_keys(Grid(63, 8), 48, "stratified", torch.Generator().manual_seed(1))
    q, k, v = qkv(63, 8, width=32, dtype=dtype)
    merged = litefocus._two_calls(q, k, v, Grid(63, 8), drawn, 10.0, 32**-0.5)
    switches = {"same_frequency": True, "overlap": "once", "cross_weight": 10.0}
    expected = focus_attention(q, k, v, 8, drawn=drawn.index, **switches)
    assert merged.dtype == dtype and (merged - expected).abs().max() <= TOLERANCE[dtype]


@pytest.fixture
def fused_calls(monkeypatch):
    """The masks of the fused calls that are made, in order."""
    seen = []
    plain, with_lse = litefocus.F.scaled_dot_product_attention, rows.attention_with_lse
    monkeypatch.setattr(
        litefocus.F,
        "scaled_dot_product_attention",
        lambda *a, **kw: (seen.append(kw.get("attn_mask")), plain(*a, **kw))[1],
    )
    monkeypatch.setattr(rows, "attention_with_lse", lambda *a, **kw: (seen.append(None), with_lse(*a, **kw))[1])
    return seen


def test_a_stratified_draw_takes_one_fused_call_without_a_mask(fused_calls):
    drawn = sample_cross_keys(Grid(31, 8), 24, "stratified", torch.Generator())
    litefocus_attention(*qkv(31, 8), 8, cross_keys=drawn)
    assert fused_calls == [None]


def test_a_weight_is_one_row_of_bias_on_the_cpu_and_a_second_call_on_cuda(fused_calls, monkeypatch):
    drawn = sample_cross_keys(Grid(31, 8), 24, "stratified", torch.Generator())
    on_cpu = litefocus_attention(*qkv(31, 8), 8, cross_keys=drawn, cross_weight=10.0)
    assert [mask.shape for mask in fused_calls] == [(1, 1, 1, 31 + 7 * 3)]
    fused_calls.clear()
    monkeypatch.setattr(litefocus, "merges_calls", lambda q, k, v: True)
    on_cuda = litefocus_attention(*qkv(31, 8), 8, cross_keys=drawn, cross_weight=10.0)
    assert fused_calls == [None, None]
    assert (on_cpu - on_cuda).abs().max() < 1e-6


def test_two_calls_are_merged_only_on_cuda_with_a_kernel_and_without_gradients(monkeypatch):
    class OnCuda:
        is_cuda, requires_grad, dtype, shape, device = True, False, torch.float16, (1, 1, 1, 32), torch.device("cuda")

    class Learning(OnCuda):
        requires_grad = True

    monkeypatch.setattr(litefocus, "lse_kernel", lambda device, dtype, width: (device, dtype, width))
    assert litefocus.merges_calls(OnCuda, OnCuda, OnCuda)
    assert not litefocus.merges_calls(OnCuda, OnCuda, Learning)
    with torch.no_grad():
        assert litefocus.merges_calls(OnCuda, OnCuda, Learning)
    monkeypatch.setattr(litefocus, "lse_kernel", lambda *_: None)
    assert not litefocus.merges_calls(OnCuda, OnCuda, OnCuda)
    assert not litefocus.merges_calls(*qkv(1, 1))


def test_a_plain_index_with_equal_counts_is_seen_to_be_stratified():
    grid = Grid(9, 4)
    drawn = sample_cross_keys(grid, 12, "stratified", torch.Generator().manual_seed(6))
    shuffled = drawn.index[torch.randperm(12, generator=torch.Generator().manual_seed(0))]
    recognised = CrossKeys.from_index(torch.cat([shuffled, shuffled[:5]]), grid)
    assert recognised.per_row == 3
    assert recognised.index.view(4, 3).remainder(4).eq(torch.arange(4)[:, None]).all()
    assert sorted(recognised.index.tolist()) == sorted(drawn.index.tolist())
    assert CrossKeys.from_index(shuffled[1:], grid).per_row is None


@settings(max_examples=50, deadline=None)
@given(times, row_counts, st.floats(0, 1), st.sampled_from(SAMPLINGS), seeds)
def test_draws_are_distinct_in_range_and_of_the_count_the_law_gives(time, mel_rows, fraction, sampling, seed):
    grid = Grid(time, mel_rows)
    count = cross_key_count(grid, fraction, sampling)
    drawn = sample_cross_keys(grid, count, sampling, torch.Generator().manual_seed(seed))
    assert len(set(drawn.index.tolist())) == count == drawn.index.numel()
    assert all(0 <= n < grid.tokens for n in drawn.index.tolist())
    if sampling == "stratified":
        assert count == mel_rows * round(fraction * time) and drawn.per_row == round(fraction * time)
        assert torch.bincount(drawn.index % mel_rows, minlength=mel_rows).eq(drawn.per_row).all()
    else:
        assert count == math.floor(fraction * grid.tokens + 1e-9)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_key_is_drawn_equally_often(sampling):
    grid, generator = Grid(10, 4), torch.Generator().manual_seed(7)
    times_drawn = torch.zeros(40)
    for _ in range(4000):
        times_drawn[sample_cross_keys(grid, 8, sampling, generator).index] += 1
    # 4000 draws with chance 0.2: standard deviation 25.
    assert (times_drawn - 800).abs().max() < 5 * 25.3


def test_draws_leave_the_global_generator_alone():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    sample_cross_keys(Grid(20, 4), 8, "stratified", torch.Generator().manual_seed(0))
    sample_cross_keys(Grid(20, 4), 8, "uniform", torch.Generator().manual_seed(0))
    assert torch.equal(before, torch.get_rng_state())


WRONG = {
    "no focus set": ({"same_frequency": False}, "focus set is empty"),
    "overlap": ({"overlap": "thrice"}, "once, twice"),
    "weight zero": ({"cross_weight": 0.0}, "positive"),
    "weight infinite": ({"cross_weight": math.inf}, "positive"),
    "weight NaN": ({"cross_weight": math.nan}, "positive"),
    "weight of the published code": ({"overlap": "twice", "cross_weight": 2.0}, "no cross_weight"),
    "keys out of range": ({"cross_keys": torch.tensor([0, 12])}, "0..11"),
    "negative keys": ({"cross_keys": torch.tensor([-1])}, "0..11"),
    "keys as floats": ({"cross_keys": torch.tensor([1.0])}, "LongTensor"),
    "keys in 2-D": ({"cross_keys": torch.zeros(2, 2, dtype=torch.long)}, "1-D"),
}


@pytest.mark.parametrize("arguments, message", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        litefocus_attention(*qkv(3, 4), 4, **arguments)
    assert "\n" not in str(caught.value)


def test_wrong_tensors_are_refused():
    q, k, v = qkv(3, 4)
    with pytest.raises(InputError, match="12 tokens"):
        litefocus_attention(q, k, v, 5)
    with pytest.raises(InputError, match="one shape"):
        litefocus_attention(q, k[:, :, :-1], v, 4)
    with pytest.raises(InputError, match="dtype"):
        litefocus_attention(q, k.half(), v, 4)
    with pytest.raises(InputError, match="dtype"):
        litefocus_attention(q.long(), k.long(), v.long(), 4)
    with pytest.raises(InputError, match="one device"):
        litefocus_attention(q, k, v.to("meta"), 4)
