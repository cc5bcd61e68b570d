"""focuslab.hooks.stages: the times of the stages add up to the whole, in whatever order they come."""

import pytest
import torch

from focuslab import generate
from focuslab.hooks.stages import STAGES, StageTimes
from tests.clocks import HandClock


@pytest.fixture
def timed(pipe):
    """Time passes when the pipeline encodes (1), in each UNet call (2), the VAE's decoder (3) and the vocoder (4)."""
    clock = HandClock()

    def passes(seconds):
        def hook(*_):
            clock.now += seconds

        return hook

    hooks = [pipe.text_encoder_2.register_forward_hook(passes(1))]
    hooks += [
        network.register_forward_hook(passes(seconds))
        for seconds, network in ((2, pipe.unet), (3, pipe.vae.decoder), (4, pipe.vocoder))
    ]
    yield clock
    for hook in hooks:
        hook.remove()


def test_time_belongs_to_the_stage_that_began_last(pipe, sound, timed):
    with StageTimes(pipe, timed) as stages:
        sound(steps=3)
        pipe.vae.decode(torch.zeros(1, pipe.vae.config.latent_channels, 4, 4))
    found = stages.seconds()
    assert tuple(found) == STAGES and sum(found.values()) == timed.now
    assert found["encoding"] >= 1 and (found["denoising"], found["vae"], found["vocoder"]) == (6, 6, 4)


def test_hooks_are_removed_after_an_error(pipe):
    hooks = [len(network._forward_pre_hooks) for network in (pipe.unet, pipe.vae.decoder, pipe.vocoder)]
    with pytest.raises(ZeroDivisionError), StageTimes(pipe, HandClock()):
        raise ZeroDivisionError
    assert [len(network._forward_pre_hooks) for network in (pipe.unet, pipe.vae.decoder, pipe.vocoder)] == hooks


def test_a_clip_has_the_time_of_its_stages(pipe):
    settings = generate(pipe, "rain", 0.64, steps=2).settings
    assert tuple(settings["stage_seconds"]) == STAGES and min(settings["stage_seconds"].values()) > 0
