"""Pipelines whose weights rest elsewhere until they are needed, as accelerate and diffusers offload them."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from accelerate.hooks import remove_hook_from_submodules

from focuslab import LiteFocus, load
from focuslab.measure.capture import capture_attention
from focuslab.measure.evaluation.evaluate import evaluate
from focuslab.measure.generate import generate
from focuslab.measure.profile import profile
from focuslab.measure.sensitivity import measure_sensitivity
from focuslab.models.identity import describe
from focuslab.models.placement import device_of_module

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def own_pipe():
    pipe = load("random:tiny", "cpu", "float32")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def parts(pipe):
    return [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]


@contextmanager
def offloaded(pipe, offload):
    for part in parts(pipe):
        offload(part, execution_device=CPU)
    yield
    for part in parts(pipe):
        remove_hook_from_submodules(part)


@pytest.mark.parametrize("offload", [cpu_offload_with_hook, cpu_offload])
def test_what_is_offloaded_gives_the_same_clip_and_capture(own_pipe, offload):
    def made():
        sound = generate(own_pipe, "rain", 0.64, method=LiteFocus(sites="*"), steps=2)
        capture = capture_attention(own_pipe, "rain", [0.64], steps=1, statistics=["mass"])
        return sound.samples, [row["same_frequency_mass"] for row in capture.summary["blocks"]], describe(own_pipe)

    samples, mass, model = made()
    with offloaded(own_pipe, offload):
        own_processors = dict(own_pipe.unet.attn_processors)
        again = made()
        assert own_pipe.unet.attn_processors == own_processors
        assert not any(m._forward_pre_hooks or m._forward_hooks for m in own_pipe.unet.modules())
    assert np.array_equal(again[0], samples) and again[1:] == (mass, model)


def test_what_is_offloaded_is_profiled_and_scored(own_pipe):
    def error():
        records = measure_sensitivity(own_pipe, "rain", [0.64], steps=1, methods=["same-frequency"]).records
        return next(record["error"] for record in records if "error" in record)

    expected = error()
    with offloaded(own_pipe, cpu_offload):
        assert device_of_module(own_pipe.unet) == CPU
        run = profile(own_pipe, [0.64], ["dense"], repeats=1)
        assert len(run.row(0.64, "dense")["modules"]) > 300
        assert error() == expected
        (row,) = evaluate(own_pipe, ["rain", "wind"], [0.64], ["dense"], steps=1, metrics=["clap"]).rows
    assert row["metrics"]["clap"]["n"] == 2
