"""focuslab.hooks.output_error and .latents: the error of a whole call, for less than one, and nothing left behind."""

from contextlib import nullcontext

import pytest
import torch

from focuslab.errors import FocuslabError
from focuslab.hooks.denoise import LatentRecorder, latents_at
from focuslab.hooks.output_error import OutputError
from focuslab.methods import LiteFocus, TokenMerging, parse_method
from focuslab.methods.references import Dense
from focuslab.models.conditioning import encode_prompt, guidance_scale
from focuslab.models.schedule import schedule_of
from tests.schedulers import with_scheduler

SECONDS, STEPS, STEP = 0.64, 3, 1


@pytest.fixture(scope="module")
def given(session_pipe):
    conditioning = encode_prompt(session_pipe, "rain")
    return conditioning, latents_at(session_pipe, conditioning, SECONDS, STEPS, (0, STEP), seed=5)


@pytest.fixture
def probe(pipe, given):
    pipe.scheduler.set_timesteps(STEPS)
    return OutputError(pipe, given[0], given[1][STEP], STEP)


def generate(pipe, conditioning, method, record=()):
    outputs = []
    hook = pipe.unet.register_forward_hook(lambda _m, _a, output: outputs.append(output[0].clone()))
    try:
        with method(pipe), LatentRecorder(pipe.unet, record, schedule_of(pipe, STEPS)) as recorder:
            pipe(
                **conditioning,
                audio_length_in_s=SECONDS,
                num_inference_steps=STEPS,
                guidance_scale=guidance_scale(pipe),
                generator=torch.Generator().manual_seed(5),
                output_type="latent",
            )
    finally:
        hook.remove()
    return outputs, recorder.latents


def test_latents_are_those_of_the_generation_and_it_stops_before_what_nobody_asked_for(pipe, given):
    conditioning, latents = given
    _, all_latents = generate(pipe, conditioning, Dense(), range(STEPS))
    assert list(latents) == [0, STEP] and latents[0].shape == (1, 8, 16, 16)
    assert all(torch.equal(latents[step], all_latents[step]) for step in latents)
    computed = []
    hook = pipe.unet.register_forward_hook(lambda *_: computed.append(1))
    again = latents_at(pipe, conditioning, SECONDS, STEPS, (STEP,), seed=5)
    hook.remove()
    # What the UNet is given at a step does not depend on what it then makes of it.
    assert len(computed) == STEP and torch.equal(again[STEP], latents[STEP])
    assert not pipe.unet._forward_pre_hooks


@pytest.mark.parametrize(
    "method",
    ["litefocus", "litefocus:sites=up_blocks.2:cross_weight=unbiased", "tome:sites=mid_block", "litefocus:sites=*"],
)
def test_the_error_is_that_of_a_whole_call_bit_for_bit(probe, monkeypatch, method):
    error = probe.error(parse_method(method))
    monkeypatch.setattr(probe, "_replaying", lambda touched: nullcontext())
    assert 0 < error == probe.error(parse_method(method))


def test_dense_has_no_error_and_several_methods_act_at_once(probe):
    assert probe.error(Dense()) == 0
    down, up = LiteFocus(sites="down_blocks.1"), TokenMerging(sites="up_blocks.2")
    both = probe.error((down, up))
    assert both == probe.error([up, down]) and both not in (probe.error(down), probe.error(up))
    assert probe.error((LiteFocus(sites="down_blocks.1"), LiteFocus(sites="up_blocks.2"))) == probe.error(LiteFocus())


def test_it_draws_what_a_generation_draws_at_that_step(pipe, given):
    # At the first step the latents do not depend on the method.
    conditioning, latents = given
    outputs, _ = generate(pipe, conditioning, LiteFocus())
    dense, _ = generate(pipe, conditioning, Dense())

    def guided(output):
        return output[:1] + guidance_scale(pipe) * (output[1:] - output[:1])

    expected = (guided(outputs[0]) - guided(dense[0])).norm() / guided(dense[0]).norm()
    assert OutputError(pipe, conditioning, latents[0], 0).error(LiteFocus()) == pytest.approx(expected.item(), rel=1e-5)
    seen = []

    class Watching(LiteFocus):
        def core(self, q, k, v, call):
            seen.append(call.step)
            return super().core(q, k, v, call)

    OutputError(pipe, conditioning, latents[STEP], STEP).error(Watching())
    assert set(seen) == {STEP} and len(seen) == 12


@pytest.mark.parametrize("name, call", [("HeunDiscreteScheduler", 2), ("PNDMScheduler", 4)])
def test_a_step_is_met_in_its_first_call(name, call, pipe, given, monkeypatch):
    with_scheduler(pipe, name, monkeypatch)
    samples = []
    hook = pipe.unet.register_forward_pre_hook(lambda _m, args: samples.append(args[0][:1].clone()))
    latents = latents_at(pipe, given[0], SECONDS, 4, (STEP, 3), seed=5)
    hook.remove()
    assert torch.equal(latents[STEP], samples[call]) and torch.equal(latents[3], samples[-1])
    assert len(samples) == len(pipe.scheduler.timesteps)
    seen = []

    class Watching(LiteFocus):
        def core(self, q, k, v, call):
            seen.append(call.step)
            return super().core(q, k, v, call)

    timesteps = []
    hook = pipe.unet.register_forward_pre_hook(
        lambda _m, _args, kwargs: timesteps.append(kwargs["timestep"].item()), with_kwargs=True
    )
    OutputError(pipe, given[0], latents[STEP], STEP).error(Watching())
    hook.remove()
    assert set(seen) == {call} and set(timesteps) == {pipe.scheduler.timesteps[call].item()}


def test_a_block_patched_by_someone_else_is_patched_as_before(pipe, probe):
    block = pipe.unet.down_blocks[0]
    patched = block.forward = lambda *a, forward=block.forward, **kw: forward(*a, **kw)
    probe.error(LiteFocus(sites="up_blocks.2"))
    assert block.__dict__["forward"] is patched
    del block.forward
    probe.error(LiteFocus(sites="up_blocks.2"))
    assert "forward" not in block.__dict__


def test_what_is_not_finite_is_said_and_nothing_stays_attached(pipe, probe, given):
    class Broken(LiteFocus):
        def core(self, q, k, v, call):
            return v * torch.nan

    with pytest.raises(FocuslabError, match="at step 1 is not finite in float32"):
        probe.error(Broken())
    assert probe.error(Dense()) == 0
    with pytest.raises(FocuslabError, match="dense output of the UNet at step 1 is not finite"):
        OutputError(pipe, given[0], given[1][STEP] * torch.nan, STEP)
