"""What the bundled model's vocoder knows before it is trained, and what training leaves alone."""

import numpy as np
import pytest
import torch

from focuslab.metrics.mel import log_mel
from tests.tiny_scripts import importable


@pytest.fixture(scope="module")
def made():
    """(the module oscillators, a vocoder)"""
    with importable():
        import components
        import oscillators

        torch.manual_seed(0)
        yield oscillators, components.vocoder()


@torch.no_grad()
def test_a_steady_amplitude_is_a_pure_tone_of_its_frequency(made):
    oscillators, model = made
    waves = oscillators.waves(model)
    window = torch.hann_window(16_000, periodic=False)
    for number in (0, 1, 7, 38, 60):
        heard = torch.zeros(1, 64, 300)
        heard[0, number] = 0.01
        samples = oscillators.sound(heard, waves)[0, 16_000:32_000]
        spectrum = torch.fft.rfft(samples * window).abs() / (window.sum() / 2)
        hertz = oscillators.frequencies()[number]
        assert spectrum[hertz] == pytest.approx(0.01, rel=0.01)
        spectrum[hertz - 3 : hertz + 4] = 0
        assert spectrum.max() < 0.01 * 10 ** (-50 / 20)


@torch.no_grad()
def test_the_layers_that_are_not_trained_are_an_exponential(made):
    oscillators, model = made
    layers = model.resblocks[0]
    mels = np.linspace(oscillators.QUIETEST + 2.4, oscillators.LOUDEST, 200)
    hidden = torch.zeros(len(mels), 128, 1)
    hidden[:, oscillators.LOGARITHMS, 0] = torch.from_numpy(mels - oscillators.QUIETEST).float()[:, None]
    for bend, add in list(zip(layers.convs1, layers.convs2, strict=True))[len(oscillators.LEARNT) :]:
        hidden = hidden + add(torch.relu(bend(torch.relu(hidden))))
    found = hidden[:, oscillators.AMPLITUDES, 0].log()
    expected = torch.from_numpy(mels - oscillators.LOUDNESS).float()[:, None]
    # Chords of a twelfth of the range lie above an exponential, by up to 16 %; the first begins at 0 and not at e^-13.
    assert -0.12 < (found - expected).min() and (found - expected).max() < 0.17


@torch.no_grad()
def test_what_is_trained_sounds_as_the_whole_model_does(made):
    oscillators, model = made
    noise = 0.1 * torch.randn(2, 60 * 160, generator=torch.Generator().manual_seed(0))
    mels = log_mel(noise)
    short = oscillators.sound(oscillators.amplitudes(model, mels), oscillators.waves(model))
    whole = model(mels)
    assert short.shape == whole.shape == noise.shape and whole.abs().max() > 0.05
    middle = slice(5 * 160, -5 * 160)
    torch.testing.assert_close(short[:, middle], whole[:, middle], rtol=0, atol=1e-6)
    assert (log_mel(whole)[:, 5:-5] - mels[:, 5:-5]).abs().mean() < 0.8


def test_training_leaves_alone_what_is_known(made):
    oscillators, model = made
    mels = log_mel(0.1 * torch.randn(2, 60 * 160, generator=torch.Generator().manual_seed(0)))
    oscillators.amplitudes(model, mels).square().mean().backward()
    spread = model.upsampler[0].weight.grad
    assert spread[:, oscillators.LOGARITHMS].any() and not spread[:, oscillators.AMPLITUDES].any()
    learnt = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    layers = [f"resblocks.0.convs{n}.{i}" for n in (1, 2) for i in range(len(oscillators.LEARNT))]
    parts = ["conv_pre", "upsampler.0", *layers]
    assert learnt == {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}
