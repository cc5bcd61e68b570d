"""capture_attention: what it writes, how it goes on after a stop, and what it refuses."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab import AttentionRun, LiteFocus, capture_attention
from focuslab.attention.kernels import lse_kernel
from focuslab.errors import FocuslabError, InputError
from focuslab.hooks.recorder import HALVES, STATISTICS
from focuslab.measure.capture_config import default_capture_steps
from focuslab.measure.capture_work import rounded
from focuslab.models.schedule import schedule_of
from focuslab.models.sites import find_sites, select_sites
from focuslab.runs.directory import ARRAYS, RECORDS, RUN, SUMMARY
from tests.quick import CountingClock
from tests.schedulers import with_scheduler

SHORT = {
    "prompts": ("rain", "a dog barks"),
    "seconds": (0.64, 1.28),
    "steps": 4,
    "sites": ("down_blocks.1", "down_blocks.2", "mid_block"),
    "cross_fractions": (0, 0.2),
}
TIMES = ("seconds_elapsed", "plain_step_seconds", "recorded_step_seconds", "peak_bytes", "plain_peak_bytes", "at")


def same_time(grid, tokens):
    time = torch.arange(grid.tokens, device=tokens.device) // grid.mel_rows
    return time == (tokens // grid.mel_rows)[:, None]


def parity(grid):
    return torch.arange(grid.tokens) // grid.mel_rows % 2, 2


EXTRAS = {
    "labels": {"parity": parity},
    "patterns": {"same time": same_time},
    "queries": ("3:4",),
    "crops": ("mid_block:0-3", "down_blocks.2.attentions.0.*:0-7:8-9"),
}


@pytest.fixture(scope="module")
def run(session_pipe, tmp_path_factory):
    return capture_attention(session_pipe, **SHORT, **EXTRAS, out=tmp_path_factory.mktemp("capture") / "run")


def attention(run, **wanted):
    return [r for r in run.records if r["kind"] == "attention" and all(r[k] == v for k, v in wanted.items())]


def without_times(records):
    return [{k: v for k, v in r.items() if k not in TIMES} for r in records]


def test_there_is_a_record_of_every_call(run, session_pipe):
    names = [site.name for site in select_sites(find_sites(session_pipe), SHORT["sites"])]
    keys = [tuple(r[k] for k in ("seconds", "prompt", "step", "site", "half")) for r in attention(run)]
    assert keys == [
        (seconds, prompt, step, site, half)
        for seconds in (0.64, 1.28)
        for prompt in (0, 1)
        for step in (0, 3)
        for site in names
        for half in HALVES
    ]
    passes = [r for r in run.records if r["kind"] == "pass"]
    assert [(p["seconds"], p["prompt"]) for p in passes] == [(s, p) for s in (0.64, 1.28) for p in (0, 1)]
    for p in passes:
        assert p["recorded_steps"] == [0, 3]
        assert len(p["plain_step_seconds"]) == len(p["recorded_step_seconds"]) == 2
        assert p["seconds_elapsed"] > sum(p["plain_step_seconds"] + p["recorded_step_seconds"])
        assert p["peak_bytes"] >= 0.9 * p["plain_peak_bytes"] > 0


def test_a_record_has_every_statistic_of_every_head(run, session_pipe):
    heads = {site.name: site.heads for site in find_sites(session_pipe)}
    for r in attention(run):
        n, rows = heads[r["site"]], r["mel_rows"]
        assert r["timestep"] > 0 and r["time"] * rows > 0
        for kind in (r["mass"], r["entropy"], *r["recall"].values(), r["patterns"]["same time"]):
            assert len(kind["mean"]) == len(kind["std"]) == n
        assert np.array(r["rows"]).shape == (n, rows, rows)
        assert np.array(r["rows"]).sum(-1) == pytest.approx(np.ones((n, rows)), abs=1e-5)
        lag = {name: np.array(r["lag"][name]) for name in ("edges", "own", "other", "chance")}
        assert lag["edges"].tolist() == sorted(lag["edges"]) and lag["edges"][0] == 0
        assert lag["own"].shape == lag["other"].shape == (n, len(lag["edges"]) - 1)
        assert lag["own"].sum(-1) + lag["other"].sum(-1) == pytest.approx(np.ones(n), abs=1e-4)
        assert lag["chance"].sum() == pytest.approx(1, abs=1e-5)
        assert r["recall"].keys() == r["output_error"].keys() == {"0", "0.2"}
        # With no drawn keys the focus set is the own row.
        assert r["recall"]["0"] == r["mass"]
        for error in r["output_error"].values():
            assert error["all"] > 0 and len(error["heads"]) == n
        assert np.array(r["labels"]["parity"]).sum(-1) == pytest.approx(np.ones(n), abs=1e-5)
        assert r["patterns"]["same time"]["chance"] == pytest.approx(1 / r["time"], rel=1e-5)
        assert np.array(r["mass"]["mean"]) == pytest.approx(
            np.array(r["rows"]).diagonal(axis1=1, axis2=2).mean(-1), abs=1e-5
        )
        assert lag["own"].sum(-1) == pytest.approx(np.array(r["mass"]["mean"]), abs=1e-5)


def test_lags_are_in_seconds_of_audio(run):
    # A time step of the latent is 0.04 s, and twice that at every level.
    for r in attention(run, seconds=1.28, step=0, half="conditional", prompt=0):
        edges, chance = r["lag"]["edges"], r["lag"]["chance"]
        assert edges == pytest.approx([0, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28])
        step = 1.28 / r["time"]
        lags = step * abs(np.arange(r["time"])[:, None] - np.arange(r["time"]))
        expected = np.histogram(lags, [0, *np.array(edges[1:]) - 1e-6])[0] / lags.size
        assert chance == pytest.approx(expected, abs=1e-5)


def test_prompts_halves_steps_and_lengths_differ(run):
    of_last = attention(run, site=attention(run)[-1]["site"])
    assert len({json.dumps(r["mass"]) for r in of_last}) == len(of_last) == 2 * 2 * 2 * 2


def test_the_directory_holds_how_it_was_made(run, session_pipe):
    info = json.loads((run.directory / RUN).read_text())
    assert info["command"] == "capture-attn" and info["prompts"] == ["rain", "a dog barks"]
    assert info["ended"] >= info["started"] and info["seed"] == 0
    p = info["parameters"]
    assert p["capture_steps"] == [0, 3] and p["training_seconds"] == pytest.approx(10.24)
    chosen = select_sites(find_sites(session_pipe), SHORT["sites"])
    assert [site["name"] for site in p["sites"]] == [site.name for site in chosen]
    assert p["sites"][0].keys() >= {"name", "block", "level", "heads", "head_width"}
    assert p["queries"] == ["3:4"] and p["crops"] == list(EXTRAS["crops"]) and p["labels"].keys() == {"parity"}
    assert info["grids"]["1.28"][p["sites"][0]["name"]] == [16, 8]
    assert json.loads((run.directory / SUMMARY).read_text()) == run.summary
    assert run.summary["schema"] == "focuslab/attention/1" and run.summary["capture_over_plain"] > 0
    assert run.summary["peak_bytes"] > 0
    rows = run.summary["sites"]
    assert {row["name"] for row in rows} == {site["name"] for site in p["sites"]}
    assert {row["name"] for row in run.summary["blocks"]} == {site["block"] for site in p["sites"]}
    for row in rows:
        assert row["chance"] == pytest.approx(1 / row["mel_rows"])
        assert row["lift"] == pytest.approx(row["same_frequency_mass"] * row["mel_rows"], rel=1e-4)


@pytest.mark.parametrize("name", ["HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "PNDMScheduler"])
def test_recorded_timesteps_span_the_whole_schedule(name, pipe, monkeypatch):
    with_scheduler(pipe, name, monkeypatch)
    monkeypatch.setattr("focuslab.measure.capture_work.clock_for", lambda _device: CountingClock())
    run = capture_attention(pipe, "rain", (0.16,), steps=6, sites="mid_block", statistics="mass")
    schedule = schedule_of(pipe, 6)
    expected = [(step, pipe.scheduler.timesteps[schedule.first_call(step)].item()) for step in (0, 2, 5)]
    assert list(dict.fromkeys((r["step"], r["timestep"]) for r in attention(run))) == expected
    assert [expected[i][1] for i in (0, -1)] == [pipe.scheduler.timesteps[i].item() for i in (0, -1)]
    # Each UNet call takes as long by this clock, however many a step has.
    assert run.summary["capture_over_plain"] == 1
    p = run.records[-1]
    assert p["recorded_steps"] == [0, 2, 5] and list(p["unet_calls"]) == list(schedule.calls)
    assert p["recorded_step_seconds"] == pytest.approx([schedule.calls[step] * 1e-3 for step in (0, 2, 5)])


def test_a_run_is_loaded_from_its_directory(run, tmp_path):
    loaded = AttentionRun.load(run.directory)
    assert loaded.summary == run.summary and loaded.records == run.records
    assert loaded.arrays.keys() == run.arrays.keys()
    assert all((loaded.arrays[name] == run.arrays[name]).all() for name in run.arrays)
    with pytest.raises(InputError, match="run.json does not exist"):
        AttentionRun.load(tmp_path)
    copy = shutil.copytree(run.directory, tmp_path / "copy")
    next((copy / ARRAYS).iterdir()).write_bytes(b"not an array")
    with pytest.raises(InputError, match="safetensors cannot be read"):
        AttentionRun.load(copy)


def test_exact_pieces_are_kept_by_name(run, session_pipe):
    finest = select_sites(find_sites(session_pipe), "down_blocks.1")
    queries = {name: a for name, a in run.arrays.items() if name.startswith("query/")}
    assert len(queries) == 2 * 2 * 2 * 2 * len(finest)
    name = f"query/1/1.28/3/conditional/{finest[0].name}/3:4"
    assert queries[name].shape == (finest[0].heads, 16, 8) and queries[name].dtype == np.float32
    assert queries[name].sum((1, 2)) == pytest.approx(np.ones(finest[0].heads), abs=1e-5)
    crop = "crop/0/0.64/0/unconditional/down_blocks.2.attentions.0.transformer_blocks.0.attn1/0-7:8-9"
    assert run.arrays[crop].shape == (4, 8, 2)
    (file,) = (run.directory / ARRAYS).glob("prompt0-0.64s-step0.safetensors")
    from safetensors import safe_open

    with safe_open(file, "numpy") as content:
        assert json.loads(content.metadata()[crop]) == {"rows": [0, 7], "keys": [8, 9], "grid": [4, 4]}


def test_every_site_is_recorded_unless_some_are_named(session_pipe):
    made = capture_attention(session_pipe, "rain", (0.64,), steps=1, statistics="mass")
    assert [r["site"] for r in attention(made, half="conditional")] == [s.name for s in find_sites(session_pipe)]


def test_recording_more_steps_changes_nothing_at_the_others(session_pipe, run):
    alone = {**SHORT, "prompts": "rain", "seconds": (0.64,)}
    every = capture_attention(session_pipe, **alone, capture_steps=range(4), **EXTRAS)
    for step in (0, 3):
        assert attention(every, step=step) == attention(run, step=step, prompt=0, seconds=0.64)
    assert every.summary["capture_over_plain"] is None


def test_without_a_directory_nothing_is_written_and_arrays_are_kept(session_pipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = capture_attention(session_pipe, "rain", (0.64,), steps=1, sites="mid_block", crops=["mid_block:0-1"])
    assert made.directory is None and list(tmp_path.iterdir()) == []
    assert {array.shape for array in made.arrays.values()} == {(4, 2, 2)}
    assert {r["site"].split(".")[0] for r in attention(made)} == {"mid_block"}


def test_statistics_can_be_left_out(session_pipe):
    made = capture_attention(session_pipe, "rain", (0.64,), steps=1, sites="mid_block", statistics=["mass"])
    always = {"kind", "prompt", "seconds", "step", "timestep", "half", "site", "time", "mel_rows"}
    assert all(r.keys() == always | {"mass"} for r in attention(made))
    other = capture_attention(session_pipe, "rain", (0.64,), steps=1, sites="mid_block", statistics=(), labels=parity)
    assert all(r.keys() == always | {"labels"} and r["labels"].keys() == {"labels"} for r in attention(other))
    assert other.summary["sites"][0]["same_frequency_mass"] is None


def test_a_weight_lowers_or_raises_the_error_and_nothing_else(session_pipe):
    arguments = {"seconds": (0.64,), "steps": 1, "sites": "mid_block", "cross_fractions": (0.5,)}
    plain, weighted = (
        attention(capture_attention(session_pipe, "rain", **arguments, cross_weight=w)) for w in (1.0, "unbiased")
    )
    for a, b in zip(plain, weighted, strict=True):
        assert a["output_error"] != b["output_error"]
        assert {**a, "output_error": None} == {**b, "output_error": None}


# Stopped and gone on with.


def test_a_run_resumes_at_the_first_incomplete_item(session_pipe, run, tmp_path):
    def interrupt(done, total, text):
        if text.startswith("0.64 s, prompt 2 of 2: step 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture_attention(session_pipe, **SHORT, **EXTRAS, out=tmp_path, progress=interrupt)
    stopped = (tmp_path / RECORDS).read_text().splitlines()
    sites = len(run.info.parameters["sites"])
    assert len(stopped) == (2 * sites * 2 + 1) + sites * 2
    summary = json.loads((tmp_path / SUMMARY).read_text())
    assert {(row["seconds"], row["prompts"]) for row in summary["sites"]} == {(0.64, 1)}
    assert json.loads((tmp_path / RUN).read_text())["ended"] is None

    seen = []
    finished = capture_attention(
        session_pipe, **SHORT, **EXTRAS, out=tmp_path, progress=lambda *report: seen.append(report)
    )
    assert seen[0][2].startswith("0.64 s, prompt 2 of 2: step 1")
    shares = [done / total for done, total, _ in seen]
    assert 0.1 < shares[0] and shares == sorted(shares) and shares[-1] == pytest.approx(1)
    # The complete half stands as it was written; of the other nothing is left but what was measured anew.
    lines = (tmp_path / RECORDS).read_text().splitlines()
    assert lines[: 2 * sites * 2 + 1] == stopped[: 2 * sites * 2 + 1]
    assert without_times(finished.records) == without_times(run.records)
    assert [json.loads(line) for line in lines] == list(finished.records)
    assert all((finished.arrays[name] == run.arrays[name]).all() for name in run.arrays)

    unchanged = (tmp_path / RECORDS).read_bytes()
    again = capture_attention(
        session_pipe, **SHORT, **EXTRAS, out=tmp_path, progress=lambda *_: pytest.fail("nothing was left to do")
    )
    assert again.summary == finished.summary and (tmp_path / RECORDS).read_bytes() == unchanged


def test_killed_outright_the_directory_is_still_a_run(session_pipe, tmp_path):
    program = """
import os, sys
from focuslab import capture_attention, load
def kill(done, total, text):
    if "prompt 2 of 2: step 2" in text:
        os.kill(os.getpid(), 9)
pipe = load("random:tiny", "cpu", "float32")
capture_attention(pipe, ("rain", "wind"), (0.64,), steps=3, sites="mid_block", out=sys.argv[1], progress=kill)
"""
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == -9
    assert "wind" in (tmp_path / RUN).read_text() and not (tmp_path / SUMMARY).exists()
    finished = capture_attention(session_pipe, ("rain", "wind"), (0.64,), steps=3, sites="mid_block", out=tmp_path)
    assert [r["prompt"] for r in finished.records if r["kind"] == "pass"] == [0, 1]
    assert len(attention(finished, prompt=1)) == len(attention(finished, prompt=0)) > 0


def test_another_run_is_refused_and_replaced_by_force(session_pipe, tmp_path):
    first = {"seconds": (0.64,), "steps": 1, "sites": "mid_block", "crops": ["mid_block:0-1"], "out": tmp_path}
    capture_attention(session_pipe, "rain", **first)
    (name,) = (path.name for path in (tmp_path / ARRAYS).iterdir())
    with pytest.raises(InputError, match=r"another run \(it differs in prompts"):
        capture_attention(session_pipe, "wind", **first)
    replaced = capture_attention(session_pipe, "wind", **{**first, "crops": ()}, force=True)
    assert replaced.info.prompts == ("wind",) and replaced.arrays == {} and name.startswith("prompt0-0.64s-step0")
    assert list((tmp_path / ARRAYS).iterdir()) == []


# Failures in the work.


def test_attention_that_is_not_finite_is_named(pipe, tmp_path):
    site = find_sites(pipe)[5]
    module = pipe.unet.get_submodule(site.name).to_k
    calls = []

    def spoil(_module, _args, out):
        calls.append(1)
        # One warm-up step comes first.
        if len(calls) == 4:
            out[0, 2, 1] = float("inf")

    hook = module.register_forward_hook(spoil)
    try:
        with pytest.raises(FocuslabError, match=f"{site.name} has NaN or infinity in its keys.*step 2, in float32"):
            capture_attention(pipe, "rain", (0.64,), steps=3, capture_steps=(0, 2), sites=site.block, out=tmp_path)
    finally:
        hook.remove()
    kept = AttentionRun.load(tmp_path)
    assert {r["step"] for r in attention(kept)} == {0} and kept.summary["sites"] == []
    assert kept.info.ended is None


def test_running_out_of_memory_keeps_the_records(pipe, tmp_path, monkeypatch):
    from focuslab.hooks import recorder

    own_row = recorder.own_row_attention

    def full(q, k, v, mel_rows, scale):
        if q.shape[2] == 32 * 8 and not q.is_meta:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own_row(q, k, v, mel_rows, scale)

    monkeypatch.setattr(recorder, "own_row_attention", full)
    with pytest.raises(FocuslabError, match=r"recording at 2.56 s ran out of memory on cpu.*\d+ records are kept"):
        capture_attention(pipe, "rain", (0.64, 2.56), steps=1, out=tmp_path, **FEW)
    assert {row["seconds"] for row in AttentionRun.load(tmp_path).summary["sites"]} == {0.64}


def test_a_capture_leaves_the_pipeline_as_it_was(pipe, sound):
    before = sound()
    config = pipe._progress_bar_config
    capture_attention(pipe, "rain", (0.64,), steps=2, **FEW)
    assert pipe._progress_bar_config is config
    assert (sound() == before).all()


# Wrong input.

WRONG = {
    "no prompt": ({"prompts": ()}, "no prompt given"),
    "a blank prompt": ({"prompts": ("rain", " ")}, "text, not ' '"),
    "a prompt that is no text": ({"prompts": (3,)}, "text, not 3"),
    "a prompt twice": ({"prompts": ("rain", "rain")}, "'rain' was given twice"),
    "no length": ({"seconds": ()}, "one or more"),
    "too short": ({"seconds": (0.01,)}, "too short"),
    "steps": ({"steps": 0}, "steps must be"),
    "a step outside": ({"steps": 4, "capture_steps": (0, 4)}, "from 0 to 3, the last, not 4"),
    "a step twice": ({"capture_steps": (1, 1)}, r"different steps from 0 to 1, the last, not \[1, 1\]"),
    "half a step": ({"capture_steps": (0.5,)}, "not 0.5"),
    "no step": ({"capture_steps": ()}, "capture_steps"),
    "site": ({"sites": "up_blocks.2.attentions.0.transformer_blocks.0.attn"}, "did you mean up_blocks.2.att.*attn1"),
    "fraction": ({"cross_fractions": (0.1, 1.5)}, "cross_fraction must be a fraction from 0 to 1, not 1.5"),
    "fraction twice": ({"cross_fractions": (0.1, 0.1)}, "different numbers"),
    "weight": ({"cross_weight": 0}, "cross_weight must be"),
    "statistic": ({"statistics": ("mas",)}, "mass, entropy, rows, lag, recall, output_error, sampling, not 'mas'"),
    "nothing": ({"statistics": ()}, "nothing would be recorded"),
    "seed": ({"seed": 0.5}, "seed must be"),
    "sampled times": ({"sampled_times": 0}, "sampled_times must be"),
    "labels": ({"labels": {"a": 3}}, "labels must be functions by name, but 'a' is 3"),
    "labels of another length": ({"labels": lambda grid: (torch.zeros(3, dtype=torch.long), 1)}, "LongTensor of 64"),
    "labels that are none": ({"labels": lambda grid: torch.zeros(64)}, "LongTensor of 64 and a number"),
    "labels out of range": ({"labels": lambda grid: (torch.arange(grid.tokens), 3)}, "below their number 3"),
    "patterns": ({"patterns": {"p": lambda grid, tokens: torch.zeros(2, 3)}}, "pattern 'p' must be a bool tensor"),
    "query": ({"queries": ("8:0",)}, "at 0.64 s: token 8:0 is outside the grid of 8 time steps x 8 mel rows"),
    "query text": ({"queries": ("8",)}, "a time step and a mel row such as 40:3, not '8'"),
    "crop": ({"crops": ("mid_block:0-4",)}, "at 0.64 s: crop mid_block:0-4 is outside.*tokens 0 to 3"),
    "crop of another site": ({"sites": "mid_block", "crops": ("up_blocks.1:0-4",)}, "no self-attention site matches"),
    "crop text": ({"crops": ("mid_block",)}, "a crop is SITE:first-last"),
    # 1 step x 2 halves x 4 sites x 4 heads x 4 x 4 numbers of 4 bytes
    "bytes": ({"crops": ("mid_block:0-3",), "array_bytes": 2047}, r"0 MB \(2048 bytes\) and array_bytes allows 2047"),
}


FEW = {"sites": ("down_blocks.1.attentions.0.*", "mid_block"), "statistics": "mass"}


@pytest.mark.parametrize("arguments, message", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused_before_anything_is_written(pipe, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        capture_attention(
            pipe, **{"prompts": "rain", "seconds": (0.64,), "steps": 2, **FEW, **arguments}, out=tmp_path / "run"
        )
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_a_query_must_fit_every_length(pipe):
    with pytest.raises(InputError, match="at 0.64 s: token 9:0 is outside the grid of 8 time steps x 8 mel rows"):
        capture_attention(pipe, "rain", (1.28, 0.64), steps=1, queries=[(9, 0)], **FEW)


def test_a_length_without_enough_memory_is_skipped(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr("focuslab.hooks.memory.available_bytes", lambda device: 100_000_000)
    given = {"steps": 1, "out": tmp_path / "run", **FEW}
    for _ in range(2):
        run = capture_attention(pipe, "rain", (0.64, 640), **given)
        (skipped,) = run.summary["skipped"]
        assert run.summary["seconds"] == [0.64] and skipped["seconds"] == 640
        assert skipped["needed_bytes"] > skipped["free_bytes"] == 100_000_000
    assert "640 s" in repr(run)
    with pytest.raises(InputError, match=r"recording at 640 s needs \d+\.\d GB"):
        capture_attention(pipe, "rain", (640,), **{**given, "out": tmp_path / "other"})
    assert not (tmp_path / "other").exists()


def test_a_torch_without_the_kernels_is_named(pipe, monkeypatch, caplog):
    lse_kernel.cache_clear()
    monkeypatch.setattr("focuslab.attention.kernels.KERNELS", {})
    run = capture_attention(pipe, "rain", (0.64,), steps=1, **FEW)
    lse_kernel.cache_clear()
    assert run.info.machine["log_sum_exp"] == run.summary["log_sum_exp"] == "unfused"
    assert "unfused" in caplog.text and "fused kernel" in repr(run)


def test_a_pipeline_without_mel_latents_is_refused():
    class StableAudioPipeline:
        transformer = torch.nn.Linear(1, 1)

    class StableDiffusionPipeline:
        unet = UNet2DConditionModel(
            block_out_channels=(32,),
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            layers_per_block=1,
            cross_attention_dim=8,
        )

    class AudioLDMPipeline(StableDiffusionPipeline):
        vocoder = SimpleNamespace(config=SimpleNamespace(model_in_dim=64))

    for pipeline, message in (
        (StableAudioPipeline(), "StableAudioPipeline, which denoises with Linear.*no frequency axis"),
        (StableDiffusionPipeline(), "StableDiffusionPipeline, .* UNet2DConditionModel: .*no frequency axis"),
        (AudioLDMPipeline(), "AudioLDMPipeline, .*expected a pipeline of AudioLDM2"),
        ("tiny", "this is a str: .*no frequency axis"),
    ):
        with pytest.raises(InputError, match=message):
            capture_attention(pipeline, "rain")


def test_the_method_must_be_taken_off_first(pipe):
    with LiteFocus()(pipe), pytest.raises(InputError, match="remove that one first"):
        capture_attention(pipe, "rain", (0.64,), steps=1)


# Small parts.


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(1, 1000))
def test_default_steps_are_spread_and_few(steps):
    chosen = default_capture_steps(steps)
    assert chosen == sorted(set(chosen)) and chosen[0] == 0 and chosen[-1] < steps
    assert len(chosen) <= 5 and len(chosen) <= (steps + 1) / 2
    if steps > 2:
        assert chosen[-1] == steps - 1
    assert default_capture_steps(200) == [0, 50, 100, 149, 199]


def test_numbers_are_rounded_to_six_digits():
    assert rounded(torch.tensor([[1 / 3, 1e-7 / 3], [123456789.0, 0]], dtype=torch.float64)) == [
        [0.333333, 3.33333e-08],
        [123457000.0, 0.0],
    ]
    assert rounded(2 / 3) == 0.666667


def test_every_statistic_is_asked_for_unless_some_are_named(run):
    assert run.info.parameters["statistics"] == list(STATISTICS) and os.path.isdir(run.directory)


def test_the_error_of_sampled_keys_is_predicted(session_pipe):
    run = capture_attention(
        session_pipe, "rain", (2.56,), steps=2, statistics="sampling", key_counts=("16:8", "64:64"), sites="up_blocks.2"
    )
    (row,) = run.summary["blocks"]
    assert row["time"] == 32 and row["sampled_error"]["64:64"] == row["sampled_predicted"]["64:64"] == 0
    assert row["sampled_error"]["16:8"] == pytest.approx(row["sampled_predicted"]["16:8"], rel=0.15)
    own, other = row["keys_for"]["0.2"]
    assert 1 <= other <= own <= 32 and row["keys_for"]["0.05"][0] >= own
    assert "Keys to sample, by block" in repr(run)


@pytest.mark.parametrize("counts", ["250", "0:3", "a:b", (250,), "1:2:3"])
def test_numbers_of_keys_are_two(counts, session_pipe):
    with pytest.raises(InputError, match="key_counts must be OWN:OTHER, such as 250:32, not"):
        capture_attention(session_pipe, "rain", (0.64,), key_counts=counts)
