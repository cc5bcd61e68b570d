import warnings
from copy import deepcopy

import pytest
import torch
from accelerate import cpu_offload
from torch import nn

from focuslab.errors import InputError
from focuslab.models import fingerprint as module
from focuslab.models.fingerprint import _factors, _sum, _words, fingerprint


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 6))


@pytest.fixture
def narrow(monkeypatch):
    """Rows of 8 words, so that small tensors have several, and no tensor is small."""
    monkeypatch.setattr(module, "WIDTH", 8)
    monkeypatch.setattr(module, "SMALL", 0)


def noise(net):
    net[2].weight.view(-1)[17] += 1e-6


def swap_layers(net):
    net[0], net[2] = net[2], net[0]


def swap_values(net):
    flat = net[0].weight.view(-1)
    flat[[3, 4]] = flat[[4, 3]]


def turn_sign(net):
    net[0].weight.view(-1)[5] *= -1


def turn_two_signs(net):
    net[0].weight.view(-1)[[5, 9]] *= -1


def swap_a_value_and_its_opposite(net):
    flat = net[0].weight.view(-1)
    flat[9] = -flat[5]
    before = fingerprint(net)
    flat[[5, 9]] = flat[[9, 5]]
    assert fingerprint(net) != before


def swap_row_and_place(net):
    # Word 2 of row 1 and word 1 of row 2, of 8 words of two values each.
    flat = net[0].weight.view(-1)
    flat[[20, 21, 34, 35]] = flat[[34, 35, 20, 21]]


def swap_weight_and_bias(net):
    net[0].bias.copy_(net[2].weight[0])


def change_buffer(net):
    net[1].running_mean[2] = 1.0


def round_all(net):
    net.to(torch.bfloat16)


def reshape(net):
    net[0].weight = nn.Parameter(net[0].weight.view(4, 9))


CHANGES = [noise, swap_layers, swap_values, turn_sign, turn_two_signs, swap_a_value_and_its_opposite]
CHANGES += [swap_row_and_place, swap_weight_and_bias, change_buffer, round_all, reshape]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("width", [8, module.WIDTH])
def test_any_change_of_weights_changes_the_fingerprint(monkeypatch, width, change):
    monkeypatch.setattr(module, "WIDTH", width)
    monkeypatch.setattr(module, "SMALL", 0 if width == 8 else module.SMALL)
    changed = network()
    with torch.no_grad():
        change(changed)
    assert fingerprint(changed) != fingerprint(network())


def test_copies_and_other_strides_have_the_same_fingerprint():
    net, expected = network(), fingerprint(network())
    assert fingerprint(deepcopy(net)) == expected
    net[0].weight.data = net[0].weight.data.t().contiguous().t()
    assert fingerprint(net) == expected
    # Where a tensor begins in its storage is no part of it.
    for offset in (1, 2):
        net[0].weight.data = torch.cat([torch.zeros(offset), net[0].weight.data.reshape(-1)])[offset:].view(6, 6)
        assert fingerprint(net) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.bool, torch.uint8])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 1000])
def test_the_sum_is_that_of_whole_numbers(narrow, dtype, count):
    tensor = torch.randn(count, generator=torch.Generator().manual_seed(count)).mul(100).to(dtype)
    content = tensor.view(torch.uint8).numpy().tobytes()
    content += bytes(-len(content) % 8)
    words = [int.from_bytes(content[at : at + 8], "little", signed=True) for at in range(0, len(content), 8)]
    placed = _factors(8 + len(words) // 8 + 1, torch.device("cpu"))
    factors = placed.tolist()
    assert all(factor % 2 for factor in factors) and len(set(factors)) == len(factors)
    expected = sum((x + (x >> 32)) * factors[n % 8] * factors[8 + n // 8] for n, x in enumerate(words))
    assert (int(_sum(_words([tensor]), lambda _device: placed)) - expected) % 2**64 == 0


def test_neither_blocks_nor_threads_change_the_fingerprint(narrow, monkeypatch):
    # What is done on another device: other blocks, and sums in another order. Whole numbers have no rounding.
    net = nn.Linear(100, 1000)
    found, threads = set(), torch.get_num_threads()
    try:
        for rows in (1, 3, 512):
            for count in (1, 2):
                torch.set_num_threads(count)
                monkeypatch.setattr(module, "CPU_ROWS", rows)
                found.add(fingerprint(net))
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1


def test_compiled_networks_keep_their_fingerprint():
    expected = fingerprint(network())
    assert fingerprint(torch.compile(network())) == expected
    compiled = network()
    compiled.compile()
    assert fingerprint(compiled) == expected
    inside = network()
    inside[0] = torch.compile(inside[0])
    assert fingerprint(inside) == expected


@pytest.mark.parametrize("preload", [None, ["Sequential"]], ids=["each layer", "a whole part"])
def test_offloaded_networks_keep_their_fingerprint(preload):
    def nested():
        return nn.Sequential(network(), nn.Linear(6, 6, bias=False)).requires_grad_(False).apply(_fill)

    offloaded = nested()
    cpu_offload(offloaded, execution_device="cpu", offload_buffers=True, preload_module_classes=preload)
    assert all(p.is_meta for p in offloaded.parameters())
    assert fingerprint(offloaded) == fingerprint(nested())


def _fill(layer):
    for value in layer.parameters(recurse=False):
        value.copy_(torch.arange(value.numel()).view(value.shape))


def test_tied_weights_count_under_both_names():
    tied, apart = network(), network()
    tied[2].weight = tied[0].weight
    apart[2].weight = nn.Parameter(apart[0].weight.clone())
    assert fingerprint(tied) == fingerprint(apart) != fingerprint(network())


def test_weights_without_contents_have_no_fingerprint():
    with pytest.raises(InputError, match="meta"):
        fingerprint(network().to("meta"))


@pytest.mark.cuda
def test_a_gpu_gives_the_same_fingerprint_and_is_waited_for_once():
    net = nn.Sequential(network(), nn.Linear(2000, 3000), nn.Linear(301, 7).half())
    expected, on_device = fingerprint(net), deepcopy(net).to("cuda")
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = fingerprint(on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found == expected
    assert sum("synchroniz" in str(warning.message) for warning in caught) == 1
