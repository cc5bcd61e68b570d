"""Compiled UNets: no graph break in a method, one compilation a length, the result of eager."""

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters

from focuslab import LiteFocus, detach
from focuslab.attention import litefocus
from focuslab.models.conditioning import encode_prompt, guided_inputs
from focuslab.models.identity import unet_layout
from focuslab.models.sites import find_sites, select_sites, unet_of
from tests.configurations import METHODS
from tests.plans import everywhere, plan_of
from tests.small_unet import inputs_of, small_unet

TIMESTEPS = torch.tensor([900, 600, 300, 0])


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def built():
    return small_unet()


@pytest.fixture
def unet(built):
    return copy.deepcopy(built)


@pytest.fixture
def compiled():
    return CompileCounterWithBackend("eager")


@torch.no_grad()
def outputs(unet, frames=32):
    return [unet(**inputs_of(t, frames))[0] for t in TIMESTEPS]


def off(got, expected) -> float:
    return max((a - b).abs().max().item() for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_no_method_breaks_the_graph_or_recompiles_a_step(name, unet, compiled):
    attn = unet.get_submodule(find_sites(unet)[0].name)
    with METHODS[name](unet):
        expected = outputs(unet)
        attn.compile(backend=compiled, fullgraph=True)
        assert off(outputs(unet), expected) < 1e-4
    assert compiled.frame_count == 1


def test_the_merged_calls_of_cuda_do_not_break_the_graph_either(unet, compiled, monkeypatch):
    monkeypatch.setattr(litefocus, "merges_calls", lambda q, k, v: True)
    attn = unet.get_submodule(find_sites(unet)[0].name)
    with LiteFocus(cross_weight="unbiased")(unet):
        expected = outputs(unet)
        attn.compile(backend=compiled, fullgraph=True)
        assert off(outputs(unet), expected) < 1e-4
    assert compiled.frame_count == 1


def test_each_length_is_compiled_once(unet, compiled):
    attn = unet.get_submodule(find_sites(unet)[0].name)
    with LiteFocus(cross_weight="unbiased")(unet):
        expected = [outputs(unet, frames) for frames in (32, 64, 32, 64)]
        attn.compile(backend=compiled, fullgraph=True)
        assert all(off(outputs(unet, f), e) < 1e-4 for f, e in zip((32, 64, 32, 64), expected, strict=True))
    assert compiled.frame_count == 2


def test_attaching_after_compiling_takes_effect_and_ends(unet, compiled):
    dense = outputs(unet)
    site = find_sites(unet)[0].name
    unet.get_submodule(site).compile(backend=compiled, fullgraph=True)
    assert off(outputs(unet), dense) < 1e-4
    with LiteFocus(sites=site)(unet):
        assert off(outputs(unet), dense) > 1e-4
    assert off(outputs(unet), dense) < 1e-4
    assert compiled.frame_count == 2


def test_a_wrapped_unet_keeps_its_names(unet, compiled):
    wrapped = torch.compile(unet, backend=compiled)
    assert unet_of(wrapped) is unet and find_sites(wrapped) == find_sites(unet)
    LiteFocus().attach(wrapped)
    detach(wrapped)
    assert not unet._forward_pre_hooks


@pytest.fixture
def steps_of(pipe):
    """steps_of() -> the outputs of random:tiny's UNet at three steps."""
    conditioning = guided_inputs(pipe, encode_prompt(pipe, "rain"))
    sample = torch.randn(2, 8, 32, 16, generator=torch.Generator().manual_seed(0))
    pipe.scheduler.set_timesteps(3)

    @torch.no_grad()
    def steps():
        return [pipe.unet(sample, t, **conditioning)[0] for t in pipe.scheduler.timesteps]

    return steps


@pytest.mark.slow
def test_a_plan_of_both_weights_is_one_graph_of_a_wrapped_unet(pipe, steps_of, compiled, monkeypatch):
    names = [site.name for site in select_sites(find_sites(pipe), None)]
    plan = plan_of({0: everywhere(names[::2]) | everywhere(names[1::2], cross_weight="unbiased")}, unet_layout(pipe))
    with plan(pipe):
        expected = steps_of()
    monkeypatch.setattr(pipe, "unet", torch.compile(pipe.unet, backend=compiled))
    with plan(pipe):
        assert off(steps_of(), expected) < 1e-4
    assert compiled.frame_count == 1 and not counters["graph_break"]


def test_dense_steps_of_a_plan_are_a_second_graph(pipe, steps_of, compiled, monkeypatch):
    site = select_sites(find_sites(pipe), None)[0]
    plan = plan_of({0: everywhere([site.name])}, unet_layout(pipe), dense_steps={"first": 1, "last": 0})
    attn = pipe.unet.get_submodule(site.name)
    with plan(pipe):
        expected = steps_of()
        monkeypatch.setattr(attn, "_compiled_call_impl", None)
        attn.compile(backend=compiled, fullgraph=True)
        assert off(steps_of(), expected) < 1e-4
    assert compiled.frame_count == 2


@pytest.mark.slow
def test_inductor_gives_what_eager_gives(unet):
    with LiteFocus(cross_weight="unbiased")(unet):
        expected = outputs(unet)
        unet.compile()
        assert off(outputs(unet), expected) < 1e-4
