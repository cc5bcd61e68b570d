import copy
from types import SimpleNamespace

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor

from focuslab import LiteFocus, TokenMerging
from focuslab.errors import FocuslabError, InputError
from focuslab.hooks.attach import attach
from focuslab.hooks.processors import SiteProcessor, check_plain
from focuslab.models.sites import find_sites, select_sites


def processors(pipe):
    return dict(pipe.unet.attn_processors)


def attach_function(pipe, patterns, function):
    """Attach a method that computes every call by one function."""
    method = SimpleNamespace(forward=function, sample_keys=lambda call: None)
    return attach(pipe, patterns, lambda call, frames: method)


def passes_through(attn, hidden_states, call):
    return hidden_states


def test_exactly_the_chosen_sites_are_called_with_their_grids_and_steps(pipe, sound):
    calls = []

    def record(attn, hidden_states, call):
        calls.append(call)
        return hidden_states

    with attach_function(pipe, None, record) as handle:
        sound(steps=2)
    chosen = [s.name for s in select_sites(find_sites(pipe), None)]
    assert sorted(call.site.name for call in calls) == sorted(chosen * 2)
    assert {call.step for call in calls} == {0, 1}
    assert {(call.grid.time, call.grid.mel_rows) for call in calls} == {(16, 8)}
    assert set(handle.grids) == set(chosen)
    assert repr(handle) == f"<Handle: {len(chosen)} sites, removed>"


def test_leaving_restores_the_very_processors_and_the_sound_bit_for_bit(pipe, sound):
    before, untouched = processors(pipe), sound()
    with LiteFocus()(pipe):
        changed = [n for n, p in processors(pipe).items() if isinstance(p, SiteProcessor)]
        assert len(changed) == len(select_sites(find_sites(pipe), None))
        assert not (sound() == untouched).all()
    after = processors(pipe)
    assert after.keys() == before.keys() and all(after[n] is before[n] for n in before)
    assert (sound() == untouched).all()


def test_an_exception_restores_too(pipe, sound):
    before = processors(pipe)

    def fails(attn, hidden_states, call):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), attach_function(pipe, "mid_block", fails):
        sound()
    assert all(processors(pipe)[n] is before[n] for n in before)


def test_a_failure_while_attaching_leaves_nothing_behind(pipe, monkeypatch):
    before = processors(pipe)
    last = pipe.unet.get_submodule(select_sites(find_sites(pipe), None)[-1].name)
    original = last.set_processor

    def broken(processor):
        if isinstance(processor, SiteProcessor):
            raise KeyboardInterrupt
        original(processor)

    monkeypatch.setattr(last, "set_processor", broken)
    with pytest.raises(KeyboardInterrupt):
        LiteFocus().attach(pipe)
    assert all(processors(pipe)[n] is before[n] for n in before)


def test_remove_may_be_called_twice(pipe):
    handle = LiteFocus().attach(pipe)
    handle.remove()
    handle.remove()


def test_attaching_twice_is_refused_and_other_sites_are_not(pipe):
    with LiteFocus()(pipe):
        with pytest.raises(InputError, match=r"down_blocks\.1.*already") as caught:
            TokenMerging().attach(pipe)
        assert "\n" not in str(caught.value)
        with TokenMerging(sites="mid_block")(pipe) as other:
            assert {site.block for site in other.sites} == {"mid_block"}


def test_a_unet_serves_as_well_as_a_pipeline(pipe):
    with LiteFocus()(pipe.unet) as handle:
        assert len(handle.sites) == len(select_sites(find_sites(pipe), None))


def test_more_than_plain_self_attention_is_refused(pipe):
    attn = pipe.unet.get_submodule(find_sites(pipe)[0].name)
    check_plain(attn, "here")
    for name, value in (
        ("group_norm", torch.nn.Identity()),
        ("residual_connection", True),
        ("rescale_output_factor", 2),
    ):
        before = getattr(attn, name)
        setattr(attn, name, value)
        with pytest.raises(InputError, match=f"here.*{name}"):
            check_plain(attn, "here")
        setattr(attn, name, before)


def test_a_scale_that_the_processor_reads_is_refused(session_pipe):
    attn = copy.deepcopy(session_pipe.unet.get_submodule(find_sites(session_pipe)[0].name))
    attn.scale *= 3
    check_plain(attn, "here")  # the fused processor does not read it
    attn.set_processor(AttnProcessor())
    with pytest.raises(InputError, match="here is no plain self-attention .*scale"):
        check_plain(attn, "here")


def test_a_projection_of_another_class_is_a_site_too(session_pipe):
    unet = copy.deepcopy(session_pipe.unet)
    site = find_sites(unet)[0]
    attn = unet.get_submodule(site.name)
    attn.to_q = torch.nn.Sequential(attn.to_q)
    assert find_sites(unet)[0] == site


def test_masks_context_wrong_tokens_and_other_dtypes_are_refused(pipe):
    site = find_sites(pipe)[0]
    attn = pipe.unet.get_submodule(site.name)
    x = torch.zeros(1, 12, site.heads * site.head_width)
    with attach_function(pipe, site.name, passes_through) as handle:
        with pytest.raises(FocuslabError, match="outside of its Transformer2DModel"):
            attn(x)
        pipe.unet.get_submodule(site.holder)(torch.zeros(1, x.shape[-1], 3, 4))
        assert handle.grids[site.name].tokens == 12
        with pytest.raises(FocuslabError, match="mask"):
            attn(x, attention_mask=torch.zeros(1, 12))
        with pytest.raises(FocuslabError, match="encoder_hidden_states"):
            attn(x, encoder_hidden_states=x)
        with pytest.raises(FocuslabError, match="3 time steps x 4 mel rows has 12 tokens"):
            attn(x[:, :11])
        assert attn(x) is x
    with attach_function(pipe, site.name, lambda attn, hidden_states, call: hidden_states.double()):
        with pytest.raises(FocuslabError, match="keep the dtype"):
            pipe.unet.get_submodule(site.holder)(torch.zeros(1, x.shape[-1], 3, 4))


def test_each_generation_counts_its_own_steps_and_each_call_has_its_own_draw(pipe, sound):
    steps, draws = [], []

    def record(attn, hidden_states, call):
        steps.append(call.step)
        draws.append(torch.rand(1, generator=call.generator(3)).item())
        return hidden_states

    with attach_function(pipe, find_sites(pipe)[0].name, record):
        sound(steps=3)
        sound(steps=2)
    assert steps == [0, 1, 2, 0, 1]
    assert draws[:2] == draws[3:] and len(set(draws)) == 3


def test_a_draw_depends_on_seed_site_and_step_and_on_nothing_else(pipe, sound):
    calls = []

    def record(attn, hidden_states, call):
        calls.append(call)
        return hidden_states

    with attach_function(pipe, None, record):
        sound(steps=2)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    draws = {(c.site.name, c.step, seed): torch.rand(4, generator=c.generator(seed)) for c in calls for seed in (0, 1)}
    assert torch.equal(torch.get_rng_state(), before)
    assert len({tuple(d.tolist()) for d in draws.values()}) == len(draws)
