"""CLAP embeddings: those of transformers, without chance; checkpoints whole, or refused in one line."""

import json
import shutil

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import errors
from transformers import BertConfig, ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor

from focuslab.metrics import clap_score
from focuslab.metrics.clap import CHECKPOINT, Clap, clap_of, load_clap
from focuslab.models import specs
from tests.embedders import each_file_is_needed, save_clap
from tests.loading import hub_answers, hub_cache, refusal

RATE = 48_000
WINDOW = 30_240  # the 64 frames that the audio half of random:tiny's CLAP takes


@pytest.fixture(scope="module")
def saved(session_pipe, tmp_path_factory):
    return save_clap(tmp_path_factory.mktemp("clap"), session_pipe)


@pytest.fixture(scope="module")
def clap(saved):
    return load_clap(saved, "cpu")


@pytest.fixture
def directory(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "clap")


def noise(clips=1, samples=WINDOW, seed=0):
    return np.random.default_rng(seed).standard_normal((clips, samples)).astype(np.float32) * 0.1


def test_what_it_is(clap, saved):
    assert (clap.name, clap.checkpoint, clap.sampling_rate, clap.dimension) == ("clap", str(saved), RATE, 16)
    assert clap.protocol == "windows of 0.63 s spread evenly over the whole clip, mono at 48000 Hz"
    assert clap.model.dtype == torch.float32 and not clap.model.training


def test_embeddings_are_those_of_the_whole_model(clap):
    sound, texts = noise(), ["rain on a tin roof"]
    features = clap.feature_extractor(
        sound[0], sampling_rate=RATE, max_length=WINDOW, truncation="rand_trunc", return_tensors="pt"
    )
    with torch.no_grad():
        whole = clap.model(**clap.tokenizer(texts, return_tensors="pt"), input_features=features.input_features)
    audio, text = clap.embed(sound, RATE), clap.embed_text(texts)
    assert audio.shape == (1, 1, 16) and text.shape == (1, 16) and audio.dtype == text.dtype == np.float32
    assert audio[0, 0] == pytest.approx(whole.audio_embeds[0].numpy(), abs=1e-5)
    assert text[0] == pytest.approx(whole.text_embeds[0].numpy(), abs=1e-5)
    cosine = whole.logits_per_audio.item() / clap.model.logit_scale_a.exp().item()
    assert clap_score(audio.mean(axis=1), text) == pytest.approx(cosine, abs=1e-5)


def test_rows_have_length_one(clap):
    rows = clap.embed(noise(2, 2 * WINDOW), RATE)
    assert rows.shape == (2, 2, 16)
    assert np.linalg.norm(rows, axis=-1) == pytest.approx(np.ones((2, 2)), abs=1e-5)


def test_long_clips_are_covered_whole_and_without_chance(clap):
    sound = noise(samples=3 * WINDOW - 500)
    before = np.random.get_state()[1].copy()
    first, again = clap.embed(sound, RATE), clap.embed(sound, RATE)
    assert first.shape == (1, 3, 16) and np.array_equal(first, again)
    assert np.array_equal(np.random.get_state()[1], before)
    for start in (0, WINDOW, 3 * WINDOW - 5500):
        changed = sound.copy()
        changed[0, start : start + 5000] = 0.5
        assert np.abs(clap.embed(changed, RATE) - first).max() > 1e-5


def test_clips_do_not_mind_each_other(clap):
    sounds = noise(3)
    assert np.array_equal(clap.embed(sounds, RATE)[1:2], clap.embed(sounds[1:2], RATE))


def test_other_rates_and_short_clips(clap):
    assert clap.embed(noise(samples=16_000), 16_000).shape == (1, 2, 16)
    short = clap.embed(noise(samples=30), 16_000)
    assert short.shape == (1, 1, 16) and np.isfinite(short).all()


def test_captions_of_any_length_do_not_mind_each_other(clap):
    texts = ["rain", "", "a dog barks far away " * 40, "🐻 ünïcödé 漢字"]
    rows = clap.embed_text(texts)
    assert rows.shape == (4, 16) and np.isfinite(rows).all()
    for text, row in zip(texts, rows, strict=True):
        assert clap.embed_text([text])[0] == pytest.approx(row, abs=1e-5)
    many = clap.embed_text(["wind"] * 129 + ["rain"])
    assert many.shape == (130, 16) and many[-1] == pytest.approx(rows[0], abs=1e-5)
    for nothing in ([], "rain"):
        assert "expected a list" in refusal(clap.embed_text, nothing)


def test_the_clap_of_a_pipeline_is_the_saved_one(clap, pipe, tmp_path, monkeypatch):
    own = clap_of(pipe)
    assert own.checkpoint == "random:tiny (the text_encoder of the pipeline)" and own.model is pipe.text_encoder
    sound = noise()
    expected = pytest.approx(clap.embed(sound, RATE), abs=1e-5)
    assert own.embed(sound, RATE) == expected
    for part in ("text_encoder", "feature_extractor", "tokenizer"):
        getattr(pipe, part).save_pretrained(tmp_path / part)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "AudioLDM2Pipeline"}))
    monkeypatch.setattr(specs, "BUNDLED", tmp_path)
    assert load_clap("tiny", "cpu").checkpoint == "tiny (the text_encoder of the pipeline)"
    inside = load_clap(tmp_path, "cpu")
    assert inside.checkpoint == f"{tmp_path} (the text_encoder of the pipeline)"
    assert inside.embed(sound, RATE) == expected
    assert inside.embed_text(["rain"]) == pytest.approx(clap.embed_text(["rain"]), abs=1e-5)


def test_half_precision_pipelines_are_embedded_too(pipe, session_pipe):
    import copy

    half = copy.copy(pipe)
    half.text_encoder = copy.deepcopy(session_pipe.text_encoder).to(torch.bfloat16)
    rows = clap_of(half).embed(noise(), RATE)
    assert rows.dtype == np.float32
    assert rows == pytest.approx(clap_of(pipe).embed(noise(), RATE), abs=0.05)


def test_fused_checkpoints_have_no_chance_either(pipe, tmp_path):
    config = pipe.text_encoder.config.to_dict()
    config["audio_config"]["enable_fusion"] = True
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        ClapModel(ClapConfig.from_dict(config)).save_pretrained(tmp_path)
    # As ClapProcessor saves them: both in one file.
    ClapProcessor(ClapFeatureExtractor(truncation="fusion"), pipe.tokenizer).save_pretrained(tmp_path)
    fused = load_clap(tmp_path, "cpu")
    sound = noise(samples=2 * WINDOW)
    first = fused.embed(sound, RATE)
    for seed in range(3):
        np.random.seed(seed)
        assert np.array_equal(fused.embed(sound, RATE), first)


def test_parts_of_different_checkpoints_are_refused(pipe):
    parts = (pipe.text_encoder, pipe.feature_extractor, pipe.tokenizer)
    message = refusal(Clap.of, parts[0], ClapFeatureExtractor(feature_size=32), parts[2], "mine")
    assert "mine makes 32 mel bins and its model takes 64" in message
    small = ClapModel(
        ClapConfig.from_dict(
            {**pipe.text_encoder.config.to_dict(), "text_config": {"vocab_size": 7, "hidden_size": 12}}
        )
    )
    assert f"knows {len(parts[2])} tokens and its model 7" in refusal(Clap.of, small, *parts[1:], "mine")


def test_what_is_missing_or_damaged_is_named(directory):
    files = ("model.safetensors", "config.json", "preprocessor_config.json", "tokenizer.json")
    each_file_is_needed(load_clap, directory, files)
    assert load_clap(directory, "cpu").dimension == 16


def test_what_is_no_clap_is_refused(tmp_path, directory, monkeypatch):
    monkeypatch.setattr(specs, "BUNDLED", tmp_path)
    assert "no bundled model" in refusal(load_clap, "tiny", "cpu")
    assert "no config.json: expected a CLAP" in refusal(load_clap, tmp_path, "cpu")
    BertConfig().save_pretrained(tmp_path)
    message = refusal(load_clap, tmp_path, "cpu")
    assert "'bert'" in message and CHECKPOINT in message
    assert "is a file" in refusal(load_clap, directory / "config.json", "cpu")
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    assert "'FluxPipeline'" in refusal(load_clap, tmp_path, "cpu")
    for name in ("no such thing", "", "./nowhere"):
        assert repr(name) in refusal(load_clap, name, "cpu")
    assert "'abacus'" in refusal(load_clap, directory, "abacus")


@pytest.fixture
def cache(saved, tmp_path, monkeypatch):
    return hub_cache(saved, tmp_path, monkeypatch)


def test_a_hub_id_offline_comes_from_the_cache_with_its_revision(cache, clap):
    found = load_clap("org/name", "cpu", offline=True)
    assert found.checkpoint == "org/name@abc"
    assert found.embed(noise(), RATE) == pytest.approx(clap.embed(noise(), RATE), abs=1e-5)
    (cache / "model.safetensors").unlink()
    assert "lacks the weights of its model" in refusal(load_clap, "org/name", "cpu", offline=True)
    BertConfig().save_pretrained(cache)
    assert "org/name is of model type 'bert'" in refusal(load_clap, "org/name", "cpu", offline=True)


def test_the_default_that_is_not_there_while_offline(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    message = refusal(load_clap, device="cpu", offline=True)
    assert CHECKPOINT in message and "offline" in message and "directory" in message


@pytest.mark.parametrize(
    ("files", "weights"), [(("model.safetensors", "pytorch_model.bin"), "safetensors"), (("pytorch_model.bin",), "bin")]
)
def test_only_the_needed_files_of_one_revision_are_downloaded(cache, monkeypatch, files, weights):
    asked = {}

    def snapshot(model, **how):
        asked.update(how, model=model)
        return str(cache)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(cache / "config.json"))
    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda *_, **__: ["config.json", *files])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert load_clap("org/name", "cpu").checkpoint == "org/name@abc"
    assert asked["model"] == "org/name" and asked["revision"] == "abc"
    assert {f"*.{weights}", f"*.{weights}.index.json", "*.json", "*.txt"} == set(asked["allow_patterns"])


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.RepositoryNotFoundError, "check the spelling"),
        (errors.RemoteEntryNotFoundError, "no config.json: expected a CLAP"),
        (errors.LocalEntryNotFoundError, "cannot be reached"),
        (OSError, "(first line)"),
    ],
)
def test_what_the_hub_answers_becomes_one_line(monkeypatch, error, says):
    hub_answers(error, monkeypatch)
    message = refusal(load_clap, "org/name", "cpu")
    assert "'org/name'" in message and says in message
