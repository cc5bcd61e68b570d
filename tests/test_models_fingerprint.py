from copy import deepcopy

import pytest
import torch
from accelerate import cpu_offload
from torch import nn

from focuslab.models import fingerprint as module
from focuslab.models.fingerprint import fingerprint


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 6))


def noise(net):
    net[2].weight.view(-1)[17] += 1e-6


def swap_layers(net):
    net[0], net[2] = net[2], net[0]


def swap_values(net):
    flat = net[0].weight.view(-1)
    flat[[3, 4]] = flat[[4, 3]]


def turn_sign(net):
    net[0].weight.view(-1)[5] *= -1


def change_buffer(net):
    net[1].running_mean[2] = 1.0


def round_all(net):
    net.to(torch.bfloat16)


CHANGES = [noise, swap_layers, swap_values, turn_sign, change_buffer, round_all]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_any_change_of_weights_changes_the_fingerprint(change):
    changed = network()
    with torch.no_grad():
        change(changed)
    assert fingerprint(changed) != fingerprint(network())


def test_copies_and_other_strides_have_the_same_fingerprint(monkeypatch):
    net, expected = network(), fingerprint(network())
    assert fingerprint(deepcopy(net)) == expected
    net[0].weight.data = net[0].weight.data.t().contiguous().t()
    assert fingerprint(net) == expected
    monkeypatch.setattr(module, "THREADS", 1)
    assert fingerprint(net) == expected


def test_compiled_and_offloaded_networks_keep_their_fingerprint():
    expected = fingerprint(network())
    assert fingerprint(torch.compile(network())) == expected
    compiled = network()
    compiled.compile()
    assert fingerprint(compiled) == expected
    offloaded = network()
    cpu_offload(offloaded, execution_device="cpu")
    assert all(p.is_meta for p in offloaded.parameters())
    assert fingerprint(offloaded) == expected


def test_weights_without_contents_have_no_fingerprint():
    with pytest.raises(ValueError, match="meta"):
        fingerprint(network().to("meta"))
