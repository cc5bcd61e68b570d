"""Evaluating a pipeline: its own sounds, scored by real embedders; what it refuses before it begins."""

import json

import numpy as np
import pytest
import torch

from focuslab import EvaluationRun, evaluate, generate
from focuslab.errors import InputError
from focuslab.io.audio import encode_wav, read_audio
from focuslab.measure.evaluation.config import Share
from focuslab.measure.evaluation.cost import estimate
from focuslab.measure.evaluation.items import noise_seeds
from focuslab.measure.evaluation.job import prepare
from focuslab.methods import LiteFocus
from focuslab.metrics.clap import clap_of
from tests.embedders import save_ast, save_clap
from tests.evaluation_jobs import numbers
from tests.loading import refusal
from tests.quick import CountingClock
from tests.schedulers import with_scheduler

PROMPTS = ["rain", "a dog barks", "wind"]
SHORT = {"seconds": (0.64,), "methods": ("dense", "litefocus"), "steps": 2, "share": Share()}


@pytest.fixture(scope="module")
def run(session_pipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation") / "run"
    return evaluate(session_pipe, PROMPTS, **SHORT, keep_audio=True, out=out)


def test_a_clip_is_the_one_that_generate_gives(run, pipe):
    for record in (run.records[0], run.records[3]):
        method = LiteFocus() if record["method"] == "litefocus" else None
        prompt = PROMPTS[record["prompt"]]
        sound = generate(pipe, prompt, 0.64, steps=2, method=method, seed=record["noise_seed"])
        _, rate = read_audio(run.directory / record["audio"])
        assert encode_wav(sound.samples, rate) == (run.directory / record["audio"]).read_bytes()
        assert rate == sound.sampling_rate == 16_000
        clap = clap_of(pipe)
        cosine = clap.embed(sound.samples[None], rate)[0].mean(axis=0) @ clap.embed_text([prompt])[0]
        norm = np.linalg.norm(clap.embed(sound.samples[None], rate)[0].mean(axis=0))
        assert record["values"]["clap"] == pytest.approx(cosine / norm, abs=1e-5)
    seeds = noise_seeds(prepare(pipe, PROMPTS, steps=2, seconds=(0.64,)).work.captions, 0)
    assert [record["noise_seed"] for record in run.records[::2]] == seeds


def test_every_item_says_what_it_took(run):
    for record in run.records:
        assert record["status"] == "scored" and record["generation_seconds"] > record["denoising_seconds"] > 0
        assert record["denoising_seconds"] == pytest.approx(2 * record["step_seconds"])
        assert record["scoring_seconds"] > 0 and record["values"].keys() >= {"clap", "silence_share"}
    row = run.row(0.64, "litefocus")
    ratios = [d["step_seconds"] / s["step_seconds"] for d, s in zip(run.records[::2], run.records[1::2], strict=True)]
    assert row["speedup_vs_dense"] == pytest.approx(np.median(ratios))
    assert run.summary["scoring_over_generating"] == pytest.approx(
        sum(r["scoring_seconds"] for r in run.records) / sum(r["generation_seconds"] for r in run.records)
    )


def test_it_says_whose_clap_scored_and_how_it_was_made(run):
    assert run.summary["scorer_is_own"]
    assert run.row(0.64, "dense")["metrics"]["clap"]["checkpoint"] == "random:tiny (the text_encoder of the pipeline)"
    assert any("is the one that conditions this pipeline" in note for note in run.summary["footnotes"])
    info = json.loads((run.directory / "run.json").read_text())
    assert info["command"] == "evaluate" and info["prompts"] == PROMPTS and info["parameters"]["steps"] == 2
    assert info["parameters"]["methods"]["litefocus"].startswith("LiteFocus(") and info["ended"] >= info["started"]
    assert EvaluationRun.load(run.directory).summary == run.summary


def test_it_leaves_the_pipeline_as_it_was(run, pipe, sound):
    before = sound()
    found = evaluate(pipe, PROMPTS, **SHORT)
    assert found.directory is None and numbers(found.summary) == numbers(run.summary)
    assert [r["values"] for r in found.records] == [r["values"] for r in run.records]
    assert np.array_equal(sound(), before) and torch.is_grad_enabled()


def test_a_run_is_not_resumed_with_another_vocoder(pipe, tmp_path):
    evaluate(pipe, PROMPTS, **SHORT, out=tmp_path)
    weights = pipe.vocoder.conv_pre.weight
    kept = weights.detach().clone()
    try:
        weights.data.add_(1)
        with pytest.raises(InputError, match=r"holds another run \(it differs in weights of vocoder"):
            evaluate(pipe, PROMPTS, **SHORT, out=tmp_path)
    finally:
        weights.data.copy_(kept)


def test_an_embedder_of_its_own_and_a_tagger(pipe, tmp_path):
    clap, tagger = save_clap(tmp_path / "clap", pipe), save_ast(tmp_path / "ast")
    found = evaluate(pipe, PROMPTS[:2], **SHORT, clap=clap, tagger=tagger, metrics=("clap", "kl"))
    assert not found.summary["scorer_is_own"]
    assert not any("conditions this pipeline" in note for note in found.summary["footnotes"])
    metrics = found.row(0.64, "litefocus")["metrics"]
    assert metrics["clap"]["checkpoint"] == str(clap) and metrics["kl_softmax"]["checkpoint"] == str(tagger)
    assert metrics["kl_softmax"]["value"] > 0 and metrics["kl_sigmoid"]["n"] == 2
    assert found.row(0.64, "dense")["metrics"]["kl_softmax"]["value"] is None


def test_nan_is_recorded_and_not_an_error(pipe, monkeypatch):
    original, calls = pipe.mel_spectrogram_to_waveform, []

    def broken(mel):
        calls.append(mel)
        return original(mel) * (float("nan") if len(calls) == 2 else 1)

    monkeypatch.setattr(pipe, "mel_spectrogram_to_waveform", broken)
    found = evaluate(pipe, PROMPTS, **SHORT)
    assert found.row(0.64, "litefocus")["excluded"] == {"nan": 1, "silent": 0}
    assert found.row(0.64, "litefocus")["metrics"]["clap"]["n"] == 2
    assert "Excluded from every number: litefocus at 0.64 s: 1 not finite." in found.summary["footnotes"]


def test_the_cost_is_reckoned_from_a_step_of_each(pipe):
    job = prepare(pipe, PROMPTS, (0.64, 1.28), ("dense", "litefocus"), seeds=(0, 1), steps=3, keep_audio=True)
    found = estimate(pipe, job, processes=4)
    assert [(row["seconds"], row["method"]) for row in found.rows] == [
        (s, m) for s in (0.64, 1.28) for m in ("dense", "litefocus")
    ]
    for row in found.rows:
        assert row["items"] == 6 and row["item_seconds"] > 3 * row["step_seconds"] > 0
        assert row["hours"] == pytest.approx(6 * row["item_seconds"] / 3600)
    assert found.items == 24 and found.hours == pytest.approx(sum(row["hours"] for row in found.rows))
    assert found.audio_bytes == 24 * 44 + 12 * 2 * 16_000 * (0.64 + 1.28)
    # Two windows of 0.63 s at 0.64 s and three at 1.28 s, of 16 numbers of 4 bytes.
    assert found.kept_bytes == 24 * 900 + 12 * (2 + 3) * 16 * 4
    assert "24 items: " in repr(found) and " on 4; " in repr(found) and "of audio" in repr(found)


def test_an_estimate_counts_the_calls_of_the_schedule(pipe, monkeypatch):
    with_scheduler(pipe, "PNDMScheduler", monkeypatch)
    monkeypatch.setattr("focuslab.measure.evaluation.cost.clock_for", lambda _device: CountingClock())
    monkeypatch.setattr("focuslab.measure.evaluation.cost.perf_counter", lambda: 0.0)
    job = prepare(pipe, ["rain"], (0.64,), ("dense",), steps=5, metrics=("clap",))
    # By this clock each of 14 UNet calls, two stages and the encoding of the caption takes a millisecond.
    assert estimate(pipe, job).rows[0]["item_seconds"] == pytest.approx((14 + 2 + 1) * 1e-3)


WRONG = {
    "no caption": ({"prompts": []}, "no caption given"),
    "blank caption": ({"prompts": ["rain", " "]}, "text, not ' '"),
    "number": ({"prompts": ["rain", 3]}, "text, not 3"),
    "length": ({"seconds": (0.01,)}, "too short"),
    "method": ({"methods": ("dense", "litefocs")}, "did you mean litefocus"),
    "site": ({"methods": ("dense", "litefocus:sites=up_blocks.9")}, "up_blocks.9"),
    "metric": ({"metrics": ("fid",)}, "there is no metric 'fid'"),
    "steps": ({"steps": 0}, "steps must be"),
    "seeds": ({"seeds": (1, 1)}, "different seeds, not [1, 1]"),
    "no seed": ({"seeds": ()}, "different seeds, not []"),
    "seed": ({"seeds": (0.5,)}, "seed must be a whole number"),
    "few clips": ({"prompts": ["rain"]}, "frechet needs 2 clips or more of each length and method, and 1 caption(s)"),
    "reference": ({"reference": "nowhere"}, "nowhere is no directory"),
    "clap": ({"clap": "nowhere"}, "no checkpoint 'nowhere'"),
    "clap offline": ({"clap": "laion/clap-htsat-unfused", "offline": True}, "offline"),
    "tagger offline": ({"metrics": ("kl",), "offline": True}, "offline"),
    "several without a place": ({"share": Share(0, 2)}, "give out, the same for all"),
    "several with force": ({"share": Share(0, 2), "force": True, "out": "here"}, "each other's work"),
}


@pytest.mark.parametrize("changes, message", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused_before_anything_is_made(pipe, tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("focuslab.measure.evaluation.scorer.timed_call", None)
    arguments = {**SHORT, "prompts": PROMPTS, **changes}
    assert message in refusal(evaluate, pipe, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_reference_without_enough_that_can_be_read_says_why(pipe, tmp_path):
    (tmp_path / "one.wav").write_bytes(encode_wav(np.ones(10), 8000))
    (tmp_path / "two.wav").write_bytes(b"mp3")
    message = refusal(evaluate, pipe, PROMPTS, **SHORT, reference=tmp_path)
    assert (
        "holds 1 recordings that can be read (two.wav is no WAV, RF64, FLAC or OGG file): a reference needs 3 or more"
        in message
    )


def test_memory_that_is_not_there_is_refused(pipe, monkeypatch):
    monkeypatch.setattr("focuslab.hooks.memory.available_bytes", lambda device: 1000)
    with pytest.raises(InputError, match="dense at 0.64 s needs .* leave out this length or this method"):
        evaluate(pipe, PROMPTS, **SHORT)


def test_a_length_that_does_not_fit_is_skipped(pipe, monkeypatch):
    monkeypatch.setattr("focuslab.hooks.memory.available_bytes", lambda device: 100_000_000)
    run = evaluate(pipe, PROMPTS, **{**SHORT, "seconds": (0.64, 640)})
    assert {row["seconds"] for row in run.rows} == {0.64}
    assert {row["seconds"] for row in run.summary["skipped"]} == {640}
    assert "640 s" in repr(run)
