"""Exact attention mass: every function against a float64 brute force, both roads, and the cases known by hand."""

import math
from contextlib import ExitStack
from unittest.mock import patch

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from focuslab.attention import CrossKeys, kernels, litefocus_attention, mass, sample_cross_keys
from focuslab.attention.grid import Grid
from focuslab.attention.mass import (
    focus_recall,
    label_lse,
    mass_by_label,
    mass_from_lse,
    mass_of_sets,
    same_frequency_mass,
)
from focuslab.attention.rows import cross_key_attention, own_row_attention
from focuslab.attention.statistics import attention_entropy, entropy_from_lse
from focuslab.errors import InputError


def own_row_lse(q, k, mel_rows, scale):
    return own_row_attention(q, k, k, mel_rows, scale)[1]


def focus_lse(q, k, mel_rows, keys, scale, lse_own=None):
    own = own_row_lse(q, k, mel_rows, scale) if lse_own is None else lse_own
    return torch.logaddexp(own, cross_key_attention(q, k, k, mel_rows, keys, scale)[1])


DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
# Inputs are rounded before the brute force sees them: what is left is the kernel's own rounding.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-4, torch.float16: 1e-4}
ROADS = ["kernel", "fallback"]
KINDS = ["random", "planted", "peaked", "equal"]


def road(name):
    """Leave the kernels as they are, or let none return a log-sum-exp. The fallback works in blocks of 1 MiB."""
    stack = ExitStack()
    stack.enter_context(patch.object(kernels, "FALLBACK_BLOCK_BYTES", 2**20))
    if name == "fallback":
        stack.enter_context(patch.object(kernels, "lse_kernel", lambda *_: None))
        stack.enter_context(patch.object(mass, "lse_kernel", lambda *_: None))
    return stack


def make_qk(grid, kind="random", size=5.0, dtype=torch.float32, batch=1, heads=2, width=32, seed=0):
    """q and k with strides as in a UNet; the largest score is `size` where it is not 0 by the kind."""
    generator = torch.Generator().manual_seed(seed)
    q, k = (
        torch.randn(batch, grid.tokens, heads, width, generator=generator, dtype=torch.float64).transpose(1, 2)
        for _ in range(2)
    )
    if kind == "planted":  # each mel row has a direction of its own
        rows = torch.eye(max(width, grid.mel_rows), dtype=torch.float64)[: grid.mel_rows, :width]
        q = k = rows.repeat(grid.time, 1).expand_as(q) + 0.05 * q
    elif kind == "peaked":  # all queries look at one token
        k = 0.05 * k
        k[:, :, grid.tokens // 2] = q[:, :, 0]
        q = q[:, :, :1] + 0.05 * q
    elif kind == "equal":
        k = k[:, :, :1].expand_as(k)
    largest = (q @ k.transpose(-1, -2)).abs().max() * width**-0.5
    return (q * (size / largest)).to(dtype), k.to(dtype)


def probabilities(q, k, scale=None):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return (q.double() @ k.double().transpose(-1, -2) * scale).softmax(-1)


def own_row(grid):
    """`[N, N]`: whether a query and a key share their mel row."""
    row = torch.arange(grid.tokens) % grid.mel_rows
    return row[:, None] == row


def focus_set(grid, index):
    member = own_row(grid)
    member[:, index] = True
    return member


def brute_entropy(q, k, scale=None):
    p = probabilities(q, k, scale)
    return torch.special.entr(p).sum(-1)


def off(value, expected):
    assert value.shape == expected.shape
    return (value - expected).abs().max().item()


grids = st.builds(Grid, st.sampled_from([1, 3, 63]), st.sampled_from([1, 2, 4, 8, 16])) | st.builds(
    Grid, st.just(125), st.sampled_from([1, 2, 4, 8])
)
cases = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "size": st.sampled_from([0.5, 5.0, 20.0, 50.0]),
        "dtype": st.sampled_from(DTYPES),
        "batch": st.sampled_from([1, 2]),
        "heads": st.sampled_from([1, 3]),
        "width": st.sampled_from([8, 32, 40, 64]),
        "seed": st.integers(0, 99),
    }
)
few = settings(max_examples=25, deadline=None, derandomize=True)


# Against brute force.


@few
@given(grids, cases, st.sampled_from(ROADS))
def test_same_frequency_mass_is_the_softmax_mass_of_the_own_row(grid, case, name):
    q, k = make_qk(grid, **case)
    with road(name):
        found = same_frequency_mass(q, k, grid.mel_rows)
    expected = (probabilities(q, k) * own_row(grid)).sum(-1)
    assert found.dtype == (torch.float64 if q.dtype == torch.float64 else torch.float32)
    assert off(found, expected) <= TOLERANCE[q.dtype]
    assert found.min() >= 0 and found.max() <= 1


@few
@given(grids, cases, st.sampled_from(ROADS), st.sampled_from([1, 2, 7, 40, 150]))
def test_mass_by_label_is_softmax_times_one_hot(grid, case, name, n_labels):
    assume(n_labels * grid.tokens <= 40_000)
    q, k = make_qk(grid, **case)
    labels = torch.randint(n_labels, (grid.tokens,), generator=torch.Generator().manual_seed(case["seed"]))
    with road(name):
        found = mass_by_label(q, k, labels, n_labels)
    expected = probabilities(q, k) @ torch.nn.functional.one_hot(labels, n_labels).double()
    assert found.dtype == (torch.float64 if q.dtype == torch.float64 else torch.float32)
    assert off(found, expected) <= TOLERANCE[q.dtype]
    assert off(found.sum(-1), torch.ones(q.shape[:3])) <= 1e-5


@few
@given(grids, cases, st.sampled_from(ROADS), st.sampled_from(["uniform", "stratified", "one row"]), st.floats(0, 1))
def test_focus_recall_is_the_dense_mass_inside_the_focus_set(grid, case, name, sampling, share):
    q, k = make_qk(grid, **case)
    generator = torch.Generator().manual_seed(case["seed"])
    if sampling == "one row":
        keys = torch.arange(0, grid.tokens, grid.mel_rows)
    else:
        keys = sample_cross_keys(grid, int(share * grid.tokens), sampling, generator)
    with road(name):
        found = focus_recall(q, k, grid.mel_rows, keys)
    index = keys.index if isinstance(keys, CrossKeys) else keys
    expected = (probabilities(q, k) * focus_set(grid, index)).sum(-1)
    assert found.dtype == (torch.float64 if q.dtype == torch.float64 else torch.float32)
    assert off(found, expected) <= TOLERANCE[q.dtype]
    assert found.max() <= 1


@few
@given(grids, cases, st.sampled_from(ROADS))
def test_entropy_is_that_of_the_softmax(grid, case, name):
    q, k = make_qk(grid, **case)
    with road(name):
        found = attention_entropy(q, k)
    assert found.dtype == (torch.float64 if q.dtype == torch.float64 else torch.float32)
    # Half precision is only in the inputs.
    assert off(found, brute_entropy(q, k)) <= (1e-12 if q.dtype == torch.float64 else 1e-5)
    assert found.min() >= 0 and found.max() <= math.log(grid.tokens) + 1e-6


@pytest.mark.parametrize("name", ROADS)
def test_scale_is_a_parameter(name):
    grid, scale = Grid(9, 4), 0.7
    q, k = make_qk(grid)
    p = probabilities(q, k, scale)
    index = torch.tensor([1, 6, 7])
    with road(name):
        assert off(same_frequency_mass(q, k, 4, scale=scale), (p * own_row(grid)).sum(-1)) < 1e-5
        assert off(focus_recall(q, k, 4, index, scale=scale), (p * focus_set(grid, index)).sum(-1)) < 1e-5
        labels = torch.arange(36) // 9
        expected = p.unflatten(-1, (4, 9)).sum(-1)
        assert off(mass_by_label(q, k, labels, 4, scale=scale), expected) < 1e-5
        assert off(attention_entropy(q, k, scale=scale), brute_entropy(q, k, scale)) < 1e-5


# The roads against each other, and the parts that the recording processor takes.


@few
@given(grids, cases)
def test_the_roads_agree(grid, case):
    q, k = make_qk(grid, **case)
    scale = q.shape[-1] ** -0.5
    labels = torch.arange(grid.tokens) // 5 % 7
    by_lse = label_lse(q, k, labels, 7, scale).softmax(-1)
    by_one_hot = mass_of_sets(q, k, torch.nn.functional.one_hot(labels, 7), scale)
    assert off(by_lse, by_one_hot) <= TOLERANCE[q.dtype]
    lse_all = kernels.attention_with_lse(q, k, k)[1]
    assert off(label_lse(q, k, labels, 7, scale).logsumexp(-1), lse_all) <= 5 * TOLERANCE[q.dtype]


@few
@given(grids, cases, st.sampled_from(ROADS), st.sampled_from(["uniform", "stratified"]))
def test_parts_over_a_dense_pass_give_the_same_masses(grid, case, name, sampling):
    q, k = make_qk(grid, **case)
    scale, rows = q.shape[-1] ** -0.5, grid.mel_rows
    keys = sample_cross_keys(grid, grid.tokens // 3, sampling, torch.Generator().manual_seed(0))
    with road(name):
        lse_all = kernels.attention_with_lse(q, k, k)[1]
        own = own_row_lse(q, k, rows, scale)
        focus = focus_lse(q, k, rows, keys, scale, lse_own=own)
    # Two passes round a score of 50 each in its own way.
    tolerance = 3 * TOLERANCE[q.dtype]
    p = probabilities(q, k)
    assert off(mass_from_lse(own, lse_all), (p * own_row(grid)).sum(-1)) <= tolerance
    assert off(mass_from_lse(focus, lse_all), (p * focus_set(grid, keys.index)).sum(-1)) <= tolerance
    with road(name):
        assert torch.equal(focus, focus_lse(q, k, rows, keys, scale))


@pytest.mark.parametrize("name", ROADS)
@pytest.mark.parametrize("sampling", ["uniform", "stratified"])
def test_own_and_drawn_attention_merge_to_litefocus(sampling, name):
    grid = Grid(63, 4)
    q, k = make_qk(grid)
    v = make_qk(grid, seed=1)[0]
    keys = sample_cross_keys(grid, 40, sampling, torch.Generator().manual_seed(0))
    with road(name):
        own, lse_own = own_row_attention(q, k, v, 4, 32**-0.5)
        drawn, lse_drawn = cross_key_attention(q, k, v, 4, keys, 32**-0.5)
    for weight in (1.0, 6.0):
        merged = torch.lerp(own, drawn, torch.sigmoid(lse_drawn + math.log(weight) - lse_own)[..., None])
        assert off(merged, litefocus_attention(q, k, v, 4, cross_keys=keys, cross_weight=weight)) < 1e-5


def test_drawn_attention_is_empty_for_rows_without_other_keys():
    q, k = make_qk(Grid(9, 4))
    out, lse = cross_key_attention(q, k, k, 4, CrossKeys(torch.tensor([2, 6])), 1.0)  # both of mel row 2
    assert (out[:, :, 2::4] == 0).all() and (lse[:, :, 2::4] == -math.inf).all()
    assert lse[:, :, 0::4].isfinite().all()
    out, lse = cross_key_attention(q, k, k, 4, CrossKeys(torch.tensor([], dtype=torch.long), 0), 1.0)
    assert (out == 0).all() and (lse == -math.inf).all()
    assert torch.equal(
        focus_lse(q, k, 4, CrossKeys(torch.tensor([], dtype=torch.long), 0), 1.0), own_row_lse(q, k, 4, 1)
    )


def test_entropy_in_parts():
    q, k = make_qk(Grid(63, 4))
    mean_key, lse = kernels.attention_with_lse(q, k, k)
    assert off(entropy_from_lse(q, mean_key, lse, 32**-0.5), brute_entropy(q, k)) < 1e-5


# Cases known by hand.


@pytest.mark.parametrize("name", ROADS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mel_rows", [1, 2, 4, 8, 16])
def test_uniform_attention_is_at_chance(mel_rows, dtype, name):
    grid = Grid(63, mel_rows)
    q, k = make_qk(grid, "equal", dtype=dtype)
    index = torch.arange(0, grid.tokens, mel_rows)  # all of row 0
    with road(name):
        assert off(same_frequency_mass(q, k, mel_rows), torch.full(q.shape[:3], grid.chance)) < 1e-6
        assert off(attention_entropy(q, k), torch.full(q.shape[:3], math.log(grid.tokens))) < 1e-5
        recall = focus_recall(q, k, mel_rows, index)
    # Queries of row 0 have these keys already.
    assert off(recall[:, :, 0::mel_rows], torch.full((1, 2, 63), 1 / mel_rows)) < 5e-6
    if mel_rows > 1:
        assert off(recall[:, :, 1::mel_rows], torch.full((1, 2, 63), 2 / mel_rows)) < 5e-6


@pytest.mark.parametrize("name", ROADS)
@pytest.mark.parametrize("mel_rows", [2, 8, 16])
def test_planted_attention_stays_in_its_row(mel_rows, name):
    q, k = make_qk(Grid(63, mel_rows), "planted", size=50.0)
    with road(name):
        assert same_frequency_mass(q, k, mel_rows).min() > 0.99
        # The F x F matrix of mass from query row to key row.
        rows = torch.arange(63 * mel_rows) % mel_rows
        by_row = mass_by_label(q, k, rows, mel_rows).unflatten(2, (63, mel_rows)).mean(dim=2)
    assert off(by_row, torch.eye(mel_rows).expand_as(by_row)) < 0.01
    assert off(by_row.sum(-1), torch.ones(1, 2, mel_rows)) < 1e-5


@pytest.mark.parametrize("name", ROADS)
@pytest.mark.parametrize("size", [50.0, 1e4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_key_takes_everything(dtype, size, name):
    grid, chosen = Grid(63, 4), 63 * 4 // 2  # in mel row 2
    q, k = make_qk(grid, dtype=dtype)
    q, k = torch.ones_like(q), torch.zeros_like(k)
    k[:, :, chosen] = size * 32**-0.5
    takes_all = torch.arange(grid.tokens) % 4 == chosen % 4
    with road(name):
        assert off(same_frequency_mass(q, k, 4), takes_all.float().expand(1, 2, -1)) < 1e-6
        assert off(focus_recall(q, k, 4, torch.tensor([chosen])), torch.ones(1, 2, 252)) < 1e-6
        assert off(focus_recall(q, k, 4, torch.tensor([0, 1])), takes_all.float().expand(1, 2, -1)) < 1e-6
        # Half of a score of 1e4 in float16 is no number that can be kept: the key is rounded, and so is the score.
        assert off(attention_entropy(q, k), torch.zeros(1, 2, 252)) < 1e-5


@pytest.mark.parametrize("name", ROADS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_row_holds_everything(dtype, name):
    q, k = make_qk(Grid(125, 1), size=50.0, dtype=dtype)
    with road(name):
        for found in (same_frequency_mass(q, k, 1), focus_recall(q, k, 1, torch.tensor([3]))):
            assert (found == 1).all()


@pytest.mark.parametrize("name", ROADS)
def test_a_focus_set_counts_every_key_once(name):
    grid = Grid(9, 4)
    q, k = make_qk(grid)
    index = torch.tensor([5, 2, 35])
    with road(name):
        once = focus_recall(q, k, 4, index)
        assert torch.equal(focus_recall(q, k, 4, torch.tensor([35, 5, 2, 5, 5, 2])), once)
        assert torch.equal(focus_recall(q, k, 4, CrossKeys(index)), once)
        own = same_frequency_mass(q, k, 4)
        for nothing in (None, torch.tensor([], dtype=torch.long), CrossKeys(torch.tensor([], dtype=torch.long), 0)):
            assert torch.equal(focus_recall(q, k, 4, nothing), own)
        assert off(focus_recall(q, k, 4, torch.arange(36)), torch.ones(1, 2, 36)) < 1e-6
        # Keys of one row add nothing to the queries of that row.
        assert off(focus_recall(q, k, 4, torch.tensor([2, 6]))[:, :, 2::4], own[:, :, 2::4]) < 1e-6


@pytest.mark.parametrize("name", ROADS)
def test_labels_need_not_all_have_keys(name):
    q, k = make_qk(Grid(9, 4))
    with road(name):
        found = mass_by_label(q, k, torch.full((36,), 3), 300)
    assert off(found[..., 3], torch.ones(1, 2, 36)) < 1e-6
    assert found.sum() == found[..., 3].sum()


@pytest.mark.parametrize("name", ROADS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["query", "key"])
def test_what_is_not_finite_is_not_hidden(where, bad, name):
    # With 9 keys in a row the CPU's fused kernel gives such a query an output and a log-sum-exp of 0.
    q, k = make_qk(Grid(9, 4))
    (q if where == "query" else k)[0, 1, 5, 0] = bad
    expected = torch.zeros(1, 2, 36, dtype=torch.bool)
    expected[0, 1, 5 if where == "query" else slice(None)] = True
    with road(name):
        assert torch.equal(same_frequency_mass(q, k, 4).isnan(), expected)
        assert torch.equal(focus_recall(q, k, 4, torch.tensor([1])).isnan(), expected)
        assert torch.equal(attention_entropy(q, k).isnan(), expected)
        by_label = mass_by_label(q, k, torch.arange(36) % 4, 4)
        assert torch.equal(by_label.isnan(), expected[..., None].expand_as(by_label))


def test_statistics_have_no_gradient():
    q, k = (x.requires_grad_() for x in make_qk(Grid(9, 4)))
    for found in (
        same_frequency_mass(q, k, 4),
        mass_by_label(q, k, torch.arange(36), 36),
        focus_recall(q, k, 4, torch.tensor([1])),
        attention_entropy(q, k),
    ):
        assert not found.requires_grad


# Memory.


class LargestTensor(TorchDispatchMode):
    """The largest tensor, in elements, that any operation returns with storage of its own."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.untyped_storage().nbytes() // value.element_size())
        return result


@pytest.mark.parametrize("name", ROADS)
def test_no_map_is_ever_made(name):
    grid = Grid(250, 8)
    q, k = make_qk(grid, heads=1)
    index = torch.arange(0, grid.tokens, 7)
    labels = torch.arange(grid.tokens) // 200
    with road(name), LargestTensor() as largest:
        same_frequency_mass(q, k, 8)
        mass_by_label(q, k, labels, 10)
        focus_recall(q, k, 8, index)
        attention_entropy(q, k)
        focus_lse(q, k, 8, CrossKeys(index), 1.0)
    # A tensor of N x D, padded for the labels; a block of the fallback is 1 MiB here.
    assert largest.elements <= 2**20 // 4 < grid.tokens**2 / 10


# Wrong input.


def refused(function, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_wrong_input_is_refused_in_one_line():
    q, k = make_qk(Grid(9, 4))
    none = torch.tensor([], dtype=torch.long)
    functions = [
        lambda q, k: same_frequency_mass(q, k, 4),
        lambda q, k: mass_by_label(q, k, torch.zeros(36, dtype=torch.long), 1),
        lambda q, k: focus_recall(q, k, 4, none),
        attention_entropy,
    ]
    for function in functions:
        assert "one shape" in refused(function, q, k[:, :, 1:])
        assert "one shape" in refused(function, q[0], k[0])
        assert "dtype" in refused(function, q, k.double())
        assert "dtype" in refused(function, q.long(), k.long())
        assert "device" in refused(function, q, k.to("meta"))
        assert "0 tokens" in refused(function, q[:, :, :0], k[:, :, :0])
    for mel_rows in (0, 5):
        assert f"{mel_rows} mel rows" in refused(same_frequency_mass, q, k, mel_rows)
        assert f"{mel_rows} mel rows" in refused(focus_recall, q, k, mel_rows, None)


@pytest.mark.parametrize(
    ("labels", "n_labels", "expected"),
    [
        (torch.zeros(35, dtype=torch.long), 1, "each of the 36 keys"),
        (torch.zeros(36), 1, "LongTensor"),
        (torch.zeros(36, 1, dtype=torch.long), 1, "each of the 36 keys"),
        (torch.arange(36), 35, "0..34, but reach from 0 to 35"),
        (torch.arange(36) - 1, 36, "reach from -1"),
        (torch.zeros(36, dtype=torch.long), 0, "n_labels must be at least 1"),
    ],
)
def test_wrong_labels_are_refused(labels, n_labels, expected):
    assert expected in refused(mass_by_label, *make_qk(Grid(9, 4)), labels, n_labels)


@pytest.mark.parametrize("keys", [torch.tensor([36]), torch.tensor([-1]), torch.tensor([1.0]), torch.tensor([[1]])])
def test_wrong_cross_keys_are_refused(keys):
    assert "cross_keys must" in refused(focus_recall, *make_qk(Grid(9, 4)), 4, keys)
