"""What is known of turning log-mel spectrograms into sound, written into a HiFi-GAN before it is trained.

From random weights such a network has to find out that its input is a logarithm, and what a pure tone is. Spectral
losses teach neither in hours: what is quiet between the partials of a tone counts as much as they do, so the tones are
given up first. Here both are weights that stay as they are: a piecewise linear exponential in the first stage, and a
bank of oscillators in the others. Only how loud each oscillator is in each frame is learnt.

For a steady spectrogram a convolution repeats itself every frame, so its sound has multiples of the frame rate alone.
These are the frequencies of the oscillators.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SpeechT5HifiGan

from focuslab.metrics.mel import SAMPLE_RATE
from focuslab.metrics.spectrogram import FLOOR, HOP, mel_filters

FRAME_RATE = SAMPLE_RATE // HOP
RATES = (1, 5, 4, 8)
"""Of the stages: at 100, 500, 2,000 and 16,000 Hz."""
KERNELS = (3, 15, 64, 64)
LOGARITHMS, AMPLITUDES = slice(0, 64), slice(64, 128)
"""Channels of the first stage."""
LEARNT = (1, 3, 9, 1, 3, 9)
"""Dilations of its residual layers that are trained, on the logarithms."""
EXPONENTIAL = 6
"""How many layers after these, of two pieces each, make amplitudes of the logarithms."""
QUIETEST, LOUDEST = math.log(FLOOR), 2.5
SCALE = 4.0
"""What is above the quietest is divided by this, for weights of the usual size."""
LOUDNESS = 1.85
"""About the log-mel of oscillators of amplitude 1, side by side."""
BAND = 500
"""Width in Hz of the bands that the second stage holds, as real and imaginary part, and each with both signs."""
REACH = 3
"""Frames to either side of its own that an amplitude sounds in."""


def frequencies() -> list[int]:
    """Of the oscillators in Hz: all multiples of the frame rate up to 3.8 kHz, above where mel bands are wide enough
    three in five."""
    dense, sparse = (-200, -100, 0, 100, 200), (-200, 0, 200)
    bands = range(SAMPLE_RATE // 2 // BAND)
    found = [BAND * band + offset for band in bands for offset in (dense if band < 8 else sparse)]
    return [hertz for hertz in found if hertz > 0]


@torch.no_grad()
def install(model: SpeechT5HifiGan) -> None:
    """Write the known weights, and keep them from being trained."""
    model.requires_grad_(False)
    model.mean.fill_(QUIETEST)
    model.scale.fill_(SCALE)
    _amplitudes_of_mels(model)
    _sound_of_amplitudes(model)
    first = model.resblocks[0]
    for module in (model.conv_pre, model.upsampler[0], *first.convs1[: len(LEARNT)], *first.convs2[: len(LEARNT)]):
        module.requires_grad_(True)
    # Amplitudes come from the exponential alone.
    _keep_empty(model.upsampler[0].weight, (slice(None), AMPLITUDES))
    for change in first.convs2[: len(LEARNT)]:
        _keep_empty(change.weight, AMPLITUDES)
    for module in (model.upsampler[0], *first.convs2[: len(LEARNT)]):
        _keep_empty(module.bias, AMPLITUDES)


def amplitudes(model: SpeechT5HifiGan, mels: Tensor) -> Tensor:
    """How loud each oscillator is: the first stage, `[B, 64, frames]`, of mels `[B, frames, 64]`."""
    hidden = model.conv_pre(((mels - model.mean) / model.scale).transpose(1, 2))
    return F.relu(model.resblocks[0](model.upsampler[0](F.relu(hidden))))[:, AMPLITUDES]


def sound(heard: Tensor, waves: Tensor) -> Tensor:
    """Samples `[B, frames * 160]` of amplitudes, with the `waves` of the model: what its other stages would give."""
    return F.conv_transpose1d(heard, waves, stride=HOP, padding=REACH * HOP)[:, 0].tanh()


@torch.no_grad()
def waves(model: SpeechT5HifiGan) -> Tensor:
    """What a single frame of each amplitude sounds like, `[64, 1, (2 * REACH + 1) * 160]`."""
    faint = 1e-3
    frames = 4 * REACH + 1
    hidden = torch.zeros(64, AMPLITUDES.stop, frames)
    hidden[:, AMPLITUDES, frames // 2] = faint * torch.eye(64)
    for upsampler in model.upsampler[1:]:
        hidden = upsampler(F.relu(hidden))
    samples = model.conv_post(F.leaky_relu(hidden)) / faint
    first = (frames // 2 - REACH) * HOP
    return samples[:, :, first : first + (2 * REACH + 1) * HOP].clone()


def _amplitudes_of_mels(model: SpeechT5HifiGan) -> None:
    # All mels are above the floor that is taken from them, so that they pass through a ReLU as they are.
    before, spread, layers = model.conv_pre, model.upsampler[0], model.resblocks[0]
    before.weight[LOGARITHMS] = 0
    before.bias[LOGARITHMS] = 0
    before.weight[LOGARITHMS, :, before.kernel_size[0] // 2] = torch.eye(64)
    spread.weight.mul_(0.3)
    spread.weight[LOGARITHMS] = 0
    spread.bias.zero_()
    centres = _centres()
    for number, hertz in enumerate(frequencies()):
        for band, share in _beside(hertz, centres):
            spread.weight[band, number, spread.kernel_size[0] // 2] = SCALE * share
    for change in layers.convs2[: len(LEARNT)]:
        change.weight.mul_(0.1)
        change.bias.zero_()

    width = (LOUDEST - QUIETEST) / (2 * EXPONENTIAL)
    heights = [math.exp(QUIETEST - LOUDNESS + width * piece) for piece in range(2 * EXPONENTIAL + 1)]
    slopes = [(after - now) / width for now, after in pairwise(heights)]
    channels = torch.arange(64)
    for layer in range(EXPONENTIAL):
        bend, add = layers.convs1[len(LEARNT) + layer], layers.convs2[len(LEARNT) + layer]
        _empty(bend, add)
        for half in range(2):
            piece = 2 * layer + half
            hidden = 64 * half + channels
            bend.weight[hidden, channels, 1] = 1
            bend.bias[hidden] = -width * piece
            add.weight[64 + channels, hidden, 1] = slopes[piece] - (slopes[piece - 1] if piece else 0)


def _centres() -> Tensor:
    """Of the mel bands, in Hz `[64]`."""
    filters = torch.from_numpy(mel_filters(SAMPLE_RATE)).double()
    return filters @ torch.linspace(0, SAMPLE_RATE / 2, filters.shape[1], dtype=torch.double) / filters.sum(dim=1)


def _beside(hertz: float, centres: Tensor) -> list[tuple[int, float]]:
    """The mel bands below and above a frequency, each with the share that interpolation gives it."""
    above = int(torch.searchsorted(centres, torch.tensor(hertz, dtype=torch.double)).clamp(1, len(centres) - 1))
    share = float(((hertz - centres[above - 1]) / (centres[above] - centres[above - 1])).clamp(0, 1))
    return [(above - 1, 1 - share), (above, share)]


def _sound_of_amplitudes(model: SpeechT5HifiGan) -> None:
    # Bands are samples of complex signals, never moved in frequency: that would need a phase which goes on from frame
    # to frame. Between the stages a ReLU takes what is negative, hence both signs of everything.
    _, oscillators, *filters = model.upsampler
    _empty(*model.upsampler[1:], model.conv_post)
    for layers in model.resblocks[1:]:
        _empty(*layers.convs1, *layers.convs2)
    rate = FRAME_RATE * RATES[1]
    times = _times(KERNELS[1], rate)
    # Three of these windows are one at every moment: a steady amplitude stays steady.
    window = (1 + torch.cos(2 * math.pi * times * rate / KERNELS[1])) * RATES[1] / KERNELS[1]
    phases = 2 * math.pi * torch.rand(64, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    for number, hertz in enumerate(frequencies()):
        wave = window * torch.exp(1j * (2 * math.pi * hertz * times + phases[number]))
        first = 4 * round(hertz / BAND)
        for part, values in enumerate((wave.real, wave.imag)):
            for place, sign in enumerate((1, -1)):
                oscillators.weight[AMPLITUDES.start + number, first + 2 * part + place] = sign * values

    pairs, halves = filters
    for band in range(SAMPLE_RATE // 2 // BAND):
        response = _band_pass(KERNELS[2], RATES[2], RATES[2] * rate, BAND / 2, BAND * band)
        rows = ((response.real, response.imag), (-response.imag, response.real))
        _signed(pairs, 4 * band, 4 * (band // 2), rows)
    for band in range(SAMPLE_RATE // 4 // BAND):
        response = _band_pass(KERNELS[3], RATES[3], SAMPLE_RATE, 2 * BAND, 2 * BAND * band + BAND / 2)
        _signed(halves, 4 * band, 0, ((response.real,), (-response.imag,)))
    # What the last rectifier, a leaky one, leaves of a pair is a little more than the signal.
    kept = 1 + nn.LeakyReLU().negative_slope
    model.conv_post.weight[0, :2, model.conv_post.kernel_size[0] // 2] = torch.tensor([1, -1]) / kept


def _signed(module: nn.ConvTranspose1d, first_in: int, first_out: int, rows) -> None:
    """Let each input, which comes with both signs, give each output, with both signs: `rows[input][output]`."""
    for given, row in enumerate(rows):
        for made, response in enumerate(row):
            for i in range(2):
                for o in range(2):
                    sign = 1 if i == o else -1
                    module.weight[first_in + 2 * given + i, first_out + 2 * made + o] = sign * response


def _times(width: int, rate: float) -> Tensor:
    """Of the taps of a kernel, in seconds from its middle."""
    return (torch.arange(width, dtype=torch.double) - (width - 1) / 2) / rate


def _band_pass(width: int, stride: int, rate: float, reach: float, centre: float) -> Tensor:
    """The complex response that passes `centre` +- `reach` Hz, with the gain that `stride` times as many samples need;
    its Kaiser window leaves about a 1000th of what is beside."""
    times = _times(width, rate)
    low = torch.sinc(2 * reach * times) * torch.kaiser_window(width, periodic=False, beta=4.5, dtype=torch.double)
    return low * stride / low.sum() * torch.exp(2j * math.pi * centre * times)


def _empty(*modules: nn.Module) -> None:
    for module in modules:
        module.weight.zero_()
        module.bias.zero_()


def _keep_empty(parameter: nn.Parameter, part: slice | tuple[slice, ...]) -> None:
    """Keep a part of what is trained at zero."""
    mask = torch.ones_like(parameter)
    mask[part] = 0
    parameter[part] = 0
    parameter.register_hook(lambda gradient: gradient * mask)
