"""Tango's published layout: read as it is, whole or not at all, and nothing in it is executed."""

import json
import pickle
import shutil

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors.torch import load_file, save_file

import focuslab
from focuslab.models.families import RECIPES
from focuslab.models.lengths import training_seconds
from focuslab.models.sites import find_sites
from focuslab.models.specs import load
from focuslab.models.tango import TRAINING_FRAMES, UNET, Tango
from focuslab.models.tango_files import _as_diffusers
from tests.loading import edit, hub_cache, refused
from tests.tango_layout import authors_vae, write_tango


@pytest.fixture(scope="module")
def tiny(family_pipes):
    return family_pipes("tango")


@pytest.fixture(scope="module")
def published(tiny, tmp_path_factory):
    return {end: write_tango(tiny, tmp_path_factory.mktemp("tango") / end, end) for end in ("bin", "safetensors")}


@pytest.fixture
def directory(published, tmp_path):
    return shutil.copytree(published["safetensors"], tmp_path / "tango")


def made(pipe, seconds=0.64):
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    audio = pipe("rain", audio_length_in_s=seconds, num_inference_steps=2, generator=generator).audios
    return torch.from_numpy(audio)


@pytest.mark.parametrize("ending", ["bin", "safetensors"])
def test_the_published_layout_gives_the_same_sound(published, ending, tiny):
    loaded = load(published[ending], "cpu", "float32")
    assert torch.allclose(made(loaded), made(tiny), atol=1e-4)
    for name in ("unet", "vae", "vocoder", "text_encoder"):
        one, other = tiny.components[name].state_dict(), loaded.components[name].state_dict()
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one), name
    assert training_seconds(loaded) == pytest.approx(10.24) and not loaded.unet.training
    assert loaded.scheduler.config.prediction_type == "v_prediction"


def test_audio_of_any_length(tiny):
    assert made(tiny, 1.29).shape == (1, int(1.29 * 16000))
    tiny_default = tiny("rain", num_inference_steps=1, output_type="latent").audios
    assert tiny_default.shape == (1, 8, TRAINING_FRAMES, 16)
    both = tiny(["rain", "a siren"], audio_length_in_s=0.5, num_inference_steps=1, guidance_scale=1.0).audios
    assert both.shape == (2, 8000) and (both[0] != both[1]).any()


def test_names_of_the_vae_are_those_that_diffusers_gives(tiny):
    authors = authors_vae(tiny.vae)
    expected = convert_ldm_vae_checkpoint(dict(authors), tiny.vae.config)
    found = _as_diffusers(authors, len(tiny.vae.config.block_out_channels))
    assert found.keys() == expected.keys() == tiny.vae.state_dict().keys()
    assert all(torch.equal(found[name], expected[name].reshape(found[name].shape)) for name in found)


def test_half_precision(published):
    loaded = load(published["safetensors"], "cpu", "bfloat16")
    assert {p.dtype for name in ("unet", "vae", "vocoder") for p in loaded.components[name].parameters()} == {
        torch.bfloat16
    }
    assert made(loaded).isfinite().all()


def test_the_published_sizes_stand_in_for_the_file_that_is_only_named(tiny):
    with torch.device("meta"):
        named = Tango().unet(RECIPES["random:tango"])
    assert {name: named.config[name] for name in UNET} == UNET
    assert {(site.heads, site.head_width, site.level) for site in find_sites(named)} == {
        (5, 64, 0),
        (10, 64, 1),
        (20, 64, 2),
        (20, 64, 3),
    }


@pytest.mark.parametrize(
    "lost", ["main_config.json", "vae_config.json", "stft_config.json", "pytorch_model_main", "pytorch_model_vae"]
)
def test_a_lost_file_is_named_in_one_line(directory, lost):
    file = directory / lost if lost.endswith("json") else directory / f"{lost}.safetensors"
    file.unlink()
    message = refused(directory, "cpu")
    assert lost in message and str(directory) in message


def test_a_lost_tokenizer_is_named_with_its_place(directory, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    shutil.rmtree(directory / "flan-t5-large")
    message = refused(directory, "cpu", offline=True)
    assert "google/flan-t5-large" in message and str(directory / "flan-t5-large") in message


def test_a_lost_or_cut_weight_is_never_made_up(directory):
    file = directory / "pytorch_model_main.safetensors"
    tensors = load_file(file)
    name = "unet.mid_block.attentions.0.proj_in.weight"
    for changed in ({name: tensors[name][:3].clone()}, {}):
        save_file({**{key: x for key, x in tensors.items() if key != name}, **changed}, file)
        assert "mid_block.attentions.0.proj_in.weight" in refused(directory, "cpu")
    file.write_bytes(file.read_bytes()[:1000])
    assert str(file) in refused(directory, "cpu")


class Runs:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def test_nothing_in_a_file_of_weights_is_executed(published, tmp_path):
    path = shutil.copytree(published["bin"], tmp_path / "tango")
    trace = tmp_path / "ran"
    for content in (Runs(trace), {"a": Runs(trace)}):
        torch.save(content, path / "pytorch_model_vae.bin")
        assert "pytorch_model_vae.bin" in refused(path, "cpu")
        (path / "pytorch_model_vae.bin").write_bytes(pickle.dumps(content))
        assert "pytorch_model_vae.bin" in refused(path, "cpu")
    torch.save([torch.zeros(2)], path / "pytorch_model_vae.bin")
    assert "tensors by name" in refused(path, "cpu")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("main_config.json", {"unet_model_name": "stabilityai/stable-diffusion-2-1"}, "stable-diffusion"),
        ("main_config.json", {"unet_model_config_path": "../../x.json"}, "x.json"),
        ("main_config.json", {"text_encoder_name": "../flan"}, "text_encoder_name"),
        ("vae_config.json", {"embed_dim": 4}, "VAE"),
        ("vae_config.json", {"ddconfig": {}}, "describes no Tango"),
        ("stft_config.json", {"n_mel_channels": 80}, "SpeechT5HifiGan"),
        ("main_config.json", {"auto_map": {"AutoModel": "code.Code"}}, "auto_map"),
    ],
)
def test_a_configuration_that_cannot_be_is_one_line(directory, file, changes, says):
    edit(directory / file, **changes)
    assert says in refused(directory, "cpu")


def test_a_scheduler_beside_the_weights_is_taken(directory):
    (directory / "scheduler").mkdir()
    sizes = {"beta_schedule": "linear", "num_train_timesteps": 500}
    (directory / "scheduler" / "scheduler_config.json").write_text(json.dumps(sizes))
    loaded = load(directory, "cpu", "float32")
    assert loaded.scheduler.config.num_train_timesteps == 500


def test_a_hub_id_comes_from_the_cache(published, tmp_path, monkeypatch, tiny):
    hub_cache(published["safetensors"], tmp_path, monkeypatch)
    loaded = focuslab.load("org/name", "cpu", "float32", offline=True)
    assert torch.allclose(made(loaded), made(tiny), atol=1e-4)
