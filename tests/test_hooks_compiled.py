"""A UNet that torch compiles, measured. The backend "eager" runs the graphs that it is given as they are."""

import logging
from contextlib import contextmanager

import pytest
import torch

from focuslab.hooks import compiled as module
from focuslab.hooks.compiled import eagerly, is_compiled
from focuslab.measure.capture import capture_attention
from focuslab.measure.evaluation.scorer import ClipMaker
from focuslab.measure.profile import profile
from focuslab.measure.sensitivity import measure_sensitivity
from focuslab.methods import Dense
from focuslab.tables.profile import profile_tables
from focuslab.tables.text import in_terminal


@contextmanager
def in_place(pipe):
    pipe.unet.compile(backend="eager")
    yield
    pipe.unet._compiled_call_impl = None
    torch.compiler.reset()


@contextmanager
def wrapped(pipe):
    unet = pipe.unet
    pipe.unet = torch.compile(unet, backend="eager")
    yield
    pipe.unet = unet


@contextmanager
def of_a_block(pipe):
    pipe.unet.mid_block.compile(backend="eager")
    yield
    pipe.unet.mid_block._compiled_call_impl = None
    torch.compiler.reset()


@pytest.fixture(params=[in_place, wrapped])
def compiled_pipe(request, pipe):
    with request.param(pipe):
        yield pipe


def graphs_made() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("compile_it", [in_place, wrapped, of_a_block])
def test_a_compiled_unet_is_noticed(pipe, compile_it):
    assert not is_compiled(pipe.unet)
    with compile_it(pipe):
        assert is_compiled(pipe.unet)
    assert not is_compiled(pipe.unet)


def test_a_compiled_unet_runs_eagerly_for_a_while(compiled_pipe, caplog):
    calls = []
    hook = compiled_pipe.unet.mid_block.register_forward_pre_hook(
        lambda *_: calls.append(torch.compiler.is_dynamo_compiling())
    )
    module._say.cache_clear()
    with caplog.at_level(logging.WARNING, "focuslab"):
        for _ in range(2):
            with eagerly(compiled_pipe.unet, "something is measured"):
                compiled_pipe("rain", audio_length_in_s=0.64, num_inference_steps=1)
    hook.remove()
    assert calls == [False, False]
    assert [record.message.count("something is measured") for record in caplog.records] == [1]


def test_profile_times_compiled_steps_and_modules_of_the_eager_unet(pipe):
    # Compiling the whole UNet would take half a minute.
    with of_a_block(pipe):
        before = graphs_made()
        run = profile(pipe, [0.64], ["dense"], repeats=2)
    assert graphs_made() > before
    row = run.row(0.64, "dense")
    assert row["kind_share"]["self_attention"] > 0.05
    assert {"unet", "mid_block", "mid_block.attentions.0"} <= {m["name"] for m in row["modules"]}
    assert len(row["step_seconds"]) == 2
    assert run.info.parameters["compiled"] is True
    assert run.summary["shares_of_eager"] is True and run.summary["instrumented_over_plain"] is None
    assert "eager" in in_terminal(profile_tables(run.summary))


def test_modules_of_a_wrapped_unet_have_their_own_names(pipe, monkeypatch):
    unet = pipe.unet
    monkeypatch.setattr(pipe, "unet", torch.compile(unet, disable=True))
    run = profile(pipe, [0.64], ["dense"], repeats=1)
    assert len(run.row(0.64, "dense")["modules"]) > 300
    assert run.info.grids["0.64"] == {}


def test_capture_gives_the_numbers_of_an_eager_unet(pipe):
    def mass():
        capture = capture_attention(pipe, "rain", [0.64], steps=2, statistics=["mass"])
        return [row["same_frequency_mass"] for row in capture.summary["blocks"]]

    expected, before = mass(), graphs_made()
    for compile_it in (in_place, wrapped):
        with compile_it(pipe):
            assert mass() == expected
    assert graphs_made() == before


def test_sensitivity_compiles_nothing(pipe):
    before = graphs_made()
    with in_place(pipe):
        run = measure_sensitivity(pipe, "rain", [0.64], steps=1, methods=["same-frequency"])
    assert graphs_made() == before and any(record.get("error") for record in run.records)


def test_evaluation_takes_the_time_of_compiled_steps_alone(pipe, monkeypatch):
    steps = []

    def timed(*arguments, **_options):
        steps.append(arguments[3])
        return [[0.0]], [1.0, 1.0]

    monkeypatch.setattr("focuslab.measure.evaluation.scorer.timed_call", timed)
    sounds = ClipMaker(pipe, {"dense": Dense()}, steps=2)
    sounds.make(sounds.encode("rain"), 0.64, "dense", 0)
    assert steps == [2]
    with of_a_block(pipe):
        sounds = ClipMaker(pipe, {"dense": Dense()}, steps=2)
        sounds.make(sounds.encode("rain"), 0.64, "dense", 0)
    assert steps == [2, 1, 2]
