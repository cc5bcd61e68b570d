"""focuslab.measure.sensitivity: a pass over groups and candidates, and a run that is resumed at any error."""

import json

import pytest

from focuslab.errors import FocuslabError, InputError
from focuslab.hooks.output_error import OutputError
from focuslab.measure.sensitivity import measure_sensitivity
from focuslab.measure.sensitivity_pass import method_at
from focuslab.models.identity import unet_layout
from focuslab.results import SensitivityRun
from focuslab.runs.directory import RECORDS
from focuslab.runs.method_spec import PAPER, MethodSpec
from focuslab.search.experiments import OWN_ROW, Group, joint_ablations, litefocus
from tests.schedulers import with_scheduler

SECONDS, STEPS = 0.64, 2
GIVEN = {"seconds": (SECONDS,), "steps": STEPS}
GROUPS = (("down_blocks.1", 12), ("up_blocks.2", 8), ("mid_block", 4))


@pytest.fixture(scope="module", autouse=True)
def few_experiments():
    """Two methods at three blocks, at one step: what is tried by default is in test_search_experiments."""
    patch = pytest.MonkeyPatch()
    methods = (PAPER, litefocus(0.1))

    def groups_of(blocks, _share, _methods):
        names = dict.fromkeys(name for name, _ in GROUPS)
        return [Group(name, tuple(site for site, b in blocks.items() if b == name), methods) for name in names]

    patch.setattr("focuslab.measure.sensitivity.groups_of", groups_of)
    patch.setattr(
        "focuslab.measure.sensitivity.recorded_steps", lambda steps, prompts, seconds: [[steps - 1]] * prompts
    )
    yield
    patch.undo()


@pytest.fixture(scope="module")
def run(session_pipe, tmp_path_factory):
    return measure_sensitivity(session_pipe, ["rain", "wind"], **GIVEN, out=tmp_path_factory.mktemp("pass") / "run")


def of_kind(run, kind):
    return [record for record in run.records if record["kind"] == kind]


def test_every_candidate_has_an_error_at_each_prompt_and_step(run, session_pipe):
    errors = [record for record in run.records_with_sites if record["kind"] == "sensitivity"]
    assert all("sites" not in record for record in of_kind(run, "sensitivity"))
    places = {(r["prompt"], r["step"], r["group"], r["method"]) for r in errors}
    assert len(places) == len(errors) == 2 * 1 * 3 * 2
    assert all(0 < r["error"] < 1 and r["seconds"] == SECONDS and r["timestep"] > 0 for r in errors)
    assert {r["group"]: len(r["sites"]) for r in errors} == {"down_blocks.1": 4, "up_blocks.2": 8, "mid_block": 4}
    # The paper's choice at the groups alone and together.
    joint = of_kind(run, "joint")
    assert {"down_blocks.1": "litefocus", "up_blocks.2": "litefocus", "mid_block": "litefocus"} in [
        r["choice"] for r in joint
    ]
    alone = [r["error"] for r in errors if r["method"] == "litefocus" and r["prompt"] == 0]
    together = next(r for r in joint if r["prompt"] == 0 and set(r["choice"].values()) == {"litefocus"})
    assert max(alone) * 0.5 < together["error"] < sum(alone)
    assert run.info.parameters["unet"] == unet_layout(session_pipe)
    assert run.info.ended and run.info.grids[f"{SECONDS:g}"]["mid_block.attentions.0.transformer_blocks.0.attn1"] == [
        2,
        2,
    ]


def test_it_is_loaded_from_its_directory(run):
    loaded = SensitivityRun.load(run.directory)
    assert loaded.summary == json.loads(json.dumps(run.summary)) and loaded.records == run.records
    rows = {(row["group"], row["method"]): row for row in run.summary["rows"]}
    own = [r["error"] for r in of_kind(run, "sensitivity") if r["group"] == "mid_block" and r["method"] == "litefocus"]
    assert rows["mid_block", "litefocus"]["error"] == pytest.approx(sum(own) / 2)
    assert rows["mid_block", "litefocus"]["prompts"] == 2 and rows["mid_block", "litefocus"]["error_low"] is not None
    (cost,) = run.summary["cost"]
    assert cost["errors"] == len(run.records) - 2 and cost["errors_seconds"] > 0 < cost["trajectory_seconds"]


def test_errors_are_at_the_timesteps_of_their_steps(pipe, monkeypatch):
    with_scheduler(pipe, "HeunDiscreteScheduler", monkeypatch)
    monkeypatch.setattr("focuslab.search.experiments.joint_ablations", lambda groups, more: [])
    monkeypatch.setattr("focuslab.measure.sensitivity.recorded_steps", lambda steps, prompts, seconds: [[0, 1, 3]])
    run = measure_sensitivity(pipe, "rain", (0.64,), steps=4)
    timesteps = pipe.scheduler.timesteps.tolist()
    found = sorted({(r["step"], r["timestep"]) for r in of_kind(run, "sensitivity")})
    assert found == [(0, timesteps[0]), (1, timesteps[2]), (3, timesteps[-1])]


@pytest.mark.parametrize("after", [1, 5])
def test_stopped_at_any_error_it_resumes_with_the_next(run, session_pipe, tmp_path, monkeypatch, after):
    measured, error = [], OutputError.error

    def stopping(self, methods):
        if len(measured) == after:
            raise KeyboardInterrupt
        measured.append(methods)
        return error(self, methods)

    monkeypatch.setattr(OutputError, "error", stopping)
    with pytest.raises(KeyboardInterrupt):
        measure_sensitivity(session_pipe, ["rain", "wind"], **GIVEN, out=tmp_path)
    stopped = (tmp_path / RECORDS).read_bytes()
    assert stopped.count(b"\n") == after + 1
    assert SensitivityRun.load(tmp_path).info.ended is None
    monkeypatch.setattr(OutputError, "error", error)
    monkeypatch.setattr("focuslab.measure.sensitivity_pass.latents_at", no_more_than_one(monkeypatch))
    shares = []
    finished = measure_sensitivity(
        session_pipe,
        ["rain", "wind"],
        **GIVEN,
        out=tmp_path,
        progress=lambda done, total, _: shares.append(done / total),
    )
    assert (tmp_path / RECORDS).read_bytes().startswith(stopped)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    strip = [{k: v for k, v in r.items() if k != "seconds_elapsed"} for r in finished.records]
    assert strip == [{k: v for k, v in r.items() if k != "seconds_elapsed"} for r in run.records]


def no_more_than_one(monkeypatch):
    """Latents of the first prompt are on disk: only the second one's may be made."""
    from focuslab.hooks.denoise import latents_at

    calls = []

    def once(*arguments):
        calls.append(1)
        assert len(calls) == 1
        return latents_at(*arguments)

    return once


def test_more_joint_ablations_are_measured_later(run, session_pipe):
    before = (run.directory / RECORDS).read_bytes()
    more = {SECONDS: [{"mid_block": "litefocus", "up_blocks.2": "litefocus"}]}
    extended = measure_sensitivity(session_pipe, ["rain", "wind"], **GIVEN, joint=more, out=run.directory)
    assert (run.directory / RECORDS).read_bytes().startswith(before)
    assert len(extended.records) == len(run.records) + 2
    again = measure_sensitivity(
        session_pipe, ["rain", "wind"], **GIVEN, out=run.directory, progress=lambda *_: pytest.fail("nothing was left")
    )
    assert again.records == run.records


def test_running_out_of_memory_says_where_and_keeps_the_records(session_pipe, monkeypatch):
    import torch

    def full(self, methods):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(OutputError, "error", full)
    with pytest.raises(FocuslabError, match="pass at 0.64 s ran out of memory on cpu.*1 records are kept"):
        measure_sensitivity(session_pipe, "rain", **GIVEN)


def test_choices_drawn_for_groups_stay_within_their_candidates(session_pipe):
    groups = [Group("a", ("a.0",), (PAPER,)), Group("b", ("b.0",), (OWN_ROW, PAPER))]
    assert all(set(choice) <= {"a", "b"} for choice in joint_ablations(groups))
    assert method_at(MethodSpec.parse("tome:ratio=0.25"), ("a.0",)).sites == ("a.0",)


WRONG = {
    "no prompt": ({"prompts": []}, "no prompt given"),
    "twice": ({"prompts": ["rain", "rain"]}, "given twice"),
    "steps": ({"steps": 0}, "steps must be"),
    "seed": ({"seed": 0.5}, "seed must be"),
    "length": ({"seconds": (0.001,)}, "too short"),
    "an option of an older version": ({"per_site": True}, "there is no option 'per_site', only prompts, seconds"),
}


@pytest.mark.parametrize("arguments, message", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused_before_anything_is_written(pipe, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        measure_sensitivity(pipe, **{"prompts": "rain", **GIVEN, **arguments}, out=tmp_path / "run")
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_a_length_that_does_not_fit_is_refused(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr("focuslab.hooks.memory.available_bytes", lambda device: 1000)
    with pytest.raises(InputError, match="the sensitivity pass at 0.64 s needs"):
        measure_sensitivity(pipe, "rain", **GIVEN, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_length_that_does_not_fit_is_skipped(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr("focuslab.hooks.memory.available_bytes", lambda device: 100_000_000)
    for _ in range(2):
        run = measure_sensitivity(pipe, "rain", **{**GIVEN, "seconds": (0.64, 640)}, out=tmp_path)
    (skipped,) = run.summary["skipped"]
    assert skipped["seconds"] == 640 and skipped["needed_bytes"] > 100_000_000
    assert {row["seconds"] for row in run.summary["rows"]} == {0.64}
    assert sum(record["kind"] == "skipped" for record in run.records) == 1
