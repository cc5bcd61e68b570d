import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_to_hertz

from focuslab.errors import InputError
from focuslab.metrics.mel import _filters
from focuslab.metrics.mel import log_mel as log_mel_of_audioldm2
from focuslab.metrics.spectrogram import FLOOR, MEL_BINS, hertz_to_mel, log_mel, mel_filters
from focuslab.report.figures.spectrogram import plot_spectrogram

RATE = 16_000


def test_it_is_that_of_audioldm2():
    samples = np.random.default_rng(0).normal(size=RATE).astype(np.float32) * np.linspace(0, 1, RATE, dtype=np.float32)
    ours, theirs = log_mel(samples, RATE), log_mel_of_audioldm2(torch.from_numpy(samples)[None])[0].numpy()
    assert ours.shape == theirs.shape == (100, MEL_BINS)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_allclose(mel_filters(RATE), _filters().numpy(), atol=1e-7)


def test_a_tone_is_in_the_band_of_its_frequency_at_any_rate():
    for rate in (8_000, 16_000, 44_100):
        time = np.arange(rate) / rate
        middle = log_mel(0.5 * np.sin(2 * np.pi * 1000 * time), rate)[20:-20].mean(axis=0)
        edges = mel_to_hertz(np.linspace(0, hertz_to_mel(min(8000, rate / 2)), MEL_BINS + 2), mel_scale="slaney")
        assert edges[middle.argmax()] <= 1000 <= edges[middle.argmax() + 2]


def test_mel_and_hertz_are_each_others_inverse():
    hertz = np.array([0.0, 60, 999, 1000, 1001, 7999])
    mel = np.array([hertz_to_mel(h) for h in hertz])
    np.testing.assert_allclose(mel_to_hertz(mel, mel_scale="slaney"), hertz, rtol=1e-12)


def test_silence_is_the_floor_and_columns_keep_the_mean_magnitude():
    silence = log_mel(np.zeros(RATE), RATE)
    np.testing.assert_allclose(silence, np.log(FLOOR))
    samples = np.random.default_rng(1).normal(size=4 * RATE)
    whole, thin = log_mel(samples, RATE), log_mel(samples, RATE, columns=50)
    assert thin.shape == (50, MEL_BINS)
    np.testing.assert_allclose(np.exp(whole).reshape(50, 8, -1).mean(axis=1), np.exp(thin), rtol=1e-5)
    assert log_mel(samples, RATE, columns=10_000).shape == whole.shape


def test_a_sound_too_short_is_refused():
    for samples in (np.zeros(1023), np.zeros((2, 5000))):
        with pytest.raises(InputError, match="1024 samples or more"):
            log_mel(samples, RATE)


def test_the_picture_has_seconds_and_kilohertz():
    ax = plot_spectrogram(np.zeros((50, MEL_BINS)), 2.5)
    assert ax.get_xlim() == (0, 2.5) and "[s]" in ax.get_xlabel() and "[kHz]" in ax.get_ylabel()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "0.5", "1", "2", "4", "8"]
    assert ax.get_yticks()[-1] == pytest.approx(MEL_BINS)
    assert len(plot_spectrogram(np.zeros((50, MEL_BINS)), 1.0, highest=4000).get_yticks()) == 5
