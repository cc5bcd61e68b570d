"""Every family: sites, lengths, conditioning, methods on and off again, and what is refused."""

import logging
import re

import pytest
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel

import focuslab
from focuslab.methods import LiteFocus, SampledFocus
from focuslab.methods.references import Eager
from focuslab.models import audioldm
from focuslab.models.conditioning import components_of, encode_prompt, guided_inputs, unet_inputs
from focuslab.models.families import AUDIOLDM2, FAMILIES, RECIPES, check_mel_latents, family_of
from focuslab.models.identity import describe, unet_layout
from focuslab.models.lengths import latent_frames, latent_mel_rows, training_frames
from focuslab.models.sites import EXPECTED, find_sites, grid_of_input, module_kinds, select_sites
from focuslab.models.specs import stand_ins
from tests.loading import refusal, refused
from tests.plans import everywhere, plan_of

NEW = ["audioldm", "musicldm", "tango"]


@pytest.fixture(params=NEW)
def pipe(request, family_pipes):
    pipe = family_pipes(request.param)
    processors = dict(pipe.unet.attn_processors)
    yield pipe
    found = pipe.unet.attn_processors
    assert found.keys() == processors.keys() and all(found[name] is processors[name] for name in found)


def made(pipe, seconds=0.64, steps=2, **more):
    generator = torch.Generator().manual_seed(0)
    return pipe("rain", audio_length_in_s=seconds, num_inference_steps=steps, generator=generator, **more).audios[0]


def test_audio_has_the_length_that_was_asked_for(pipe):
    for seconds in (0.5, 1.3):
        audio = torch.from_numpy(made(pipe, seconds, 1))
        assert audio.shape == (int(seconds * 16000),) and audio.isfinite().all() and audio.std() > 1e-4


def test_sites_are_what_attends_to_its_own_tokens(pipe):
    given = {}
    hooks = [
        pipe.unet.get_submodule(name).register_forward_pre_hook(
            lambda attn, _args, kwargs, name=name: given.update({name: kwargs.get("encoder_hidden_states")}),
            with_kwargs=True,
        )
        for name, kind in module_kinds(pipe.unet).items()
        if name.rpartition(".")[2] in ("attn1", "attn2")
    ]
    made(pipe, steps=1)
    for hook in hooks:
        hook.remove()
    of_itself = {name for name, states in given.items() if states is None}
    assert of_itself == {site.name for site in find_sites(pipe)} and len(given) >= len(of_itself) > 0
    kinds = module_kinds(pipe.unet)
    assert {name for name in given if kinds[name] == "self_attention"} == of_itself


def test_grids_are_those_of_the_running_unet(pipe):
    read = {}
    hooks = [
        pipe.unet.get_submodule(holder).register_forward_pre_hook(
            lambda _m, args, kwargs, holder=holder: read.update(
                {holder: grid_of_input(args[0] if args else kwargs["hidden_states"])}
            ),
            with_kwargs=True,
        )
        for holder in {site.holder for site in find_sites(pipe)}
    ]
    with SampledFocus(5, 2)(pipe) as handle:
        made(pipe, 1.0, 1)
    for hook in hooks:
        hook.remove()
    assert {site.name: read[site.holder] for site in find_sites(pipe)} == handle.grids
    assert max(grid.mel_rows for grid in handle.grids.values()) == (16 if type(pipe).__name__[0] == "T" else 8)
    frames, rows = latent_frames(pipe, 1.0), latent_mel_rows(pipe)
    assert all(site.grid(frames, rows) == handle.grids[site.name] for site in find_sites(pipe))


def test_the_choice_of_the_paper_is_the_highest_resolution_that_attends(pipe):
    sites = find_sites(pipe)
    chosen = select_sites(sites, None)
    highest = min(site.level for site in sites)
    assert {site.level for site in chosen} == {highest} == {0 if type(pipe).__name__[0] == "T" else 1}
    blocks = {"down_blocks.0", "up_blocks.3"} if highest == 0 else {"down_blocks.1", "up_blocks.2"}
    assert {site.block for site in chosen} == blocks


def test_attaching_and_detaching_leave_every_bit(pipe):
    plain = made(pipe)
    for method in (LiteFocus(), SampledFocus(4, 1)):
        with method(pipe):
            changed = made(pipe)
        assert (changed != plain).any()
        assert (made(pipe) == plain).all()


def test_exact_attention_at_every_site_is_dense(pipe):
    plain = torch.from_numpy(made(pipe))
    with Eager(sites="*")(pipe) as handle:
        exact = torch.from_numpy(made(pipe))
        assert len(handle.grids) == len(find_sites(pipe))
    assert torch.allclose(plain, exact, atol=1e-4)


def test_the_conditioning_is_what_the_pipeline_makes_of_a_prompt(pipe):
    calls = []
    hook = pipe.unet.register_forward_pre_hook(lambda _u, args, kwargs: calls.append(kwargs), with_kwargs=True)
    from_text = made(pipe, steps=1)
    conditioning = encode_prompt(pipe, "rain")
    generator = torch.Generator().manual_seed(0)
    again = pipe(**conditioning, audio_length_in_s=0.64, num_inference_steps=1, generator=generator).audios[0]
    hook.remove()
    assert (from_text == again).all()
    for name, value in guided_inputs(pipe, conditioning).items():
        for call in calls:
            found = call.get(name)
            same = torch.equal(found, value) if isinstance(value, torch.Tensor) else found is value
            assert same or name == "return_dict"
    sample = unet_inputs(pipe, conditioning, 0.64)["sample"]
    assert sample.is_meta and sample.shape == (2, 8, latent_frames(pipe, 0.64), 16)
    assert set(components_of(pipe, "prompt_encoding")) == {"text_encoder"}


def test_a_whole_random_pipeline_has_no_stand_ins(pipe):
    assert stand_ins(pipe) == () and describe(pipe)["pipeline"] == family_of(pipe).pipeline


def test_every_generation_of_a_seed_is_the_same_and_the_global_generator_is_left_alone(pipe):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = focuslab.generate(pipe, "rain", 0.64, steps=2, method="sampled:own_keys=4:other_keys=1")
    again = focuslab.generate(pipe, "rain", 0.64, steps=2, method="sampled:own_keys=4:other_keys=1")
    assert (first.samples == again.samples).all() and first.settings["guidance_scale"] == family_of(pipe).guidance_scale
    assert len(first.settings["sites"]) == len(find_sites(pipe))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_saved_directory_gives_the_same_sound(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "saved")
    loaded = focuslab.load(tmp_path / "saved", "cpu", "float32")
    loaded.set_progress_bar_config(disable=True)
    # Weights at other places in memory: sums may run in another order.
    assert type(loaded) is type(pipe) and abs(made(loaded) - made(pipe)).max() < 1e-4
    before, after = describe(pipe), describe(loaded)
    assert {**after, "name": None} == {**before, "name": None}


@pytest.mark.parametrize("of", ["tiny", *NEW])
@pytest.mark.parametrize("on", ["tiny", *NEW])
def test_a_plan_is_for_its_own_family(of, on, family_pipes):
    made_for, other = family_pipes(of), family_pipes(on)
    plan = plan_of({0: everywhere([find_sites(made_for)[0].name])}, unet=unet_layout(made_for))
    if of == on:
        with plan(other) as handle:
            assert len(handle.sites) == 1
    else:
        assert "another UNet" in refusal(plan, other)


@pytest.mark.parametrize(
    ("name", "millions", "sites"), [("audioldm", 185.0, 10), ("musicldm", 185.0, 10), ("tango", 866.0, 5)]
)
def test_full_size_unets_are_the_published_ones(name, millions, sites):
    family = next(family for family in FAMILIES if f"random:{name}" in family.recipes)
    with torch.device("meta"):
        unet = family.unet(RECIPES[f"random:{name}"])
    assert sum(p.numel() for p in unet.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)
    assert len(select_sites(find_sites(unet), None)) == sites
    assert training_frames(unet) == (128 if name == "audioldm" else 256)


def test_a_unet_with_tangos_own_sample_size_names_no_training_length(family_pipes):
    unet = family_pipes("tango").unet
    unet.register_to_config(sample_size=[32, 2])
    assert training_frames(unet) is None
    unet.register_to_config(sample_size=256)


def test_that_a_pipeline_is_deprecated_is_said_once(caplog):
    audioldm._tell.cache_clear()
    with caplog.at_level(logging.WARNING):
        focuslab.load("random:tiny-audioldm", "cpu", "float32")
        focuslab.load("random:tiny-audioldm", "cpu", "float32")
    assert [record.name for record in caplog.records] == ["focuslab"] and "AudioLDM" in caplog.text


class Unet1D(torch.nn.Module):
    """Stands for the network of a pipeline with one-dimensional latents."""


class StableAudioPipeline(DiffusionPipeline):
    def __init__(self, transformer):
        super().__init__()
        self.register_modules(transformer=transformer)


class AceStepPipeline(StableAudioPipeline):
    pass


@pytest.mark.parametrize("kind", [StableAudioPipeline, AceStepPipeline])
def test_one_dimensional_latents_are_refused_in_one_line(kind, tmp_path):
    pipe = kind.__new__(kind)
    DiffusionPipeline.__init__(pipe)
    pipe.transformer = Unet1D()
    for call in (
        lambda: LiteFocus().attach(pipe),
        lambda: check_mel_latents(pipe),
        lambda: focuslab.profile(pipe, 0.64),
        lambda: focuslab.capture_attention(pipe, "rain", 0.64),
        lambda: focuslab.recommend(pipe, 0.64, min_speedup=1.0),
    ):
        message = refusal(call)
        assert kind.__name__ in message and "one-dimensional" in message and "Tango" in message
    (tmp_path / "model_index.json").write_text(f'{{"_class_name": "{kind.__name__}"}}')
    assert "one-dimensional" in refused(tmp_path, "cpu")


def test_another_pipeline_with_a_two_dimensional_unet_is_refused():
    pipe = DiffusionPipeline.__new__(DiffusionPipeline)
    DiffusionPipeline.__init__(pipe)
    pipe.unet = UNet2DConditionModel.__new__(UNet2DConditionModel)
    assert "no mel spectrogram" in refusal(check_mel_latents, pipe)


def test_a_family_is_found_by_its_pipeline_or_its_unet(session_pipe):
    class Other:
        unet = session_pipe.unet

    assert family_of(Other()) is family_of(session_pipe) is AUDIOLDM2
    assert len({name for family in FAMILIES for name in family.recipes}) == len(RECIPES)
    assert all(re.search(rf"\b{family.name}\b", EXPECTED) for family in FAMILIES)
