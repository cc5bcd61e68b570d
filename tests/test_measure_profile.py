import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from focuslab import ProfileRun, profile
from focuslab.analysis.cost import record_key
from focuslab.errors import FocuslabError, InputError
from focuslab.io.json_text import compact
from focuslab.methods import Bound, Dense, LiteFocus
from focuslab.models.identity import unet_layout
from focuslab.models.sites import find_sites, select_sites
from focuslab.report.html.sources import find
from focuslab.runs.directory import RECORDS, RUN, SUMMARY
from focuslab.runs.modules import UNITS
from focuslab.tables.profile import profile_tables
from focuslab.tables.text import in_terminal
from tests.plans import everywhere, plan_of
from tests.quick import CountingClock
from tests.schedulers import with_scheduler

SHORT = {"seconds": (1.28, 2.56), "methods": ("dense", "litefocus"), "repeats": 2}


@pytest.fixture(scope="module")
def run(session_pipe, tmp_path_factory):
    return profile(session_pipe, **SHORT, steps=2, out=tmp_path_factory.mktemp("profile") / "run")


def test_every_method_and_its_bound_are_measured(run):
    assert [(r["seconds"], r["method"]) for r in run.rows] == [
        (s, m) for s in (1.28, 2.56) for m in ("dense", "litefocus", "bound")
    ]
    for row in run.rows:
        assert len(row["step_seconds"]) == 4 and min(row["step_seconds"]) > 0
        assert row["step_seconds_p10"] <= row["step_seconds_median"] <= row["step_seconds_p90"]
        assert row["flops_per_step"] > 0
    assert run.row(2.56, "litefocus")["sites"] == 12 and run.row(2.56, "dense")["speedup_vs_dense"] == 1
    assert 0.2 < run.row(2.56, "litefocus")["kept_pairs"] < 0.22
    with pytest.raises(InputError, match="no tome at 1.28 s, only dense at 1.28 s"):
        run.row(1.28, "tome")


def test_predicted_and_measured_memory_are_of_the_same(run):
    for row in run.rows:
        assert row["predicted_peak_bytes"] == pytest.approx(row["peak_bytes"], rel=0.2)
        # torch and the model alone are far more than what a step of a second adds.
        assert row["held_bytes"] > 20 * row["peak_bytes"] > 0


@pytest.mark.parametrize("name", ["HeunDiscreteScheduler", "PNDMScheduler", "PNDMScheduler, PLMS", "LCMScheduler"])
def test_a_step_of_any_scheduler_is_timed_whole(name, pipe, monkeypatch):
    with_scheduler(pipe, name, monkeypatch)
    # By this clock a UNet call takes a millisecond, and so does each of the three stages.
    monkeypatch.setattr("focuslab.measure.profiler.clock_for", lambda _device: CountingClock())
    run = profile(pipe, (0.16,), ("dense",), repeats=1, steps=3)
    row, order = run.row(0.16, "dense"), pipe.scheduler.order
    assert row["step_seconds"] == pytest.approx([order * 1e-3] * 3)
    assert [m["calls"] for m in row["modules"] if m["name"] == "unet"] == [order]
    of_one_call = next(r["flops"] for r in run.records if r["kind"] == "expected")
    assert row["flops_per_step"] == order * sum(of_one_call.values())
    if name == "LCMScheduler":
        assert row["generation_seconds_projected"] is None
        return
    pipe.scheduler.set_timesteps(200)
    calls = len(pipe.scheduler.timesteps)
    assert row["generation_seconds_projected"] == pytest.approx((calls + 3) * 1e-3)


def test_dense_steps_of_a_plan_are_projected_by_their_calls(pipe, monkeypatch):
    with_scheduler(pipe, "PNDMScheduler", monkeypatch)
    names = [site.name for site in select_sites(find_sites(pipe), "mid_block")]
    plan = plan_of({0: everywhere(names)}, unet=unet_layout(pipe), dense_steps={"first": 2, "last": 1})
    run = profile(pipe, (0.16,), {"dense": Dense(), "plan": plan}, repeats=1)
    row, dense = run.row(0.16, "plan"), run.row(0.16, "dense")
    stages = sum(stage["stage_seconds_median"] for stage in run.summary["stages"])
    # The two first steps of PNDM make four calls each; 209 calls make 200 steps.
    expected = 9 * dense["step_seconds_median"] + 200 * row["step_seconds_median"] + stages
    assert row["dense_steps"] == 3 and row["generation_seconds_projected"] == pytest.approx(expected)


def test_exclusive_times_add_up_to_the_whole(run):
    for row in run.rows:
        modules = row["modules"]
        assert modules[0]["name"] == "step"
        assert sum(m["exclusive_seconds"] for m in modules) == pytest.approx(modules[0]["inclusive_seconds"], rel=0.01)
        assert sum(row["kind_share"].values()) == pytest.approx(1, abs=0.01)
        assert sum(row["kind_flop_share"].values()) == pytest.approx(1)
        by_name = {m["name"]: m for m in modules}
        assert by_name["unet"]["inclusive_seconds"] <= modules[0]["inclusive_seconds"]
        assert by_name["down_blocks.1"]["inclusive_seconds"] < by_name["unet"]["inclusive_seconds"]
        assert by_name["unet"]["flops"] == row["flops_per_step"] > by_name["down_blocks.1"]["flops"] > 0
        attention = sum(m["flops"] for m in modules if m["kind"] == "self_attention")
        assert attention == pytest.approx(row["kind_flop_share"]["self_attention"] * row["flops_per_step"])


def test_a_module_takes_few_bytes_on_disk(run):
    (units,) = [record for record in run.records if record["kind"] == UNITS]
    timed = [record for record in run.records if record["kind"] == "modules"]
    assert len(timed) == 7 and all(len(compact(r["modules"])) < 20 * len(units["names"]) for r in timed)
    assert b"modules" not in (run.directory / SUMMARY).read_bytes()
    # A default profile has twelve lengths and methods, and the full-size UNet 380 modules.
    assert sum(len(compact(record)) for record in run.records) < 1.5e6 * len(units["names"]) / 380


def test_only_steps_are_timed_without_bounds_and_modules(session_pipe):
    run = profile(session_pipe, (1.28,), ("dense", "litefocus"), repeats=2, only_steps=True)
    assert {record["kind"] for record in run.records} == {"expected", "memory", "steps"}
    assert [row["method"] for row in run.rows] == ["dense", "litefocus"] and run.summary["stages"] == []
    sparse = run.row(1.28, "litefocus")
    assert sparse["speedup_vs_dense"] and sparse["peak_bytes"] and sparse["flops_per_step"]
    assert sparse["bound_seconds"] is None and sparse["kind_share"] is None and sparse["modules"] == []


def test_methods_are_interleaved_and_the_instrument_runs_apart(run):
    order = [(r["kind"], r["method"], r["repeat"]) for r in run.records if r["seconds"] == 2.56 and "method" in r]
    timed = [key for key in order if key[0] == "steps"]
    assert timed == [("steps", m, repeat) for repeat in (0, 1) for m in ("dense", "litefocus", "bound")]
    assert order.index(("modules", "dense", 0)) > order.index(timed[-1])
    shortest = [r["kind"] for r in run.records if r["seconds"] == 1.28 and r.get("method") == "dense"]
    assert shortest == ["expected", "memory", "flops", "steps", "modules", "steps", "modules"]
    assert run.summary["instrumented_over_plain"] > 0


def test_all_stages_are_measured(run):
    assert {(s["seconds"], s["stage"]) for s in run.summary["stages"]} == {
        (seconds, stage) for seconds in (1.28, 2.56) for stage in ("prompt_encoding", "vae_decoder", "vocoder")
    }
    assert all(s["stage_seconds_median"] > 0 and s["note"] is None for s in run.summary["stages"])


def test_the_directory_holds_how_it_was_made(run, session_pipe):
    info = json.loads((run.directory / RUN).read_text())
    assert info["command"] == "profile" and info["model"]["name"] == "random:tiny"
    assert info["versions"]["torch"] == torch.__version__ and info["machine"]["cores"] == os.cpu_count()
    assert info["device"] == "cpu" and info["dtype"] == "float32" and info["ended"] >= info["started"]
    chosen = {s.name for s in select_sites(find_sites(session_pipe), None)}
    assert info["grids"]["2.56"].keys() == chosen and set(map(tuple, info["grids"]["2.56"].values())) == {(32, 8)}
    assert json.loads((run.directory / SUMMARY).read_text()) == run.summary
    assert len((run.directory / RECORDS).read_text().splitlines()) == len(run.records)


def test_a_run_is_loaded_from_its_directory(run, tmp_path):
    loaded = ProfileRun.load(run.directory)
    assert loaded.summary == run.summary and loaded.records == run.records
    assert loaded.info.to_json() == json.loads(json.dumps(run.info.to_json())) | {"prompts": run.info.prompts}
    with pytest.raises(InputError, match="run.json does not exist"):
        ProfileRun.load(tmp_path)
    copy = shutil.copytree(run.directory, tmp_path / "copy")
    (copy / SUMMARY).write_text('{"schema": "focuslab/attention/1"}')
    with pytest.raises(InputError, match="summary.json holds 'focuslab/attention/1', expected 'focuslab/profile/1'"):
        ProfileRun.load(copy)


def test_a_run_is_shown_as_its_table(run):
    assert "litefocus" in repr(run) and "2.56" in repr(run)


def test_an_interrupted_run_is_resumed(session_pipe, tmp_path):
    def interrupt(done, total, text):
        if "litefocus: steps" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profile(session_pipe, **SHORT, out=tmp_path, progress=interrupt)
    stopped = (tmp_path / RECORDS).read_bytes()
    summary = json.loads((tmp_path / SUMMARY).read_text())
    assert [row["method"] for row in summary["rows"]] == ["dense", "litefocus"]
    assert json.loads((tmp_path / RUN).read_text())["ended"] is None

    seen = []
    finished = profile(
        session_pipe, **SHORT, out=tmp_path, progress=lambda done, total, text: seen.append(done / total)
    )
    lines = (tmp_path / RECORDS).read_bytes().splitlines()
    # The round that the stop cut in two, and nothing else, was measured anew, and its first half is gone.
    gone = [json.loads(line) for line in stopped.splitlines() if line not in lines]
    assert {record_key(record) for record in gone} == {("steps", 1.28, m, 0) for m in ("dense", "litefocus")}
    keys = [record_key(r) for r in finished.records]
    assert len(lines) == len(keys) == len(set(keys))
    assert len(finished.rows) == 6 and {len(row["step_seconds"]) for row in finished.rows} == {2}
    by_key = {record_key(r): r for r in finished.records}
    assert finished.row(1.28, "dense")["step_seconds"][0] == by_key["steps", 1.28, "dense", 0]["step_seconds"][0]
    assert seen[0] > 0.1 and seen[-1] == pytest.approx(1) and seen == sorted(seen)

    unchanged = (tmp_path / RECORDS).read_bytes()
    again = profile(session_pipe, **SHORT, out=tmp_path, progress=lambda *_: pytest.fail("nothing was left to do"))
    assert again.summary == finished.summary and (tmp_path / RECORDS).read_bytes() == unchanged


@pytest.mark.slow
def test_killed_outright_the_directory_is_still_a_run(tmp_path):
    program = """
import os, sys
from focuslab import load, profile
def kill(done, total, text):
    if "litefocus: steps" in text:
        os.kill(os.getpid(), 9)
profile(load("random:tiny", "cpu"), (1.28,), repeats=1, out=sys.argv[1], progress=kill)
"""
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == -9
    from focuslab import load

    # Loaded as in the killed process: another thread count would be another run.
    finished = profile(load("random:tiny", "cpu"), (1.28,), repeats=1, out=tmp_path)
    assert len(finished.rows) == 3 and finished.info.ended


def test_without_a_directory_nothing_is_written(session_pipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = {"all keys": LiteFocus(cross_fraction=1), "mine": LiteFocus(sites="mid_block")}
    run = profile(session_pipe, (0.64,), own, repeats=1)
    assert run.directory is None and list(tmp_path.iterdir()) == []
    # Other sites have a bound of their own.
    assert [row["method"] for row in run.rows] == ["all keys", "mine", "bound", "bound:sites=mid_block"]
    assert run.row(0.64, "mine")["bound_seconds"] == run.row(0.64, "bound:sites=mid_block")["step_seconds_median"]


def test_a_bound_that_was_asked_for_is_not_added_again(session_pipe):
    run = profile(session_pipe, (0.64,), {"free": Bound(), "litefocus": LiteFocus()}, repeats=1)
    assert [row["method"] for row in run.rows] == ["free", "litefocus"]
    assert run.row(0.64, "litefocus")["bound_seconds"] == run.row(0.64, "free")["step_seconds_median"]
    assert run.row(0.64, "litefocus")["ideal_seconds"] is None


def test_stand_ins_are_not_measured_and_it_is_said(session_pipe, monkeypatch):
    monkeypatch.setattr("focuslab.measure.profiler.stand_ins", lambda pipe: ("text_encoder", "language_model"))
    run = profile(session_pipe, (0.64,), ("dense",), repeats=1)
    stage = next(s for s in run.summary["stages"] if s["stage"] == "prompt_encoding")
    assert stage["stage_seconds_median"] is None and "stand-ins for text_encoder, language_model" in stage["note"]


def test_a_trace_is_written_for_each_method_and_length(session_pipe, tmp_path):
    run = profile(session_pipe, (0.64,), ("dense", "litefocus"), repeats=1, trace=True, out=tmp_path)
    names = sorted(path.name for path in (tmp_path / "trace").iterdir())
    assert [name.split(".")[0] for name in names] == ["bound_0", "dense_0", "litefocus_0"]
    recorded = [r["file"] for r in run.records if r["kind"] == "trace"]
    assert sorted(recorded) == [f"trace/{name}" for name in names]


WRONG = {
    "no length": ({"seconds": ()}, "one or more"),
    "a length twice": ({"seconds": (1, 1.0)}, "different lengths"),
    "zero": ({"seconds": (0,)}, "0 s is too short for this model: it makes 0.04 s or more"),
    "negative": ({"seconds": (-3,)}, "too short"),
    "too short": ({"seconds": (0.01,)}, "too short"),
    "text": ({"seconds": ("ten",)}, "number of seconds"),
    "infinite": ({"seconds": (float("inf"),)}, "number of seconds"),
    "method": ({"methods": ("dens",)}, "did you mean dense"),
    "sites": ({"methods": ("dense", "litefocus:sites=up_blocks.9")}, "up_blocks.9"),
    "sites of a method that is not sparse": ({"methods": ("naive:sites=nowhere",)}, "nowhere"),
    "steps": ({"steps": 0}, "steps must be"),
    "repeats": ({"repeats": 1.5}, "repeats must be"),
    "trace without a place": ({"trace": True}, "give out"),
}


@pytest.mark.parametrize("arguments, message", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused_before_anything_is_written(pipe, tmp_path, arguments, message):
    place = {} if "trace" in arguments else {"out": tmp_path / "run"}
    with pytest.raises(InputError, match=message) as caught:
        profile(pipe, **{"seconds": (0.64,), **arguments}, **place)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_a_method_without_enough_memory_is_skipped(pipe, tmp_path, monkeypatch):
    def free(size):
        monkeypatch.setattr("focuslab.hooks.memory.available_bytes", lambda device: size)

    free(8_000_000)
    run = profile(pipe, (0.64, 5.12, 80), ("dense", "naive"), repeats=1, out=tmp_path)
    assert {(row["seconds"], row["method"]) for row in run.rows} == {(0.64, "dense"), (0.64, "naive"), (5.12, "dense")}
    skipped = run.summary["skipped"]
    assert [(row["seconds"], row["method"]) for row in skipped] == [(5.12, "naive"), (80, "dense"), (80, "naive")]
    assert all(row["needed_bytes"] > row["free_bytes"] == 8_000_000 for row in skipped)
    assert "naive at 5.12 s: it needs" in in_terminal(profile_tables(run.summary))
    assert find([tmp_path]).of("profile")[0].gaps == []
    free(60_000_000)
    again = profile(pipe, (0.64, 5.12, 80), ("dense", "naive"), repeats=1, out=tmp_path)
    assert again.summary["skipped"][0]["seconds"] == 80 and again.row(5.12, "naive")
    assert again.row(0.64, "dense") == run.row(0.64, "dense")


def test_where_nothing_fits_the_profile_is_refused(pipe):
    with pytest.raises(InputError, match=r"dense at 1e\+09 s needs \d+\.\d GB"):
        profile(pipe, (1e9,), ("dense", "litefocus"))


def test_running_out_of_memory_keeps_the_records(pipe, tmp_path, monkeypatch):
    def full(self, q, k, v, call):
        if q.is_meta:
            return v
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("focuslab.methods.references.Bound.core", full)
    with pytest.raises(FocuslabError, match="bound at 0.64 s ran out of memory on cpu.*7 records are kept"):
        profile(pipe, (0.64,), out=tmp_path / "run", repeats=1)
    assert len((tmp_path / "run" / RECORDS).read_text().splitlines()) == 7


def test_a_profile_leaves_the_pipeline_as_it_was(pipe, sound):
    before = sound()
    config = pipe._progress_bar_config
    profile(pipe, (0.64,), repeats=1)
    assert pipe._progress_bar_config is config
    assert (sound() == before).all()
