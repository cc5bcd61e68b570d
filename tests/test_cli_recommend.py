"""focuslab recommend: from nothing to a validated plan, and from records to a plan at once."""

import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from focuslab import Plan, evaluate
from focuslab.errors import InputError
from focuslab.hooks.output_error import OutputError
from focuslab.measure.evaluation.config import Share
from focuslab.results import AttentionRun, ProfileRun, SensitivityRun, ValidationRun
from focuslab.runs.method_spec import MethodSpec
from focuslab.tables.choice import choice_tables
from focuslab.tables.text import in_markdown
from focuslab.workflows.config import RecommendConfig
from focuslab.workflows.recommend import TIMED_CHOICES, TIMED_REPEATS, recommend
from focuslab.workflows.records import measured_lengths
from tests.golden_files import check_case, check_cases
from tests.quick import CountingClock, twice_as_fast

LABELS = ("litefocus", "same-frequency", "litefocus:cross_fraction=0.1:cross_weight=unbiased")
PROMPTS = ["--prompt", "rain", "--prompt", "a dog"]
COMMAND = ["recommend", "-m", "random:tiny", "--device", "cpu", "--seconds", "0.64", "--steps", "2", *PROMPTS]


@pytest.fixture(scope="module", autouse=True)
def few_candidates():
    patch = pytest.MonkeyPatch()
    for module in ("search.experiments", "workflows.config"):
        patch.setattr(f"focuslab.{module}.default_methods", lambda share: tuple(map(MethodSpec.parse, LABELS)))
    patch.setattr("focuslab.search.experiments.RANDOM", 1)
    patch.setattr("focuslab.workflows.records.REPEATS", 1)
    patch.setattr("focuslab.workflows.records.MODULE_REPEATS", 1)
    patch.setattr("focuslab.measure.profiler.clock_for", lambda device: CountingClock())
    yield
    patch.undo()


@pytest.fixture(scope="module")
def made(session_pipe, tmp_path_factory):
    """Everything but a proof; by the clock here no method is faster than another."""
    out = tmp_path_factory.mktemp("made") / "plan.json"
    lengths = {"seconds": (0.64,), "steps": 2, "prompts": ["rain"], "validation_prompts": ["a dog"]}
    return recommend(session_pipe, **lengths, validate=False, out=out)


@pytest.fixture(scope="module")
def fast(made, tmp_path_factory):
    """--profile, --attention and --sensitivity of records by which LiteFocus is twice as fast at every site."""
    records = made.path.parent / "records"
    profile = shutil.copytree(records / "profile", tmp_path_factory.mktemp("fast") / "profile")
    twice_as_fast(profile)
    given = {"--profile": profile, "--attention": records / "capture", "--sensitivity": records / "sensitivity"}
    return [str(part) for pair in given.items() for part in pair]


def test_what_is_missing_is_made_and_kept_beside_the_plan(made):
    records = made.path.parent / "records"
    assert sorted(path.name for path in records.iterdir()) == ["capture", "profile", "sensitivity"]
    assert AttentionRun.load(records / "capture").summary["seconds"] == [0.64]
    methods = {row["method"] for row in ProfileRun.load(records / "profile").rows}
    assert methods == {"dense", "litefocus", "bound", "bound:sites=*", *(f"{label}:sites=*" for label in LABELS)}
    measured = SensitivityRun.load(records / "sensitivity")
    assert {r["method"] for r in measured.records if r["kind"] == "sensitivity"} == set(LABELS)
    assert Plan.load(made.path) == made.plan and made.validation is None and made.notes == ()
    assert not any(entry.sites for entry in made.plan.entries)
    assert made.plan.evidence["made_from"]["capture"]["prompts"] == ["rain"]
    points = made.selection.summary["lengths"][0]["points"]
    assert set(points) == {"plan", "paper", "all sites", "dense"}
    assert set(points["paper"]["methods"]) == {"down_blocks.1", "up_blocks.2"}


def test_the_same_call_measures_nothing_anew(made, session_pipe):
    before = made.path.read_bytes()
    again = recommend(
        session_pipe,
        seconds=(0.64,),
        steps=2,
        prompts=["rain"],
        validation_prompts=["a dog"],
        validate=False,
        out=made.path,
        progress=lambda *_: pytest.fail("nothing was left to do"),
    )
    assert again.path.read_bytes() == before


def test_a_length_that_does_not_fit_is_named():
    def run(*skipped):
        records = [
            {"kind": "skipped", "seconds": s, "method": m, "needed_bytes": 9e9, "free_bytes": 1e9} for s, m in skipped
        ]
        return SimpleNamespace(records=records)

    left, notes = measured_lengths([10.0, 20.0, 40.0], run((20.0, "tome"), (40.0, "dense")), run())
    assert left == [10.0, 20.0] and len(notes) == 1 and "40 s" in notes[0] and "9.00 GB" in notes[0]
    assert measured_lengths([10.0, 20.0], run(), run((20.0, None)))[0] == [10.0]
    with pytest.raises(InputError, match="10 s"):
        measured_lengths([10.0], run((10.0, "dense")), run())


@pytest.mark.parametrize("min_speedup, rounds", [("paper", 1), (1.2, TIMED_CHOICES)])
def test_a_choice_of_a_speed_is_timed_as_a_whole(fast, session_pipe, tmp_path, min_speedup, rounds):
    # By these records LiteFocus is twice as fast; by the clock here, by which choices are timed, nothing is.
    kinds = {"--profile": ProfileRun, "--attention": AttentionRun, "--sensitivity": SensitivityRun}
    given = {kind[2:]: load.load(fast[fast.index(kind) + 1]) for kind, load in kinds.items()}
    given |= {"seconds": (0.64,), "steps": 2, "prompts": ["rain"], "validation_prompts": ["a dog"], "validate": False}
    given |= {"min_speedup": min_speedup, "out": tmp_path / "fast.json"}
    one = recommend(session_pipe, **given)
    timings = sorted((tmp_path / "fast" / "timings").iterdir())
    assert [path.name for path in timings] == [f"{count + 1}" for count in range(rounds)]
    for path in timings:
        rows = {row["method"]: row for row in ProfileRun.load(path).rows}
        assert {"dense", "paper", "plan"} <= set(rows) and len(rows["plan"]["step_seconds"]) == TIMED_REPEATS
    points = one.selection.summary["lengths"][0]["points"]
    assert points["plan"]["methods"] and f"timing {rounds}" in one.plan.evidence["made_from"]
    # What falls short is never published as if it had been timed to be fast.
    assert not points["plan"]["timed"] or points["plan"]["speedup"] == pytest.approx(1, abs=0.1)
    said = "were measured of the whole choice" in in_markdown(choice_tables(one.selection.summary))
    assert said == points["plan"]["timed"] and (said or min_speedup != "paper")
    before = one.path.read_bytes()
    again = recommend(session_pipe, **given, progress=lambda *_: pytest.fail("nothing was left to do"))
    assert again.path.read_bytes() == before


def test_from_records_alone_it_takes_no_torch(fast, tmp_path):
    program = (
        "import sys\nfrom focuslab.cli import main\n"
        f"try: main({[*COMMAND, *fast, '--no-proof', '--out', 'best.json']!r})\n"
        "except SystemExit as exit: sys.exit(exit.code or ('torch' in sys.modules) * 99)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("best.json\n") and "up_blocks.2" in done.stdout and "Validation" not in done.stdout
    figures = {path.name for path in (tmp_path / "best" / "figures").iterdir()}
    assert figures == {"frontier.svg", "site_map.svg"}
    plan = Plan.load(tmp_path / "best.json")
    assert plan.entries[-1].sites and plan.entries[0].min_seconds == 0


def test_a_plan_is_validated_on_other_prompts(focuslab, fast, tmp_path, monkeypatch):
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)
    code, out, err = focuslab(*COMMAND, *fast, "--out", "plan.json", "--quiet")
    # By the clock here LiteFocus is no faster than dense.
    assert (
        code == 1
        and "Validation, on prompts and seeds that the choice has not seen" in out
        and out.endswith("plan.json\n")
    )
    (line,) = err.splitlines()
    assert "\x1b[31m" in line and "is written, but its validation missed what was predicted: at 0.64 s" in line
    proof = ValidationRun.load(tmp_path / "plan" / "proof")
    assert proof.info.prompts == ("a dog",) and proof.info.seed == 1
    plan = Plan.load(tmp_path / "plan.json")
    assert plan.evidence["measured"]["missed"] == proof.summary["missed"] != []
    summary = json.loads((tmp_path / "plan" / "summary.json").read_text())
    for written, row in zip(summary["proof"]["rows"], proof.rows, strict=True):
        assert all(written[key] == row[key] for key in ("seconds", "method", "error", "speedup_vs_dense"))
    assert summary["choice"]["lengths"]
    assert "measured" in (tmp_path / "plan" / "figures" / "frontier.svg").read_text()


def test_after_ctrl_c_in_the_pass_the_same_command_resumes(focuslab, made, tmp_path, monkeypatch):
    shutil.copytree(made.path.parent / "records", tmp_path / "records")
    (tmp_path / "records" / "sensitivity" / "records.jsonl").unlink()
    calls, error = [], OutputError.error

    def stopping(self, methods):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return error(self, methods)

    monkeypatch.setattr(OutputError, "error", stopping)
    command = [*COMMAND, "--no-proof", "--out", "plan.json"]
    code, out, err = focuslab(*command)
    assert (code, out) == (130, "") and err.splitlines()[-1].startswith("focuslab: stopped; the same command resumes")
    assert not (tmp_path / "plan.json").exists()
    code, out, err = focuslab(*command)
    assert code == 0 and out.endswith("plan.json\n") and "sensitivity pass: 0.64 s, prompt 1 of 1" in err
    assert Plan.load(tmp_path / "plan.json").fingerprint == made.plan.fingerprint


def test_another_budget_is_another_plan_beside_the_same_records(focuslab, fast, tmp_path):
    for budget in (["--min-speedup", "paper"], ["--max-error", "0.5"]):
        code, _, err = focuslab(*COMMAND, *fast, "--no-proof", *budget)
        assert (code, err) == (0, "")
    (directory,) = (tmp_path / "runs").iterdir()
    plans = {path.name: Plan.load(path) for path in directory.glob("*.json")}
    assert set(plans) == {"plan-min-speedup-paper.json", "plan-max-error-0.5.json"}
    assert plans["plan-max-error-0.5.json"].evidence["asked_for"] == {"max_error": 0.5, "min_speedup": None}


def test_records_may_be_named_by_their_directories(made, session_pipe, tmp_path):
    config = RecommendConfig(seconds=(0.64,), profile=made.path.parent / "records" / "profile")
    assert isinstance(config.profile, ProfileRun) and config.profile.info.command == "profile"
    with pytest.raises(InputError, match="profile must be a ProfileRun or its directory, not 3"):
        RecommendConfig(seconds=(0.64,), profile=3)
    with pytest.raises(InputError, match="expected a pipeline of AudioLDM2"):
        recommend("random:tiny", (0.64,), out=tmp_path / "plan.json")


def test_a_plan_changed_by_hand_is_not_replaced(focuslab, fast, tmp_path):
    command = [*COMMAND, *fast, "--no-validation", "--out", "plan.json", "--quiet"]
    assert [focuslab(*command)[0] for _ in range(2)] == [0, 0]
    path = tmp_path / "plan.json"
    edited = path.read_text().replace('"random:tiny"', '"mine"', 1)
    path.write_text(edited)
    code, _, err = focuslab(*command)
    assert code == 2 and "plan.json was changed by hand" in err and path.read_text() == edited
    assert focuslab(*command, "--force")[0] == 0 and path.read_text() != edited


def test_an_evaluation_goes_into_the_plan(focuslab, fast, session_pipe, tmp_path):
    sounds = {"seconds": (0.64,), "steps": 2, "metrics": ("clap",), "share": Share()}
    evaluate(session_pipe, ["rain", "a dog", "wind"], **sounds, out=tmp_path / "sounds")
    attention = fast.index("--attention")
    given = [*fast[:attention], *fast[attention + 2 :], "--no-proof", "--evaluation", "sounds"]
    code, out, err = focuslab(*COMMAND, *given, "--out", "heard.json")
    assert code == 0 and "What the evaluation found best" in out and out.endswith("heard.json\n")
    assert err == "focuslab: there is no capture: lift, recall and local error are not known\n"
    assert not (tmp_path / "records").exists()
    summary = json.loads((tmp_path / "heard" / "summary.json").read_text())
    assert summary["objective"] == {"0.64": "fidelity"} and summary["quality"]["0.64"]["metric"] == "clap"
    assert Plan.load(tmp_path / "heard.json").evidence["quality"] == summary["quality"]
    code, out, err = focuslab(*COMMAND, *given, "--objective", "quality", "--out", "best.json")
    assert (code, out) == (2, "") and "longer than the training length of 10.24 s" in err and err.count("\n") == 1
    assert not (tmp_path / "best.json").exists()


WRONG = {
    "both budgets": ["--max-error", "0.1", "--min-speedup", "1.1"],
    "budget": ["--max-error", "none"],
    "negative budget": ["--min-speedup", "-1"],
    "nothing is so fast": ["--min-speedup", "99", "--no-proof"],
    "nothing is so close": ["--max-error", "1e-9", "--no-proof"],
    "length that the pass lacks": ["--seconds", "2", "--no-proof"],
    "length": ["--seconds", "0.01"],
    "one prompt": ["--prompts", "one.txt"],
    "prompt twice": ["--prompt", "rain", "--prompt", "rain"],
    "name": ["--out", "plan.txt"],
    "in the way": ["--out", "mine.json"],
    "no such records": ["--profile", "nowhere"],
    "other records": ["--profile", "capture"],
    "objective": ["--objective", "quality"],
    "model": ["-m", "random:tini"],
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_exit_two_and_writes_nothing(focuslab, fast, made, tmp_path, case):
    (tmp_path / "one.txt").write_text("wind\n")
    (tmp_path / "mine.json").write_text("{}")
    (tmp_path / "capture").symlink_to(made.path.parent / "records" / "capture")
    before = sorted(tmp_path.rglob("*"))
    alone = [part for part in COMMAND if part not in PROMPTS] if "--prompts" in WRONG[case] else COMMAND
    code, out, err = focuslab(*alone, *fast, *WRONG[case])
    assert (code, out) == (2, "")
    assert err.startswith("focuslab: ") and err.count("\n") == 1
    if case.startswith("nothing"):  # what is nearest is measured
        err = re.sub(r"\d+\.\d+", "N", err)
    check_case("errors_recommend", case, err)
    assert sorted(tmp_path.rglob("*")) == before


def test_no_message_is_left_over():
    check_cases("errors_recommend", WRONG)


def test_records_of_another_model_are_refused(focuslab, fast, made, tmp_path):
    other = shutil.copytree(made.path.parent / "records" / "capture", tmp_path / "other")
    info = json.loads((other / "run.json").read_text())
    info["model"] |= {"name": "another", "unet_fingerprint": "0"}
    (other / "run.json").write_text(json.dumps(info))
    given = [part if not part.endswith("capture") else str(other) for part in fast]
    for more in (["--no-proof"], []):
        code, out, err = focuslab(*COMMAND, *given, *more)
        assert (code, out) == (2, "") and "different models" in err and err.count("\n") == 1
