"""AudioSet classes: the logits of transformers, window by window; checkpoints whole, or refused in one line."""

import shutil

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor

from focuslab.metrics import kl_divergence, posteriors
from focuslab.metrics.audioset import CHECKPOINT, AudioSetTagger, load_audioset_tagger
from tests.embedders import each_file_is_needed, save_ast
from tests.loading import refusal

RATE = 16_000
WINDOW = 400 + 63 * 160  # what 64 frames see


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_ast(tmp_path_factory.mktemp("ast"))


@pytest.fixture(scope="module")
def tagger(saved):
    return load_audioset_tagger(saved, "cpu")


def noise(clips=1, samples=WINDOW):
    return np.random.default_rng(0).standard_normal((clips, samples)).astype(np.float32) * 0.1


def test_what_it_is(tagger, saved):
    assert (tagger.name, tagger.checkpoint, tagger.sampling_rate, tagger.dimension) == ("ast", str(saved), RATE, 7)
    assert tagger.window_samples == WINDOW


@pytest.mark.filterwarnings("ignore:At least one mel filter")
def test_windows_of_the_published_size_are_the_clips_of_audioset(tagger):
    from types import SimpleNamespace

    config = SimpleNamespace(max_length=1024, num_mel_bins=128, num_labels=527)
    published = AudioSetTagger.of(SimpleNamespace(config=config), ASTFeatureExtractor(), "published")
    assert published.window_samples == 160_000 and published.dimension == 527


def test_logits_are_those_of_the_model(tagger):
    sound = noise(samples=2 * WINDOW)
    rows = tagger.embed(sound, RATE)
    assert rows.shape == (1, 2, 7) and rows.dtype == np.float32
    for row, window in zip(rows[0], np.split(sound[0], 2), strict=True):
        inputs = tagger.feature_extractor(window, sampling_rate=RATE, return_tensors="pt")
        with torch.no_grad():
            assert row == pytest.approx(tagger.model(**inputs).logits[0].numpy(), abs=1e-5)


def test_posteriors_of_a_clip_are_the_mean_over_its_windows(tagger):
    rows = tagger.embed(noise(2, 3 * WINDOW), RATE)
    p = posteriors(rows).mean(axis=1)
    assert p.shape == (2, 7) and p.sum(axis=1) == pytest.approx([1, 1])
    assert kl_divergence(p, p) == 0 and kl_divergence(p, p[::-1]) > 0


def test_the_whole_clip_counts(tagger):
    sound = noise(samples=3 * WINDOW - 500)
    first = tagger.embed(sound, RATE)
    assert first.shape == (1, 3, 7) and np.array_equal(tagger.embed(sound, RATE), first)
    for start in (0, WINDOW, 3 * WINDOW - 2500):
        changed = sound.copy()
        changed[0, start : start + 2000] = 0.9
        assert np.abs(tagger.embed(changed, RATE) - first).max() > 1e-6


def test_other_rates_and_clips_shorter_than_a_frame(tagger):
    assert tagger.embed(noise(samples=48_000), 48_000).shape == (1, 2, 7)
    assert np.isfinite(tagger.embed(noise(samples=3), RATE)).all()


@pytest.mark.filterwarnings("ignore:At least one mel filter")
def test_parts_of_different_checkpoints_are_refused(tagger):
    message = refusal(AudioSetTagger.of, tagger.model, ASTFeatureExtractor(), "mine")
    assert "mine makes 1024 frames of 128 mel bins and its model takes 64 of 32" in message


def test_loading_says_nothing(tmp_path, capfd, recwarn):
    save_ast(tmp_path, mel_bins=128)
    capfd.readouterr()
    assert any("mel filter" in str(warning.message) for warning in recwarn.list)
    recwarn.clear()
    load_audioset_tagger(tmp_path, "cpu")
    assert capfd.readouterr() == ("", "") and not recwarn.list


def test_what_is_missing_or_damaged_is_named(saved, tmp_path):
    directory = shutil.copytree(saved, tmp_path / "ast")
    each_file_is_needed(
        load_audioset_tagger, directory, ("model.safetensors", "config.json", "preprocessor_config.json")
    )
    assert load_audioset_tagger(directory, "cpu").dimension == 7


def test_what_is_no_ast_is_refused(tmp_path, session_pipe):
    session_pipe.text_encoder.config.save_pretrained(tmp_path)
    message = refusal(load_audioset_tagger, tmp_path, "cpu")
    assert "'clap'" in message and "expected an AST" in message and CHECKPOINT in message
    assert "offline" in refusal(load_audioset_tagger, device="cpu", offline=True)
