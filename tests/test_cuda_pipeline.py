"""Whole generations, instruments and memory on a CUDA device."""

from contextlib import nullcontext
from copy import deepcopy

import pytest
import torch

import focuslab
from focuslab.hooks.denoise import timed_call
from focuslab.hooks.timers import ModuleTimer, clock_for
from focuslab.methods import LiteFocus
from focuslab.models.conditioning import encode_prompt
from focuslab.models.sites import unit_names
from tests.configurations import METHODS

pytestmark = pytest.mark.cuda
SECONDS, STEPS = 2.56, 3


@pytest.fixture(scope="module")
def pipe():
    pipe = focuslab.load("random:tiny", "cuda", "float16")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def latents(pipe, method=None, seed=0, steps=STEPS):
    with nullcontext() if method is None else method(pipe):
        conditioning = encode_prompt(pipe, "rain")
        return timed_call(pipe, conditioning, SECONDS, steps, seed, clock_for("cuda"), "latent")[0]


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_latents_twice(pipe, name):
    first, second = (latents(pipe, METHODS[name]) for _ in range(2))
    assert torch.equal(first, second) and first.isfinite().all()


def test_a_recorded_run_gives_the_latents_of_a_plain_one(pipe, monkeypatch):
    kept = []

    def keeping(*arguments):
        output, seconds = timed_call(*arguments)
        kept.append(output)
        return output, seconds

    monkeypatch.setattr("focuslab.measure.capture_work.timed_call", keeping)
    focuslab.capture_attention(pipe, "rain", (SECONDS,), steps=STEPS, capture_steps=range(STEPS))
    plain = latents(pipe)
    assert (kept[0] - plain).abs().max() < 2e-2 * plain.abs().max()


def test_exclusive_times_add_up_to_the_whole(pipe):
    clock = clock_for("cuda")
    conditioning = encode_prompt(pipe, "rain")
    with torch.no_grad():
        timed_call(pipe, conditioning, SECONDS, STEPS, 0, clock, "latent")
        with ModuleTimer(pipe.unet, clock, unit_names(pipe.unet)) as timer:
            timed_call(pipe, conditioning, SECONDS, STEPS, 0, clock, "latent")
    times = timer.times()
    whole = next(t.inclusive_seconds for t in times if t.name == "")
    assert sum(t.exclusive_seconds for t in times) == pytest.approx(whole, rel=0.01)


@pytest.mark.parametrize("seconds", [10.0, 40.0])
def test_the_predicted_peak_is_the_measured_one(pipe, seconds):
    run = focuslab.profile(pipe, (seconds,), ("dense", "litefocus"), repeats=1)
    for row in run.rows:
        assert row["predicted_peak_bytes"] == pytest.approx(row["peak_bytes"], rel=0.15), row["method"]


def test_a_method_runs_under_autocast():
    pipe = focuslab.load("random:tiny", "cuda", "float32")
    pipe.set_progress_bar_config(disable=True)
    plain = latents(pipe, LiteFocus())
    with torch.autocast("cuda", torch.float16):
        cast = latents(pipe, LiteFocus())
    assert (cast - plain).abs().max() < 0.1 * plain.abs().max()


def test_a_method_runs_where_the_model_is_offloaded(pipe):
    expected = latents(pipe, LiteFocus())
    offloaded = focuslab.load("random:tiny", "cuda", "float16")
    offloaded.set_progress_bar_config(disable=True)
    offloaded.enable_model_cpu_offload()
    assert torch.equal(latents(offloaded, LiteFocus()), expected)


def test_a_method_in_a_compiled_unet_gives_what_it_gives_eagerly():
    pipe = focuslab.load("random:tiny", "cuda", "float32")
    pipe.set_progress_bar_config(disable=True)
    eager = latents(pipe, LiteFocus())
    pipe.unet = deepcopy(pipe.unet)
    pipe.unet.compile()
    assert (latents(pipe, LiteFocus()) - eager).abs().max() < 1e-3 * eager.abs().max()


def test_a_clip_by_a_method_is_as_on_the_cpu():
    outputs = []
    for device in ("cpu", "cuda"):
        pipe = focuslab.load("random:tiny", device, "float32")
        pipe.set_progress_bar_config(disable=True)
        with torch.no_grad(), LiteFocus(cross_weight="unbiased")(pipe):
            conditioning = encode_prompt(pipe, "rain")
            outputs.append(timed_call(pipe, conditioning, SECONDS, STEPS, 0, clock_for(device), "latent")[0].cpu())
    # Other keys would change the latents by far more than rounding does.
    assert (outputs[0] - outputs[1]).abs().max() < 1e-2 * outputs[0].abs().max()
