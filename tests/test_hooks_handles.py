"""Whoever holds the handle: detaching, copies of an attached pipeline, processors that somebody else puts in place."""

import copy
import logging
import pickle

import pytest
import torch
from diffusers.models.attention_processor import (
    AttnProcessor,
    AttnProcessor2_0,
    FusedAttnProcessor2_0,
    SlicedAttnProcessor,
)

from focuslab import LiteFocus, TokenMerging, detach
from focuslab.errors import InputError
from focuslab.hooks.processors import SiteProcessor, check_plain
from focuslab.hooks.recorder import Recorder, Request
from focuslab.models.sites import find_sites
from tests.plans import everywhere
from tests.small_unet import inputs_of, plan_for, small_unet

SCHEDULE = torch.tensor([900, 600])


class Sharper(AttnProcessor2_0):
    """Attention with scores times 30."""

    def __call__(self, attn, hidden_states, *args, **kwargs):
        attn.to_q.weight.data.mul_(30)
        try:
            return super().__call__(attn, hidden_states, *args, **kwargs)
        finally:
            attn.to_q.weight.data.div_(30)


@pytest.fixture
def unet():
    return small_unet()


@torch.no_grad()
def output(unet):
    return torch.stack([unet(**inputs_of(t))[0] for t in SCHEDULE])


def test_detach_takes_off_whatever_is_attached(unet):
    before, dense = dict(unet.attn_processors), output(unet)
    names = [site.name for site in find_sites(unet)]
    LiteFocus(sites=names[0]).attach(unet)
    TokenMerging(sites=names[1]).attach(unet)
    assert not torch.equal(output(unet), dense)
    detach(unet)
    detach(unet)
    assert all(unet.attn_processors[name] is processor for name, processor in before.items())
    assert not any(m._forward_pre_hooks for m in unet.modules())
    assert torch.equal(output(unet), dense)


def test_a_handle_that_was_detached_is_removed(unet):
    handle = LiteFocus().attach(unet)
    with pytest.raises(InputError, match=r"focuslab\.detach"):
        LiteFocus().attach(unet)
    detach(unet)
    assert "removed" in repr(handle)
    with LiteFocus()(unet):
        handle.remove()
        assert any(isinstance(p, SiteProcessor) for p in unet.attn_processors.values())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda unet: pickle.loads(pickle.dumps(unet))])
def test_a_copy_is_attached_by_itself(copied, unet, caplog):
    dense = output(unet)
    with LiteFocus()(unet):
        sparse = output(unet)
        with caplog.at_level(logging.WARNING):
            twin = copied(unet)
        assert [r.getMessage().count("detach") for r in caplog.records] == [1]
        assert torch.equal(output(twin), sparse)
        detach(twin)
        assert torch.equal(output(twin), dense) and torch.equal(output(unet), sparse)
        again = copied(unet)
    assert torch.equal(output(again), sparse) and torch.equal(output(unet), dense)


def test_a_copied_pipeline_runs_as_the_original(pipe, sound):
    with LiteFocus()(pipe):
        twin = copy.deepcopy(pipe)
        sparse = sound()
    run = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(0)}
    assert (twin("rain", audio_length_in_s=1.28, **run).audios[0] == sparse).all()


def test_replaced_processors_are_said_and_the_original_ones_restored(unet, caplog):
    before, dense = dict(unet.attn_processors), output(unet)
    with caplog.at_level(logging.WARNING), LiteFocus()(unet) as handle:
        assert handle.replaced == {}
        unet.set_attn_processor(AttnProcessor2_0())
        assert torch.equal(output(unet), dense)
        assert set(handle.replaced) == {site.name for site in handle.sites} and "replaced" in repr(handle)
        with pytest.raises(InputError, match="already"):
            LiteFocus().attach(unet)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    taken = {f"{site.name}.processor" for site in handle.sites}
    assert all(unet.attn_processors[name] is before[name] for name in taken)


def test_a_foreign_processor_is_refused_with_its_class(unet):
    sites = find_sites(unet)
    names = [site.name for site in sites]
    attn = unet.get_submodule(names[0])
    for processor in (Sharper(), FusedAttnProcessor2_0()):
        attn.set_processor(processor)
        sharp = output(unet) if isinstance(processor, Sharper) else None
        for attempt in (
            LiteFocus().attach,
            plan_for(unet, everywhere(names[:1])).attach,
            lambda unet: Recorder(Request(), {0}).attach(unet, names[0]),
        ):
            with pytest.raises(InputError, match=type(processor).__name__) as caught:
                attempt(unet)
            assert "\n" not in str(caught.value) and attn.processor is processor
        if sharp is not None:
            with plan_for(unet, everywhere(names[1:]))(unet):
                assert attn.processor is processor
            assert torch.equal(output(unet), sharp)


def test_processors_that_compute_plain_attention_are_taken(unet):
    attn = unet.get_submodule(find_sites(unet)[0].name)
    for processor in (AttnProcessor(), AttnProcessor2_0(), SlicedAttnProcessor(2)):
        attn.set_processor(processor)
        check_plain(attn, "here")


def test_sharper_scores_change_the_output(unet):
    dense = output(unet)
    for site in find_sites(unet):
        unet.get_submodule(site.name).set_processor(Sharper())
    assert (output(unet) - dense).abs().max() > 1e-3
