"""Pipelines from directories and from the hub's cache: whole, mended, or refused in one line."""

import json
import logging
import shutil
import socket

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from focuslab.models import legacy
from focuslab.models.specs import load
from tests.loading import edit, hub_answers, hub_cache, refused, sound


@pytest.fixture(scope="module")
def tiny():
    return load("random:tiny", "cpu")


@pytest.fixture
def directory(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


@pytest.fixture
def older(directory, tiny):
    """The layout of the first release: bare transformer in the index and in the keys of the weights."""
    shutil.rmtree(directory / "language_model")
    tiny.language_model.transformer.save_pretrained(directory / "language_model")
    edit(
        directory / "model_index.json",
        language_model=["transformers", "GPT2Model"],
        tokenizer=["transformers", "RobertaTokenizerFast"],
        tokenizer_2=["transformers", "T5TokenizerFast"],
    )
    keys = load_file(directory / "language_model" / "model.safetensors")
    assert "wte.weight" in keys and not any(key.startswith("transformer.") for key in keys)
    return directory


def test_same_sound_after_saving_and_loading(tiny, saved):
    for prompt in ("rain", "", "🐻 ünïcödé 漢字"):
        assert torch.equal(sound(load(saved, "cpu"), prompt), sound(tiny, prompt))


def test_type_is_the_one_asked_for_not_the_one_saved(directory):
    load("random:tiny", "cpu", "bfloat16").save_pretrained(directory)
    pipe = load(str(directory), "cpu", "float32")
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == pipe.language_model.dtype == torch.float32


def test_loading_prints_nothing(saved, capfd):
    load(saved, "cpu")
    assert capfd.readouterr() == ("", "")


def test_nothing_local_reaches_for_the_network(saved, monkeypatch):
    def reach(*_args, **_kwargs):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", reach)
    monkeypatch.setattr(socket.socket, "connect", reach)
    sound(load(saved, "cpu"))
    sound(load("random:tiny", "cpu"))


def test_older_layout_gives_the_same_conditioning_and_sound(older, tiny, caplog):
    legacy._tell.cache_clear()
    with caplog.at_level(logging.WARNING, logger="focuslab"):
        mended, again = load(older, "cpu"), load(older, "cpu")
    assert type(mended.language_model).__name__ == "GPT2LMHeadModel"
    assert mended.language_model.config.max_new_tokens == 8
    assert [record.levelname for record in caplog.records if "GPT2Model" in record.message] == ["WARNING"]
    one, other = mended.language_model.state_dict(), tiny.language_model.state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    for got, wanted in zip(
        mended.encode_prompt("rain", "cpu", 1, True), tiny.encode_prompt("rain", "cpu", 1, True), strict=True
    ):
        assert torch.equal(got, wanted)
    assert torch.equal(sound(again), sound(tiny))


def test_mended_pipeline_is_saved_in_todays_layout(older, tmp_path, tiny):
    load(older, "cpu").save_pretrained(tmp_path / "mended")
    index = json.loads((tmp_path / "mended" / "model_index.json").read_text())
    assert index["language_model"] == ["transformers", "GPT2LMHeadModel"]
    assert torch.equal(sound(load(tmp_path / "mended", "cpu")), sound(tiny))


def test_t5_tokenizer_may_be_a_sentencepiece_file(directory):
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = directory / "tokenizer_2"
    (folder / "tokenizer.json").unlink()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["rain on a tin roof", "a dog barks far away", "wind in the trees"] * 20),
        model_prefix=str(folder / "spiece"),
        vocab_size=40,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    pipe = load(directory, "cpu")
    ids = pipe.tokenizer_2("rain on trees").input_ids
    assert ids[-1] == pipe.tokenizer_2.eos_token_id and len(set(ids)) > 5
    assert sound(pipe).isfinite().all()


def test_component_folder_that_is_missing(directory, tiny):
    assert len(tiny.components) == 11
    for part in tiny.components:
        (directory / part).rename(directory / "aside")
        message = refused(directory, "cpu")
        assert f"lacks its {part}:" in message and str(directory / part) in message
        (directory / "aside").rename(directory / part)


@pytest.mark.parametrize("part", ["tokenizer", "tokenizer_2"])
def test_tokenizer_without_a_vocabulary_is_not_an_empty_tokenizer(directory, part):
    (directory / part / "tokenizer.json").unlink()
    assert "tokenizer.json" in refused(directory, "cpu")


@pytest.mark.parametrize(("part", "file"), [("unet", "diffusion_pytorch_model"), ("text_encoder_2", "model")])
def test_weights_that_are_missing_or_broken_off(directory, part, file):
    weights = directory / part / f"{file}.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert f"{weights} is damaged" in refused(directory, "cpu")
    weights.write_bytes(b"")
    assert f"{weights} is damaged" in refused(directory, "cpu")
    weights.unlink()
    assert str(weights) in refused(directory, "cpu")


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("unet", "diffusion_pytorch_model"),
        ("projection_model", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
        ("text_encoder_2", "model"),
        ("vocoder", "model"),
        ("language_model", "model"),
    ],
)
def test_one_lost_weight_is_never_made_up(directory, part, file):
    weights = directory / part / f"{file}.safetensors"
    tensors = load_file(weights)
    lost = next(key for key in sorted(tensors) if "bias" in key or "layer_norm" in key or "norm" in key)
    del tensors[lost]
    save_file(tensors, weights, metadata={"format": "pt"})
    message = refused(directory, "cpu")
    assert lost in message and str(directory / part) in message


def test_lost_weight_in_the_older_layout(older):
    weights = older / "language_model" / "model.safetensors"
    tensors = load_file(weights)
    del tensors["h.0.attn.c_attn.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    assert "h.0.attn.c_attn.weight" in refused(older, "cpu")


def test_lost_shard(directory):
    folder = directory / "unet"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"conv_in.weight": "part-1-of-1.safetensors"}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert f"{folder / 'part-1-of-1.safetensors'} is missing" in refused(directory, "cpu")


def test_weights_of_another_size(directory):
    edit(directory / "vae" / "config.json", block_out_channels=[16, 16, 16])
    assert str(directory / "vae") in refused(directory, "cpu")


def test_damaged_json(directory):
    (directory / "unet" / "config.json").write_text("{")
    assert f"{directory / 'unet' / 'config.json'} is damaged" in refused(directory, "cpu")
    (directory / "model_index.json").write_text("[]")
    assert f"{directory / 'model_index.json'} is damaged" in refused(directory, "cpu")


def test_directory_of_something_else(directory, tmp_path):
    assert "no model_index.json" in refused(tmp_path, "cpu")
    edit(directory / "model_index.json", unet=[None, None])
    assert "lacks its unet" in refused(directory, "cpu")
    edit(directory / "model_index.json", _class_name="StableDiffusionPipeline")
    message = refused(directory, "cpu")
    assert "'StableDiffusionPipeline'" in message and "AudioLDM2Pipeline" in message
    assert "is a file" in refused(directory / "model_index.json", "cpu")


@pytest.mark.parametrize(
    ("part", "entry"),
    [
        ("text_encoder_2", ["transformers", "VitsModel"]),
        ("tokenizer", ["transformers", "BertTokenizer"]),
        ("scheduler", ["diffusers", "NoSuchScheduler"]),
    ],
)
def test_component_of_another_class(directory, part, entry):
    edit(directory / "model_index.json", **{part: entry})
    message = refused(directory, "cpu")
    assert entry[1] in message and part in message


@pytest.fixture
def cache(saved, tmp_path, monkeypatch):
    return hub_cache(saved, tmp_path, monkeypatch)


def test_hub_id_offline_comes_from_the_cache(cache, tiny):
    assert torch.equal(sound(load("org/name", "cpu", offline=True)), sound(tiny))


def test_cache_that_is_not_whole(cache):
    shutil.rmtree(cache / "unet")
    assert "lacks its unet" in refused("org/name", "cpu", offline=True)


def test_hub_id_that_is_no_audioldm2(cache):
    edit(cache / "model_index.json", _class_name="FluxPipeline")
    message = refused("org/name", "cpu", offline=True)
    assert "'org/name'" in message and "'FluxPipeline'" in message


@pytest.mark.parametrize("by_argument", [True, False])
def test_hub_id_that_is_not_in_the_cache_offline(tmp_path, monkeypatch, by_argument):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", not by_argument)
    message = refused("cvssp/audioldm2", "cpu", offline=by_argument)
    assert "'cvssp/audioldm2'" in message and "offline" in message and "directory" in message


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.RepositoryNotFoundError, "check the spelling"),
        (errors.GatedRepoError, "is gated"),
        (errors.RemoteEntryNotFoundError, "no model_index.json"),
        (errors.LocalEntryNotFoundError, "cannot be reached"),
        (OSError, "(first line)"),
    ],
)
def test_what_the_hub_answers_becomes_one_line(monkeypatch, error, says):
    hub_answers(error, monkeypatch)
    message = refused("org/name", "cpu")
    assert "'org/name'" in message and says in message
