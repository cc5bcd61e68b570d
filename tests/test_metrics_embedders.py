"""Windows that cover, rates that are changed without harm, clips that do not mind each other."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.metrics.embedders import Embedder, cut, resample


@given(st.integers(1, 400), st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_windows_cover_the_clip_evenly_and_are_no_more_than_needed(samples, window):
    clip = np.arange(samples)
    windows = cut(clip, window)
    assert np.array_equal(np.unique(np.concatenate(windows)), clip)
    assert len(windows) == -(-samples // window)
    assert {len(part) for part in windows} == {min(window, samples)}
    assert all(np.array_equal(part, np.arange(part[0], part[0] + len(part))) for part in windows)
    if len(windows) > 1:
        steps = np.diff([part[0] for part in windows])
        assert steps.max() - steps.min() <= 1 and steps.max() <= window


def test_lengths_that_divide_do_not_overlap():
    assert [part.tolist() for part in cut(np.arange(6), 2)] == [[0, 1], [2, 3], [4, 5]]
    assert [part.tolist() for part in cut(np.arange(5), 2)] == [[0, 1], [2, 3], [3, 4]]


def tone(hertz, rate, seconds=0.5):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(("rate", "wanted"), [(16_000, 48_000), (48_000, 16_000), (44_100, 16_000), (22_050, 48_000)])
def test_a_tone_stays_the_tone(rate, wanted):
    found = resample(np.stack([tone(1000, rate), tone(5000, rate)]), rate, wanted)
    inner = slice(wanted // 20, -wanted // 20)
    assert found.dtype == np.float32 and found.shape == (2, wanted // 2)
    for row, hertz in zip(found, (1000, 5000), strict=True):
        assert np.abs(row - tone(hertz, wanted))[inner].max() < 1e-4


def test_what_the_lower_rate_cannot_hold_is_gone_and_not_folded():
    found = resample(tone(11_000, 48_000)[None], 48_000, 16_000)
    assert np.abs(found[0, 500:-500]).max() < 1e-4


@pytest.mark.parametrize(("samples", "rate", "wanted"), [(1, 48_000, 16_000), (441_001, 44_100, 16_000), (7, 3, 2)])
def test_length_is_the_time_rounded_up(samples, rate, wanted):
    assert resample(np.ones((1, samples)), rate, wanted).shape == (1, -(-samples * wanted // rate))


def test_the_same_rate_leaves_the_sound_alone():
    sound = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32)
    assert np.array_equal(resample(sound, 8000, 8000), sound)


@dataclass(frozen=True, eq=False)
class Means(Embedder):
    """Mean, and mean of the batch, of which the second shows who was beside whom."""

    def _embed(self, windows):
        return np.array([[np.mean(window), np.mean(windows)] for window in windows], dtype=np.float32)


MEANS = Means("means", "none", 10, 4, 2)


def test_shape_is_clips_windows_numbers():
    found = MEANS.embed(np.arange(16.0).reshape(2, 8), 10)
    assert found.shape == (2, 2, 2) and found.dtype == np.float32
    assert found[..., 0].tolist() == [[1.5, 5.5], [9.5, 13.5]]


def test_clips_do_not_mind_each_other_and_long_ones_are_embedded_whole():
    clips = np.random.default_rng(0).standard_normal((3, 4 * 40))
    together = MEANS.embed(clips, 10)
    assert together.shape == (3, 40, 2)
    for clip, rows in zip(clips, together, strict=True):
        assert np.array_equal(MEANS.embed(clip[None], 10)[0], rows)
        assert rows[:, 0] == pytest.approx(clip.reshape(40, 4).mean(axis=1), rel=1e-5, abs=1e-6)


def test_the_protocol_is_in_words():
    assert MEANS.protocol == "windows of 0.4 s spread evenly over the whole clip, mono at 10 Hz"


@pytest.mark.parametrize(
    ("sound", "rate", "says"),
    [
        (np.zeros((1, 5)), 0, "sampling rate must be"),
        (np.zeros((1, 5)), 16000.0, "not 16000.0"),
        (np.zeros((1, 5)), True, "not True"),
        (np.zeros((1, 5), dtype=np.int16), 10, "holds int16"),
        (np.zeros((1, 2, 5)), 10, "shape [1, 2, 5]"),
        (np.full((1, 5), np.nan), 10, "NaN"),
    ],
)
def test_wrong_sound_is_refused_in_one_line(sound, rate, says):
    with pytest.raises(InputError) as caught:
        MEANS.embed(sound, rate)
    assert says in str(caught.value) and "\n" not in str(caught.value)
