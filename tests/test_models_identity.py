import json
import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import nn

import focuslab
from focuslab.audio import encode_wav
from focuslab.errors import InputError
from focuslab.models.identity import adapters_of, describe
from focuslab.records import differences

EVALUATION = {"seconds": 1.0, "steps": 1, "metrics": "closeness", "methods": ("dense", "litefocus")}


@contextmanager
def another_scheduler(pipe):
    before = pipe.scheduler
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(before.config)
    yield
    pipe.scheduler = before


@contextmanager
def noise_on(layer):
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 0.01 * torch.randn(before.shape, generator=torch.Generator().manual_seed(1))
        yield
        layer.weight.copy_(before)


def noisy_unet(pipe):
    return noise_on(pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q)


def noisy_text_encoder(pipe):
    return noise_on(pipe.text_encoder.text_model.encoder.layer[0].attention.self.query)


CHANGES = [(another_scheduler, "scheduler"), (noisy_unet, "weights.unet"), (noisy_text_encoder, "weights.text_encoder")]


@pytest.mark.parametrize("change, named", CHANGES, ids=[name for _, name in CHANGES])
def test_a_run_of_something_else_is_not_resumed(pipe, tmp_path, change, named):
    out = tmp_path / "run"
    focuslab.evaluate(pipe, "rain", out=out, **EVALUATION)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with change(pipe), pytest.raises(InputError, match=named) as caught:
        focuslab.evaluate(pipe, "rain", out=out, **EVALUATION)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    focuslab.evaluate(pipe, "rain", out=out, **EVALUATION)


def test_a_scheduler_with_infinity_in_its_configuration_is_written(pipe, tmp_path):
    with another_scheduler(pipe):
        assert -math.inf in pipe.scheduler.config.values()
        focuslab.evaluate(pipe, "rain", out=tmp_path / "run", **{**EVALUATION, "steps": 2})
    written = json.loads((tmp_path / "run" / "run.json").read_text())["model"]["scheduler"]
    assert written["class"] == "DPMSolverMultistepScheduler" and "-Infinity" in written.values()


@pytest.mark.parametrize("change", [change for change, _ in CHANGES], ids=[name for _, name in CHANGES])
def test_the_settings_of_a_clip_differ_where_the_model_does(pipe, change):
    plain = focuslab.generate(pipe, "rain", 1.0, steps=1).settings["model"]
    with change(pipe):
        changed = focuslab.generate(pipe, "rain", 1.0, steps=1).settings["model"]
    assert plain != changed
    assert plain == focuslab.generate(pipe, "rain", 1.0, steps=1).settings["model"]


def test_a_checkpoint_saved_over_another_is_told_apart(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "model")
    first = describe(focuslab.load(tmp_path / "model", "cpu", "float32"))
    assert first["weights"] == describe(pipe)["weights"]
    with noisy_unet(pipe):
        pipe.save_pretrained(tmp_path / "model")
    second = describe(focuslab.load(tmp_path / "model", "cpu", "float32"))
    assert differences(first, second) == [
        f'weights.unet: "{first["weights"]["unet"]}" there, "{second["weights"]["unet"]}" here'
    ]


def test_other_recordings_of_the_same_names_are_not_resumed(pipe, tmp_path):
    recordings, out = tmp_path / "recordings", tmp_path / "run"
    recordings.mkdir()

    def record(seed):
        for i in range(4):
            samples = np.random.default_rng(seed + i).uniform(-0.5, 0.5, 16000).astype(np.float32)
            (recordings / f"{i}.wav").write_bytes(encode_wav(samples, 16000))

    arguments = {**EVALUATION, "metrics": "kernel", "reference": recordings, "clap": "own", "out": out}
    prompts = ["rain", "wind", "bell", "siren"]
    record(0)
    focuslab.evaluate(pipe, prompts, **arguments)
    record(10)
    with pytest.raises(InputError, match=r"reference\.content"):
        focuslab.evaluate(pipe, prompts, **arguments)


def test_a_run_of_an_older_version_is_not_resumed(pipe, tmp_path):
    out = tmp_path / "run"
    focuslab.evaluate(pipe, "rain", out=out, **EVALUATION)
    info = json.loads((out / "run.json").read_text())
    del info["model"]["weights"]
    info["versions"]["focuslab"] = "0.1.0"
    (out / "run.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match=r"focuslab 0\.1\.0"):
        focuslab.evaluate(pipe, "rain", out=out, **EVALUATION)


class LoraLayer(nn.Module):
    """What peft's layers show of themselves."""

    def __init__(self, scale, *, merged=(), disabled=False, active=("voice",)):
        super().__init__()
        self.lora_A = nn.ModuleDict()
        self.scaling = {"voice": scale}
        self.merged_adapters, self.disable_adapters, self.active_adapters = list(merged), disabled, list(active)


ADAPTERS = [LoraLayer(0.5), LoraLayer(1), LoraLayer(0.5, merged=["voice"]), LoraLayer(0.5, disabled=True)]
ADAPTERS += [LoraLayer(0.5, active=())]


def test_adapters_are_told_apart_by_scale_and_state():
    found = [adapters_of(nn.ModuleList([layer])) for layer in ADAPTERS]
    assert len({json.dumps(adapters) for adapters in found}) == len(found)
    assert adapters_of(nn.Linear(2, 2)) == {}


def test_foreign_attention_processors_are_named(pipe):
    class Louder(AttnProcessor2_0):
        pass

    assert describe(pipe)["attention_processors"] == {}
    attention = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1
    before = attention.processor
    attention.set_processor(Louder())
    [(name, count)] = describe(pipe)["attention_processors"].items()
    attention.set_processor(before)
    assert name.endswith("Louder") and count == 1
