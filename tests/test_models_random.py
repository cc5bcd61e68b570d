"""Random pipelines: the same every time, of the published sizes, and with tokenizers that take any text."""

import pytest
import torch

from focuslab.models.families import AUDIOLDM2, RECIPES
from focuslab.models.random_models import random_pipeline
from focuslab.models.specs import load, stand_ins
from focuslab.models.tokenizers import byte_tokenizer, character_tokenizer

TEXTS = ["", "rain", "Rain", " rain", "rain on a tin roof", "ünïcödé", "дождь", "🌧", "🐻", "a\n\tb", "x" * 500]


def self_attention(unet):
    return [
        name
        for name, module in unet.named_modules()
        if name.rsplit(".", 1)[-1] in ("attn1", "attn2") and not module.is_cross_attention
    ]


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_same_weights_every_time_and_the_global_generator_untouched():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = random_pipeline("random:tiny")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = random_pipeline("random:tiny")
    for name in ("unet", "vae", "vocoder", "projection_model", "text_encoder", "text_encoder_2", "language_model"):
        one, other = first.components[name].state_dict(), second.components[name].state_dict()
        assert one.keys() == other.keys() and one
        assert all(torch.equal(one[key], other[key]) for key in one), name
        assert not any(tensor.is_meta for tensor in (*first.components[name].parameters(), *one.values())), name


@pytest.mark.parametrize("model", ["random:tiny", "tiny"])
def test_weights_do_not_depend_on_the_defaults_of_torch(model):
    expected = load(model)
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        found = load(model)
        assert torch.get_default_dtype() == torch.float64 and torch.get_default_device() == torch.device("meta")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    for name in ("unet", "vae", "vocoder", "projection_model", "text_encoder", "text_encoder_2", "language_model"):
        one, other = expected.components[name].state_dict(), found.components[name].state_dict()
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one), name
        assert {t.dtype for t in found.components[name].buffers()} == {
            t.dtype for t in expected.components[name].buffers()
        }


def test_narrow_weights_are_the_wide_ones_rounded():
    wide, narrow = random_pipeline("random:tiny").unet, random_pipeline("random:tiny", torch.bfloat16).unet
    narrow = narrow.state_dict()
    assert all(torch.equal(tensor.bfloat16(), narrow[name]) for name, tensor in wide.state_dict().items())


def test_tiny_has_the_geometry_of_audioldm2():
    pipe = random_pipeline("random:tiny")
    assert pipe.vae_scale_factor == 4
    assert pipe.vocoder.config.model_in_dim // pipe.vae_scale_factor == 16
    assert torch.tensor(pipe.vocoder.config.upsample_rates).prod() == 160
    assert pipe.vocoder.config.sampling_rate == 16000
    assert pipe.unet.config.in_channels == pipe.vae.config.latent_channels == 8
    assert 0.1 < pipe.vae.config.scaling_factor < 1

    rows = {}
    for name, module in pipe.unet.named_modules():
        if type(module).__name__ == "Transformer2DModel":
            block = name.split(".attentions")[0]
            module.register_forward_pre_hook(lambda _, args, block=block: rows.update({block: args[0].shape[-2:]}))
    with torch.no_grad():
        out = pipe.unet(
            torch.randn(1, 8, 250, 16), 500, torch.randn(1, 8, 32), encoder_hidden_states_1=torch.randn(1, 5, 48)
        )
    assert out.sample.shape == (1, 8, 250, 16)
    assert {block: tuple(shape) for block, shape in rows.items()} == {
        "down_blocks.1": (125, 8),
        "down_blocks.2": (63, 4),
        "down_blocks.3": (32, 2),
        "mid_block": (32, 2),
        "up_blocks.0": (32, 2),
        "up_blocks.1": (63, 4),
        "up_blocks.2": (125, 8),
    }


def test_tiny_has_double_self_attention():
    names = self_attention(random_pipeline("random:tiny").unet)
    assert any(name.endswith("attn2") for name in names) and any(name.endswith("attn1") for name in names)
    # One layer down, two up, and per layer attn1 of three transformers and attn2 of the one without a context.
    assert sum(name.startswith(("down_blocks.1", "up_blocks.2")) for name in names) == (1 + 2) * 4


@pytest.mark.parametrize(
    ("name", "millions", "sites"), [("random:audioldm2", 346.9, 20), ("random:audioldm2-large", 718.0, 60)]
)
def test_full_size_unets_are_the_published_ones(name, millions, sites):
    with torch.device("meta"):
        unet = AUDIOLDM2.unet(RECIPES[name])
    assert parameters(unet) / 1e6 == pytest.approx(millions, abs=0.1)
    assert sum(site.startswith(("down_blocks.1", "up_blocks.2")) for site in self_attention(unet)) == sites
    widths = {module.inner_dim // module.heads for _, module in unet.named_modules() if hasattr(module, "to_q")}
    assert widths == {32}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random:audioldm2", "random:audioldm2-large"])
def test_full_size_pipelines_run(name, tmp_path):
    pipe = load(name, "cpu", "float32")
    assert stand_ins(pipe) == ("text_encoder", "text_encoder_2", "language_model")
    assert parameters(pipe.vae) / 1e6 == pytest.approx(55.4, abs=0.1)
    assert parameters(pipe.vocoder) / 1e6 == pytest.approx(55.3, abs=0.1)
    embeds, mask, generated = pipe.encode_prompt("rain", "cpu", 1, True)
    assert generated.shape == (2, 8, 768) and embeds.shape == (2, mask.shape[1], 1024)
    audio = pipe("rain", audio_length_in_s=1, num_inference_steps=2).audios
    assert audio.shape == (1, 16000) and torch.from_numpy(audio).isfinite().all()


def test_stand_ins_are_marked_in_what_is_saved(tmp_path):
    pipe = random_pipeline("random:tiny")
    pipe.language_model.config.focuslab_stand_in = True
    pipe.save_pretrained(tmp_path)
    assert stand_ins(load(tmp_path, "cpu")) == ("language_model",)


def test_prompts_matter():
    pipe = random_pipeline("random:tiny")
    rain, dogs = (pipe.encode_prompt(text, "cpu", 1, False)[2] for text in ("rain", "dogs barking"))
    assert (rain - dogs).norm() > 0.1 * rain.norm()


def test_bytes_tell_all_texts_apart_and_give_them_back():
    tokenizer = byte_tokenizer()
    ids = [tokenizer(text).input_ids for text in TEXTS]
    assert len({tuple(each) for each in ids}) == len(TEXTS)
    assert [tokenizer.decode(each, skip_special_tokens=True) for each in ids] == TEXTS
    assert all(each[0] == tokenizer.bos_token_id and each[-1] == tokenizer.eos_token_id for each in ids)
    assert len(tokenizer("x" * 500, truncation=True).input_ids) == tokenizer.model_max_length == 77


def test_characters_outside_the_vocabulary_are_unknown_not_an_error():
    tokenizer = character_tokenizer()
    assert tokenizer("").input_ids == [tokenizer.eos_token_id]
    assert tokenizer.unk_token_id in tokenizer("漢字").input_ids
    known = ["rain", "Rain", "rain on a tin roof", "ünïcödé", "дождь", "🌧", "🐻"]
    ids = [tuple(tokenizer(text).input_ids) for text in known]
    assert len(set(ids)) == len(known) and not any(tokenizer.unk_token_id in each for each in ids)


@pytest.mark.parametrize("make", [byte_tokenizer, character_tokenizer])
def test_tokenizers_survive_saving(make, tmp_path):
    tokenizer = make()
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path, local_files_only=True)
    assert again.model_max_length == tokenizer.model_max_length and len(again) == len(tokenizer)
    assert [again(text).input_ids for text in TEXTS] == [tokenizer(text).input_ids for text in TEXTS]
