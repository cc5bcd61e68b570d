"""A sound beside another, and by itself: gains, tones and silences whose numbers are known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.metrics import clipping_share, log_mel_l1, rms_ratio, silence_share, spectral_centroid

RATE = 16_000


def noise(clips=2, samples=RATE, seed=0):
    return (np.random.default_rng(seed).standard_normal((clips, samples)) * 0.1).astype(np.float32)


def tone(hertz, seconds=1.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def test_a_gain_is_its_logarithm_in_the_log_mel_spectrogram():
    dense = noise()
    assert log_mel_l1(dense, dense) == pytest.approx([0, 0], abs=1e-7)
    assert log_mel_l1(dense * np.array([[2], [0.5]]), dense) == pytest.approx([math.log(2)] * 2, rel=1e-3)


def test_log_mel_does_not_care_below_its_floor():
    silent = np.zeros((1, RATE))
    assert log_mel_l1(silent + 1e-9, silent)[0] == pytest.approx(0, abs=1e-3)


@given(st.floats(0.01, 100), st.integers(1, 300))
@settings(max_examples=30, deadline=None)
def test_a_gain_is_itself_in_the_ratio_of_loudness(gain, samples):
    dense = noise(samples=samples)
    assert rms_ratio(dense.astype(float) * gain, dense) == pytest.approx([gain, gain], rel=1e-6)
    assert rms_ratio(-dense, dense) == pytest.approx([1, 1], rel=1e-6)


@pytest.mark.parametrize("hertz", [500, 1000, 3456.7])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_centroid_of_a_tone_is_the_tone(hertz, rate):
    found = spectral_centroid(tone(hertz, 1, rate)[None], rate)
    assert found.shape == (1,) and found[0] == pytest.approx(hertz, abs=3 * rate / 1024)


def test_the_centroid_of_noise_is_the_middle_and_of_two_tones_between():
    assert spectral_centroid(noise(samples=4 * RATE), RATE) == pytest.approx([4000, 4000], rel=0.02)
    assert spectral_centroid((tone(1000) + tone(3000))[None], RATE)[0] == pytest.approx(2000, rel=0.03)
    assert spectral_centroid((tone(1000) + 3 * tone(3000))[None], RATE)[0] == pytest.approx(2500, rel=0.03)


def test_silence_and_gain_have_no_say_in_the_centroid():
    sound = tone(1234)
    alone = spectral_centroid(sound[None], RATE)[0]
    assert spectral_centroid(0.01 * sound[None], RATE)[0] == pytest.approx(alone, rel=1e-9)
    longer = np.concatenate([sound, np.zeros(5 * RATE)])[None]
    assert spectral_centroid(longer, RATE)[0] == pytest.approx(alone, rel=0.02)
    assert spectral_centroid(sound[None, :10], RATE).shape == (1,)


def test_silence_is_a_share_of_time():
    sound = np.ones((3, RATE))
    sound[1, : RATE // 4] = 0
    sound[2] = 0
    assert silence_share(sound, RATE) == pytest.approx([0, 0.25, 1])
    # -60 dB of full scale is 0.001.
    assert silence_share(np.full((1, 800), 0.00101), RATE)[0] == 0
    assert silence_share(np.full((1, 800), 0.00099), RATE)[0] == 1
    # The last frame has 100 samples, and is one of three.
    assert silence_share(np.concatenate([np.ones(1600), np.zeros(100)])[None], RATE)[0] == pytest.approx(1 / 3)


def test_clipping_is_a_share_of_samples():
    sound = np.array([[0.5, -1.0, 1.2, 0.99], [32766 / 32768, 32767 / 32768, -32767 / 32768, 0]])
    assert clipping_share(sound) == pytest.approx([0.5, 0.5])
    assert clipping_share(sound.astype(np.float32)) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: rms_ratio(noise(), noise(1)), "sound has shape [2, 16000] and dense [1, 16000]"),
        (lambda: rms_ratio(noise(2, 9), np.stack([np.ones(9), np.zeros(9)])), "dense sound 1 is all zeros"),
        (lambda: log_mel_l1(noise(2, 1000), noise(2, 1000)), "1024 samples or more, not 1000"),
        (lambda: spectral_centroid(np.zeros((1, 5000)), RATE), "sound 0 is all zeros"),
        (lambda: silence_share(np.zeros((2, 5), dtype=np.int16), RATE), "holds int16"),
        (lambda: silence_share(np.zeros(5), RATE), "shape [5], expected [B, samples]"),
        (lambda: clipping_share(np.zeros((1, 0))), "shape [1, 0]"),
        (lambda: clipping_share(np.full((1, 4), np.nan)), "NaN"),
    ],
)
def test_wrong_sounds_are_refused_in_one_line(call, says):
    with pytest.raises(InputError) as caught:
        call()
    assert says in str(caught.value) and "\n" not in str(caught.value)
