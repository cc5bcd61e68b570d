"""A run knows what made it: whatever changes a number is in its identity, and a run of anything else is refused."""

import json
import logging
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import nn

import focuslab
from focuslab.errors import InputError
from focuslab.io.audio import encode_wav
from focuslab.measure.evaluation.job import embedder_facts
from focuslab.measure.evaluation.reference import find_reference
from focuslab.measure.evaluation.scorer import Scorer
from focuslab.methods import LiteFocus
from focuslab.metrics.audioset import load_audioset_tagger
from focuslab.models.components import adapters_of, dtypes_of
from focuslab.models.identity import describe, run_info, unet_layout
from focuslab.models.sites import find_sites
from focuslab.runs import differences
from focuslab.runs.directory import RunDirectory, to_json_bytes
from tests.embedders import save_ast
from tests.plans import everywhere, plan_of

EVALUATION = {"seconds": 0.64, "steps": 1, "metrics": "closeness", "methods": "dense"}


@contextmanager
def replaced(thing, name, value):
    before = getattr(thing, name)
    setattr(thing, name, value)
    yield
    setattr(thing, name, before)


@contextmanager
def noise_on(layer):
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 0.01 * torch.randn(before.shape, generator=torch.Generator().manual_seed(1))
        yield
        layer.weight.copy_(before)


@contextmanager
def configured(part, **changes):
    before = {name: part.config[name] for name in changes}
    part.register_to_config(**changes)
    yield
    part.register_to_config(**before)


@contextmanager
def processed(pipe, processor):
    before = attention_of(pipe).processor
    attention_of(pipe).set_processor(processor)
    yield
    attention_of(pipe).set_processor(before)


@contextmanager
def in_training(part):
    part.train()
    yield
    part.eval()


@contextmanager
def products_of_tf32(_pipe):
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision("highest")


class Louder(AttnProcessor2_0):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale


def attention_of(pipe):
    return pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1


def another_scheduler(pipe):
    return replaced(pipe, "scheduler", DPMSolverMultistepScheduler.from_config(pipe.scheduler.config))


CHANGES = {
    "scheduler: DDIMScheduler there, DPMSolverMultistepScheduler here": another_scheduler,
    "scheduler.prediction_type: epsilon there, v_prediction here": lambda pipe: configured(
        pipe.scheduler, prediction_type="v_prediction"
    ),
    "scheduler.noise_levels": lambda pipe: replaced(
        pipe.scheduler, "alphas_cumprod", pipe.scheduler.alphas_cumprod * 0.99
    ),
    "weights of unet": lambda pipe: noise_on(attention_of(pipe).to_q),
    "weights of text_encoder": lambda pipe: noise_on(pipe.text_encoder.text_model.encoder.layer[0].attention.self.key),
    "weights of text_encoder_2": lambda pipe: noise_on(pipe.text_encoder_2.shared),
    "weights of language_model": lambda pipe: noise_on(pipe.language_model.transformer.h[0].mlp.c_fc),
    "weights of projection_model": lambda pipe: noise_on(pipe.projection_model.projection),
    "weights of vae": lambda pipe: noise_on(pipe.vae.decoder.mid_block.resnets[0].conv1),
    "weights of vocoder": lambda pipe: noise_on(pipe.vocoder.resblocks[0].convs1[0]),
    "settings of vae": lambda pipe: configured(pipe.vae, scaling_factor=0.5),
    "settings of unet": lambda pipe: replaced(attention_of(pipe), "scale", 0.5),
    "settings of text_encoder_2": lambda pipe: in_training(pipe.text_encoder_2),
    "settings of language_model": lambda pipe: replaced(pipe.language_model.config, "max_new_tokens", 4),
    "settings of tokenizer": lambda pipe: replaced(pipe.tokenizer, "model_max_length", 5),
    "settings of feature_extractor": lambda pipe: replaced(pipe.feature_extractor, "padding", "repeat"),
    "arithmetic.float32_products: ieee there, tf32 here": products_of_tf32,
    "arithmetic.autocast: none there, bfloat16 here": lambda _pipe: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("named", CHANGES)
def test_what_changes_a_number_is_named(pipe, named):
    before = json.loads(json.dumps(describe(pipe)))
    with CHANGES[named](pipe):
        changed = json.loads(json.dumps(describe(pipe)))
    assert named in differences(before, changed, "model")
    assert differences(before, json.loads(json.dumps(describe(pipe))), "model") == []


@pytest.mark.parametrize("processor", [Louder(3.0), AttnProcessor()], ids=["foreign", "plain"])
def test_another_attention_processor_changes_the_settings_of_the_unet(pipe, processor):
    before = describe(pipe)
    with processed(pipe, processor):
        changed = describe(pipe)
    assert "settings of unet" in differences(before, changed, "model")
    of_unet = {"unet": {f"{__name__}.Louder(scale=3.0)": 1}} if isinstance(processor, Louder) else {}
    assert before["attention_processors"] == {} and changed["attention_processors"] == of_unet


def test_an_attached_method_or_plan_is_named(pipe):
    plan = plan_of({0: everywhere([find_sites(pipe)[0].name])}, unet=unet_layout(pipe))
    for method in (LiteFocus(cross_fraction=0.2), plan):
        with method(pipe) as handle:
            assert describe(pipe)["attention_processors"] == {"unet": {repr(method): len(handle.sites)}}


def test_use_and_compiling_change_nothing(pipe, sound):
    before = describe(pipe)
    sound()
    with replaced(pipe, "unet", torch.compile(pipe.unet)):
        compiled = describe(pipe)
    assert before == describe(pipe) == compiled


def test_a_checkpoint_is_what_it_was_in_memory_until_another_is_saved_over_it(pipe, tmp_path):
    def loaded():
        return json.loads(json.dumps(describe(focuslab.load(tmp_path / "model", "cpu", "float32"))))

    pipe.save_pretrained(tmp_path / "model")
    first = loaded()
    assert differences({**describe(pipe), "name": None}, {**first, "name": None}, "model") == []
    with noise_on(attention_of(pipe).to_q):
        pipe.save_pretrained(tmp_path / "model")
    assert differences(first, loaded(), "model") == ["weights of unet"]


@pytest.fixture(scope="module")
def evaluated(session_pipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated") / "run"
    focuslab.evaluate(session_pipe, "rain", out=out, **EVALUATION)
    return out


@pytest.mark.parametrize("named", [next(iter(CHANGES)), "weights of unet"])
def test_an_evaluation_of_something_else_is_not_resumed(pipe, evaluated, named):
    before = {path: path.read_bytes() for path in evaluated.rglob("*") if path.is_file()}
    with CHANGES[named](pipe), pytest.raises(InputError) as caught:
        focuslab.evaluate(pipe, "rain", out=evaluated, **EVALUATION)
    assert f"({'it differs in ' + named})" in str(caught.value) and "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in evaluated.rglob("*") if path.is_file()} == before


def test_a_run_of_other_weights_is_not_resumed(pipe, tmp_path):
    def opened():
        with RunDirectory(tmp_path, run_info(pipe, "profile", {"seconds": [0.64]}, seed=0, prompts=["rain"])):
            pass

    opened()
    with noise_on(pipe.vocoder.resblocks[0].convs1[0]), pytest.raises(InputError, match="differs in weights of voc"):
        opened()
    opened()


def test_a_run_of_an_older_version_is_read_and_not_resumed(pipe, evaluated, tmp_path):
    info = json.loads((evaluated / "run.json").read_text())
    for name in ("weights", "settings", "dtypes", "scheduler", "adapters", "attention_processors", "arithmetic"):
        del info["model"][name]
    info["model"]["unet_fingerprint"] = "0123456789abcdef"
    info["versions"]["focuslab"] = "0.1.0"
    for path in evaluated.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(evaluated)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (tmp_path / "run.json").write_text(json.dumps(info))
    run = focuslab.EvaluationRun.load(tmp_path)
    assert run.info.unet_fingerprint == "0123456789abcdef" and not run.info.knows_what_made_it
    with pytest.raises(InputError, match=r"written by focuslab 0\.1\.0, which did not record what made it"):
        focuslab.evaluate(pipe, "rain", out=tmp_path, **EVALUATION)


@pytest.mark.parametrize("change", [another_scheduler, CHANGES["weights of vae"]])
def test_the_settings_of_a_clip_differ_where_the_model_does(pipe, change):
    plain = focuslab.generate(pipe, "rain", 0.64, steps=1).settings["model"]
    with change(pipe):
        changed = focuslab.generate(pipe, "rain", 0.64, steps=1).settings["model"]
    assert plain != changed
    assert plain == focuslab.generate(pipe, "rain", 0.64, steps=1).settings["model"]


def test_the_content_of_recordings_is_part_of_a_reference(tmp_path):
    def content(seed):
        for number in range(2):
            samples = np.random.default_rng(seed + number).uniform(-0.5, 0.5, 100).astype(np.float32)
            (tmp_path / f"{number}.wav").write_bytes(encode_wav(samples, 16000))
        return find_reference(tmp_path, [], 2).to_json()

    first = content(0)
    assert first == content(0)
    assert differences(first, content(10), "parameters", "reference") == ["parameters.reference.content"]


def test_the_content_of_a_checkpoint_that_scores_is_part_of_a_run(pipe, tmp_path):
    def facts():
        return embedder_facts(pipe, Scorer(("kl_softmax",), tagger=load_audioset_tagger(tmp_path, "cpu")))

    save_ast(tmp_path)
    first = facts()
    assert first == facts()
    extractor = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**extractor, "mean": -1.0}))
    assert differences(first, facts(), "embedders") == ["embedders.ast.settings.feature_extractor"]
    save_ast(tmp_path, seed=1)
    assert differences(first, facts(), "embedders") == ["embedders.ast.weights.model"]


def test_infinity_in_a_configuration_can_be_written(pipe):
    with another_scheduler(pipe):
        found = describe(pipe)
        assert pipe.scheduler.config.lambda_min_clipped == -float("inf")
    assert json.loads(to_json_bytes(found)) == found and found["scheduler"]["lambda_min_clipped"] == "-Infinity"


def test_mixed_dtypes_are_named():
    part = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, dtype=torch.float16))
    assert dtypes_of(part) == "float16 and float32"


class Adapted(nn.Module):
    """What peft's layers show of themselves."""

    def __init__(self, scale, *, merged=(), disabled=False, active=("voice",)):
        super().__init__()
        self.scaling = {"voice": scale}
        self.merged_adapters, self.disable_adapters, self.active_adapters = list(merged), disabled, list(active)


ADAPTED = [Adapted(0.5), Adapted(1), Adapted(0.5, merged=["voice"]), Adapted(0.5, disabled=True)]
ADAPTED += [Adapted(0.5, active=())]


def test_adapters_are_told_apart_by_scale_and_state():
    found = [adapters_of(nn.ModuleList([layer])) for layer in ADAPTED]
    assert len({json.dumps(adapters) for adapters in found}) == len(found)
    assert found[0]["scales"] == {"voice": [0.5]} and found[0]["active"] == ["voice"] and found[0]["fused"] == []
    one, other = (adapters_of(nn.ModuleList(layers)) for layers in (ADAPTED[:2], ADAPTED[1::-1]))
    assert one["scales"] == other["scales"] and one["layers"] != other["layers"]
    assert adapters_of(nn.Linear(2, 2)) == {}


@pytest.mark.parametrize("made_for", ["own", "another", None])
def test_a_plan_for_other_weights_serves_with_one_note(caplog, made_for):
    pipe = focuslab.load("random:tiny", "cpu", "float32")
    weights = {"own": describe(pipe)["weights"]["unet"], "another": "0123456789abcdef", None: None}[made_for]
    evidence = {} if weights is None else {"unet_weights": weights}
    plan = plan_of({0: everywhere([find_sites(pipe)[0].name])}, unet=unet_layout(pipe), evidence=evidence)
    with caplog.at_level(logging.WARNING, "focuslab"):
        for _ in range(2):
            with plan(pipe) as handle:
                assert len(handle.sites) == 1
            plan.sites_at(pipe, 0.64)
    assert len(caplog.records) == (made_for == "another")
