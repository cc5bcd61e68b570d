"""The captioned training sounds: pure, within range, distinct splits, resumable shards."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_scripts import FOLDER

sys.path.insert(0, str(FOLDER))

pytest.importorskip("scipy")
sounds = pytest.importorskip("sounds")
captions = importlib.import_module("sounds.captions")
clips = importlib.import_module("sounds.clips")
equalizer = importlib.import_module("sounds.equalizer")
instruments = importlib.import_module("sounds.instruments")
procedural = importlib.import_module("sounds.procedural")
render = importlib.import_module("render")

PLAYABLE = Path(instruments.SOUND_FONT).exists() and importlib.util.find_spec("fluidsynth") is not None
NUMBERS = range(len(sounds.CLASSES)) if PLAYABLE else range(len(procedural.SOUNDS))
needs_font = pytest.mark.skipif(not PLAYABLE, reason="needs fluidsynth and its sound font")


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: sounds.CLASSES[n])
def test_clip_is_within_range_and_active(number):
    clip = sounds.draw_clip("train", number)
    assert clip.label == sounds.CLASSES[number]
    assert clip.waveform.shape == (sounds.SAMPLES,) and clip.waveform.dtype == np.float32
    assert 0.01 < np.abs(clip.waveform).max() < 0.99
    level = 10 * np.log10(np.mean(clip.waveform.astype(float) ** 2))
    assert -38 < level < -14
    # Repetition: each quarter of the clip sounds.
    quarters = np.mean(clip.waveform.reshape(4, -1).astype(float) ** 2, axis=1)
    assert quarters.min() > 0.02 * quarters.max()


def test_clip_does_not_depend_on_the_clips_before_it():
    forward = {n: sounds.draw_clip("train", n).waveform for n in NUMBERS}
    for number in reversed(NUMBERS):
        assert np.array_equal(sounds.draw_clip("train", number).waveform, forward[number]), sounds.CLASSES[number]


@needs_font
def test_an_empty_score_is_silent_after_a_held_note():
    instruments._render(19, [(9.0, 1, 60, 110), (10.2, 1, 64, 110)])
    assert np.abs(instruments._render(19, [])).max() == 0


@needs_font
@pytest.mark.parametrize("name", instruments.PROGRAMS)
def test_every_key_of_an_instrument_sounds(name):
    program, low, high = instruments.PROGRAMS[name]
    # A root up to 4 above the lowest key, and at most 19 semitones on it (the tenth degree of a pentatonic scale).
    for key in {low, low + 23, high, high + 23}:
        sound = instruments._render(program, [(0.0, 1, key, 100), (0.5, 0, key, 0)])
        assert np.abs(sound).max() > 0.005, key


@pytest.mark.parametrize("tempo", ["slow", "fast"])
def test_melodies_go_the_way_they_are_called(tempo):
    for number in range(200):
        rng = np.random.default_rng(number)
        for melody, sign in (("rising", 1), ("falling", -1)):
            notes = instruments.motif(rng, {"tempo": tempo, "melody": melody}, 60)
            assert 3 <= len(notes) <= 8
            assert np.all(sign * np.diff([keys[0] for _, _, keys in notes]) > 0)
            assert 60 <= min(k[0] for _, _, k in notes) and max(k[0] for _, _, k in notes) <= 83
        chords = instruments.motif(rng, {"tempo": tempo, "melody": "chords"}, 60)
        assert all(len(set(keys)) == 3 and max(keys) <= 83 for _, _, keys in chords)


def test_splits_share_no_seed_and_no_held_out_combination():
    def drawn(split):
        entropy, combinations = set(), set()
        for index in range(1800):
            entropy.add(tuple(sounds.seed(split, index)))
            label, attributes, *_ = clips.draw_facts(split, index)
            combinations.add((label, *attributes.items()))
        return entropy, combinations

    train_seeds, train = drawn("train")
    test_seeds, test = drawn("test")
    held_out = {(label, *combo.items()) for label in sounds.CLASSES for combo in sounds.held_out(label)}
    assert not train_seeds & test_seeds
    assert not train & held_out
    assert held_out <= test and train & test


@pytest.mark.parametrize("label", sounds.CLASSES)
def test_every_value_of_an_attribute_is_trained(label):
    seen, unseen = clips._combinations(label)
    for position, values in enumerate(clips.SOURCES[label][1].values()):
        assert {combination[position] for combination in seen} == set(values)
    assert len(unseen) >= 2 and not set(seen) & set(unseen)


def test_about_half_of_the_test_clips_are_held_out():
    facts = [clips.draw_facts("test", index) for index in range(600)]
    share = np.mean([attributes in sounds.held_out(label) for label, attributes, *_ in facts])
    assert 0.43 < share < 0.57


def test_captions_name_the_class_in_a_small_vocabulary():
    words = set()
    for index in range(6000):
        label, _, caption, _ = clips.draw_facts("train", index)
        assert any(name in caption for name in captions.NAMES[label])
        assert caption == caption.lower()
        words |= set(caption.replace(",", " ").split())
    assert 80 < len(words) <= 250


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_equaliser_curve_is_bounded_and_dense(seed):
    points, gains = equalizer.draw_curve(np.random.default_rng(seed))
    assert np.abs(gains).max() <= equalizer.LIMIT_DB
    assert points[0] <= 0 and points[-1] >= equalizer.MEL_BINS
    assert np.diff(points).min() > 0 and np.diff(points)[1:].max() <= 6


def test_equaliser_has_the_deviation_it_names():
    gains = np.concatenate([equalizer.draw_curve(np.random.default_rng(n))[1] for n in range(500)])
    assert abs(gains.std() - equalizer.DEVIATION_DB) < 0.4


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split 'valid'"):
        sounds.draw_clip("valid", 0)


def test_shards_resume(tmp_path, monkeypatch):
    count = 4
    assert render.render_shard(tmp_path, "train", 0, count).endswith("rendered")
    samples = np.load(tmp_path / "train" / "00000.npy")
    lines = [json.loads(line) for line in (tmp_path / "train" / "00000.jsonl").read_text().splitlines()]
    assert samples.shape == (count, sounds.SAMPLES) and samples.dtype == np.int16
    clip = sounds.draw_clip("train", 2)
    assert lines[2] == {"index": 2, "caption": clip.caption, "label": clip.label, "attributes": clip.attributes}
    assert np.abs(samples[2] / 32767 - clip.waveform).max() < 1e-4
    monkeypatch.setattr(render, "draw_clip", lambda *_: pytest.fail("rendered again"))
    assert render.render_shard(tmp_path, "train", 0, count).endswith("kept")
    assert sorted(p.name for p in (tmp_path / "train").iterdir()) == ["00000.jsonl", "00000.npy"]
