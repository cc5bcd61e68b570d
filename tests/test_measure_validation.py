"""focuslab.measure.validation: a plan run beside the paper's choice, all sites and dense."""

import json

import numpy as np
import pytest

from focuslab import generate
from focuslab.errors import InputError
from focuslab.measure.comparison import SOUNDS, distances
from focuslab.measure.validation import TIMED, validate
from focuslab.models.identity import unet_layout
from focuslab.models.sites import find_sites, select_sites
from focuslab.results import ProfileRun, ValidationRun
from focuslab.runs.directory import RECORDS
from tests.plans import everywhere, plan_of

SECONDS, STEPS = 0.64, 2
GIVEN = {"prompts": ["a dog", "the sea"], "seconds": (SECONDS,), "steps": STEPS, "repeats": 1}
PREDICTIONS = {
    SECONDS: {"plan": {"step_seconds": 1e-6, "speedup": 1e5, "error": 9.0, "error_low": 8.0, "error_high": 10.0}}
}


@pytest.fixture(scope="module")
def plan(session_pipe):
    names = [site.name for site in select_sites(find_sites(session_pipe), "up_blocks.2")]
    return plan_of({0: everywhere(names, cross_weight="unbiased")}, unet=unet_layout(session_pipe))


@pytest.fixture(scope="module")
def run(session_pipe, plan, tmp_path_factory):
    out = tmp_path_factory.mktemp("validation") / "run"
    return validate(session_pipe, plan, **GIVEN, predictions=PREDICTIONS, keep_audio=True, out=out)


def test_all_choices_are_timed_and_compared_with_dense(run):
    assert [row["method"] for row in run.rows] == ["dense", "plan", "paper", "all sites"]
    for row in run.rows[1:]:
        assert row["step_seconds_median"] > 0 and row["speedup_vs_dense"] > 0
        assert 0 < row["error"] < 1 and (row["prompts"], row["n"]) == (2, 2 * STEPS)
        assert row["sounds"] + row["silent"] == 2 and row["log_mel_l1"] > 0 and row["rms_ratio"] > 0
    errors = {row["method"]: row["error"] for row in run.rows}
    assert errors["dense"] == 0 and errors["plan"] < errors["paper"] < errors["all sites"]
    timed = ProfileRun.load(run.directory / TIMED)
    assert {record["kind"] for record in timed.records} == {"expected", "memory", "steps"}
    assert not any(row["method"].startswith("bound") or row["modules"] for row in timed.rows)
    assert {"dense", "plan", "paper", "all sites"} <= {row["method"] for row in timed.rows}
    assert run.info.seed == 1 and run.info.prompts == ("a dog", "the sea")


def test_a_missed_prediction_is_said(run):
    assert len(run.summary["missed"]) == 2 and "where 100000.00 was predicted" in run.summary["missed"][0]
    assert "the UNet's error" in run.summary["missed"][1] and "0.64" in repr(run)


def test_sounds_are_those_that_generate_makes(run, session_pipe, plan):
    kept = sorted(path.name for path in (run.directory / SOUNDS).glob("*.wav"))
    choices = ("all-sites", "dense", "paper", "plan")
    assert kept == [f"prompt{p}-0.64s-{choice}.wav" for p in (0, 1) for choice in choices]
    settings = json.loads((run.directory / SOUNDS / "prompt1-0.64s-plan.json").read_text())
    assert (settings["prompt"], settings["seed"], settings["steps"]) == ("the sea", 1, STEPS)
    made = {m: generate(session_pipe, "a dog", SECONDS, method=m, steps=STEPS, seed=1) for m in (None, plan)}
    expected = distances(made[plan], made[None])
    record = next(r for r in run.records if r["kind"] == "sound" and r["prompt"] == 0 and r["method"] == "plan")
    assert {name: record[name] for name in expected} == expected
    assert set(distances(made[None], made[None]).values()) == {0.0, 1.0}


def test_silence_has_no_distance(session_pipe):
    sound = generate(session_pipe, "a dog", SECONDS, steps=1)
    silent = type(sound)(np.zeros_like(sound.samples), sound.sampling_rate, {})
    assert set(distances(silent, sound).values()) == set(distances(sound, silent).values()) == {None}


def test_stopped_between_clips_it_resumes_with_the_next(run, session_pipe, plan, tmp_path):
    def stop(_done, _total, text):
        if "prompt 1 of 2, paper: step 2" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate(session_pipe, plan, **GIVEN, out=tmp_path, progress=stop)
    stopped = (tmp_path / RECORDS).read_bytes()
    assert ValidationRun.load(tmp_path).info.ended is None
    shares = []
    finished = validate(
        session_pipe, plan, **GIVEN, out=tmp_path, progress=lambda done, total, _: shares.append(done / total)
    )
    assert (tmp_path / RECORDS).read_bytes().startswith(stopped) and stopped.count(b'"sound"') == 1
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)

    def numbers(records):
        return [{k: v for k, v in record.items() if k != "at"} for record in records]

    assert numbers(finished.records) == numbers(run.records)
    assert (
        ValidationRun.load(tmp_path).rows == json.loads(json.dumps(finished.rows)) and finished.rows[1]["missed"] == []
    )
    again = validate(
        session_pipe, plan, **GIVEN, out=tmp_path, progress=lambda *_: pytest.fail("nothing was left to do")
    )
    assert again.summary == finished.summary


def test_another_plan_is_another_run_and_wrong_arguments_write_nothing(run, pipe, plan, tmp_path):
    other = plan_of({0: everywhere([next(iter(plan.unet["sites"]))])}, unet=plan.unet)
    with pytest.raises(InputError, match="holds another run"):
        validate(pipe, other, **GIVEN, keep_audio=True, out=run.directory)
    for changes, message in (
        ({"prompts": []}, "no prompt"),
        ({"repeats": 0}, "repeats must be"),
        ({"seconds": (0.001,)}, "too short"),
    ):
        with pytest.raises(InputError, match=message):
            validate(pipe, plan, **{**GIVEN, **changes}, out=tmp_path / "run")
    with pytest.raises(InputError, match="this plan is for another UNet"):
        validate(pipe, plan_of({0: {}}), **GIVEN, out=tmp_path / "run")
    with pytest.raises(InputError, match="give out"):
        validate(pipe, plan, **GIVEN, keep_audio=True)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="this validation has no tome at 0.64 s, only dense at 0.64 s"):
        run.row(SECONDS, "tome")
