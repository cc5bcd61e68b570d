"""Length scaling: the factor, exactness against float64, and where N_train comes from."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from focuslab.attention.grid import Grid
from focuslab.attention.log_n_scaling import length_factor
from focuslab.errors import InputError
from focuslab.hooks.processors import SiteCall
from focuslab.methods import LengthScale, LiteFocus, parse_method
from focuslab.models.sites import Site, find_sites, grid_of_input
from tests.brute_force import dense_attention, focus_attention, qkv

SITE = Site("site", "holder", "block", 1, 2, 8)


def call(time, training_time, mel_rows=8):
    return SiteCall(SITE, Grid(time, mel_rows), 3, training_time and Grid(training_time, mel_rows))


def test_the_factor_by_hand():
    assert length_factor(8000, 1024) == pytest.approx(8.987196820661973 / 6.931471805599453)
    assert length_factor(64, 8) == pytest.approx(2)
    assert length_factor(8, 8) == length_factor(7, 8) == length_factor(1, 8) == 1
    for tokens in (0, 1):
        with pytest.raises(InputError, match="two tokens or more"):
            length_factor(100, tokens)


@given(st.integers(1, 10**6), st.integers(2, 10**6), st.integers(0, 1000))
def test_the_factor_never_falls_with_length_and_is_1_up_to_the_training_length(tokens, training, more):
    factor = length_factor(tokens, training)
    assert factor == 1 if tokens <= training else factor > 1
    assert length_factor(tokens + more, training) >= factor


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("time, training_time", [(31, 7), (63, 32), (16, 16), (5, 16)])
def test_dense_is_exact_and_as_it_was_up_to_the_training_length(time, training_time, dtype, tolerance):
    q, k, v = qkv(time, 8, size=3.0, dtype=dtype)
    out = LengthScale().core(q, k, v, call(time, training_time))
    factor = max(1.0, math.log(time * 8) / math.log(training_time * 8))
    assert (out - dense_attention(factor * q.double(), k, v)).abs().max() < tolerance
    unscaled = (out - dense_attention(q, k, v)).abs().max()
    assert unscaled < tolerance if time <= training_time else unscaled > 1e-2


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize(
    "method",
    [
        LiteFocus(cross_fraction=0.2, length_scale=True),
        LiteFocus(cross_fraction=0.2, cross_weight="unbiased", length_scale=True),
        LiteFocus(cross_fraction=0.2, cross_weight=2.5, sampling="uniform", length_scale=True),
        LiteFocus(cross_fraction=0.2, sampling="uniform", overlap="twice", length_scale=True),
        LiteFocus(cross_fraction=0.2, same_frequency=False, length_scale=True),
        LiteFocus(cross_fraction=0, length_scale=True),
    ],
    ids=lambda method: repr(method).removeprefix("LiteFocus"),
)
def test_together_with_litefocus_it_is_exact_on_the_same_keys(method, dtype, tolerance):
    q, k, v = qkv(31, 8, size=3.0, dtype=dtype)
    at = call(31, 7)
    keys, weight = method.sampled_keys(at, q.device)
    expected = focus_attention(
        math.log(31 * 8) / math.log(7 * 8) * q.double(),
        k,
        v,
        8,
        same_frequency=method.same_frequency,
        drawn=[] if keys is None else keys.index,
        overlap=method.overlap,
        cross_weight=weight,
    )
    assert (method.core(q, k, v, at) - expected).abs().max() < tolerance


def test_litefocus_that_scales_is_litefocus_up_to_the_training_length():
    q, k, v = qkv(31, 8)
    scaled, plain = LiteFocus(length_scale=True), LiteFocus()
    torch.testing.assert_close(scaled.core(q, k, v, call(31, 31)), plain.core(q, k, v, call(31, 31)))
    assert (scaled.core(q, k, v, call(31, 7)) - plain.core(q, k, v, call(31, 7))).abs().max() > 1e-2


def test_all_drawn_keys_are_dense_attention_scaled():
    q, k, v = qkv(31, 8)
    every_key = LiteFocus(cross_fraction=1, length_scale=True).core(q, k, v, call(31, 7))
    assert (every_key - LengthScale().core(q, k, v, call(31, 7))).abs().max() < 1e-5


def test_scaling_keeps_the_entropy_of_more_keys_nearer_to_that_of_training():
    """What it is for, on scores of one distribution."""

    def entropy(time, factor):
        q, k, _ = qkv(time, 8, size=4.0, seed=1)
        p = (factor * q.double() @ k.double().mT * 8**-0.5).softmax(dim=-1)
        return -torch.special.xlogy(p, p).sum(dim=-1).mean()

    trained, plain = entropy(16, 1), entropy(128, 1)
    scaled = entropy(128, length_factor(128 * 8, 16 * 8))
    assert trained < scaled < plain and scaled - trained < 0.5 * (plain - trained)


@pytest.fixture
def trained_at(pipe):
    """trained_at(frames) changes what the UNet says of its training; put back afterwards."""
    before = pipe.unet.config.sample_size
    yield lambda frames: pipe.unet.register_to_config(sample_size=frames)
    pipe.unet.register_to_config(sample_size=before)


@pytest.mark.parametrize("frames", [32, 21, 5])
def test_each_site_measures_its_own_grid_against_the_one_it_has_at_the_training_length(pipe, trained_at, frames):
    """Whatever the lengths: the grids are read off runs of the UNet at both."""

    class Recorder(LengthScale):
        def core(self, q, k, v, call):
            seen[call.site.name] = call
            return super().core(q, k, v, call)

    def run(time):
        latents = torch.randn(1, 8, time, 16, generator=torch.Generator().manual_seed(0))
        contexts = [torch.randn(1, 4, width) for width in unet.config.cross_attention_dim[0] if width]
        with Recorder()(unet), torch.no_grad():
            unet(latents, 10, encoder_hidden_states=contexts[0], encoder_hidden_states_1=contexts[1])
        return dict(seen)

    seen, unet = {}, pipe.unet
    trained_at(frames)
    long, training = run(77), run(frames)
    assert set(long) == {site.name for site in find_sites(unet)}
    for name, at in long.items():
        assert at.training_grid == training[name].grid == training[name].training_grid
        assert at.grid.mel_rows == at.training_grid.mel_rows and at.grid.time > at.training_grid.time


def test_it_changes_the_sound_beyond_the_training_length_only(pipe, sound, trained_at):
    dense = torch.from_numpy(sound())
    for method in (LengthScale(), LiteFocus(cross_fraction=1, length_scale=True)):
        for frames, changes in ((32, False), (8, True)):
            trained_at(frames)
            with method(pipe):
                out = torch.from_numpy(sound())
            assert ((out - dense).abs().max() / dense.abs().max() > 1e-3) == changes


def test_a_unet_that_does_not_say_its_training_length_is_refused_in_one_line(pipe, sound, trained_at):
    trained_at(None)
    for method in (LengthScale(), LiteFocus(length_scale=True)):
        with pytest.raises(InputError, match="sample_size") as caught, method(pipe):
            sound()
        assert "\n" not in str(caught.value)
    with LiteFocus()(pipe):
        sound()


def test_names_on_the_command_line():
    assert parse_method("length-scale") == LengthScale() == LengthScale(sites="*")
    assert parse_method("length-scale:sites=mid_block") == LengthScale(sites=("mid_block",))
    assert parse_method("litefocus:length_scale=true") == LiteFocus(length_scale=True)
    assert parse_method("same-frequency:length_scale=True") == LiteFocus(cross_fraction=0, length_scale=True)
    with pytest.raises(InputError, match="length_scale must be True or False"):
        parse_method("litefocus:length_scale=1")
    assert not LengthScale.sparse and LengthScale().density(Grid(1000, 8)) == 1
    assert LiteFocus(length_scale=True).density(Grid(1000, 8)) == LiteFocus().density(Grid(1000, 8))


def test_a_grid_is_halved_as_convolutions_halve_it():
    halve = torch.nn.Conv2d(1, 1, 3, stride=2, padding=1)
    for frames in (1, 2, 5, 21, 250, 256):
        x = torch.zeros(1, 1, frames, 16)
        for level in range(4):
            assert Site("s", "h", "b", level, 1, 8).time_steps(frames) == grid_of_input(x).time
            x = halve(x)
