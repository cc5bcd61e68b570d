"""focuslab.workflows.demo and `focuslab demo`: the whole tour at the smallest sizes, its reuse, and a stop anywhere."""

import html
import json
import shutil
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import pytest

import focuslab.measure.profile
from focuslab.cli import progress
from focuslab.errors import InputError
from focuslab.methods import Plan
from focuslab.results import AttentionRun, ProfileRun, ValidationRun
from focuslab.runs.method_spec import MethodSpec
from focuslab.workflows.demo import Demonstration

LABELS = ("litefocus", "same-frequency")
SIZE = {"seconds": (0.64,), "steps": 2, "listening_steps": 1}
DEMO = ["demo", "-m", "random:tiny", "--device", "cpu", "--seconds", "0.64", "--steps", "2"]
DEMO += ["--listening-steps", "1", "--out", "here"]
NAMES = ["capture", "profile", "recommend", "validate", "generate", "report"]


@pytest.fixture(scope="module", autouse=True)
def small():
    patch = pytest.MonkeyPatch()
    patch.setattr("focuslab.workflows.demo.METHODS", LABELS[1:])
    patch.setattr("focuslab.search.experiments.default_methods", lambda share: tuple(map(MethodSpec.parse, LABELS)))
    patch.setattr("focuslab.workflows.demo.REPEATS", 1)
    patch.setattr("focuslab.workflows.demo.MODULE_REPEATS", 1)
    patch.setattr("focuslab.workflows.demo.profile", timed(0.5))
    # Most of what is left to do where everything is there already, and always the same.
    for name, key in (
        ("measure.capture", lambda *given: tuple(given[3])),
        ("measure.sensitivity", lambda *given: tuple(given[2])),
    ):
        patch.setattr(f"focuslab.{name}._expect", remembered(import_module(f"focuslab.{name}")._expect, key))
    patch.setattr(
        "focuslab.measure.profile.expect", remembered(focuslab.measure.profile.expect, lambda *given: repr(given[2]))
    )
    yield
    patch.undo()


def timed(share: float):
    """`profile` by whose summary every sparse method takes this share of dense: at such lengths what is faster is
    chance."""

    def profile(*arguments, **options):
        run = focuslab.measure.profile.profile(*arguments, **options)
        rows = deepcopy(run.rows)
        dense = {row["seconds"]: row for row in rows if row["method"] == "dense"}
        for row in rows:
            if row["method"] != "dense" and not row["method"].startswith("bound"):
                times = {m["name"]: m["inclusive_seconds"] for m in dense[row["seconds"]]["modules"]}
                for module in row["modules"]:
                    if ".attn" in module["name"]:
                        module["inclusive_seconds"] = times[module["name"]] * share
                row["step_seconds_median"] = dense[row["seconds"]]["step_seconds_median"] * (0.5 + share / 2)
        return replace(run, summary={**run.summary, "rows": rows})

    return profile


def remembered(function, key):
    """The function, called once for each key of its arguments."""
    known = {}

    def call(*given):
        if key(*given) not in known:
            known[key(*given)] = function(*given)
        return known[key(*given)]

    return call


def run(demo, on_progress=lambda *_: None) -> dict[str, str]:
    return {stage.name: stage.run(on_progress) for stage in demo.stages}


@pytest.fixture(scope="module")
def made(session_pipe, tmp_path_factory):
    """The directory of a whole demonstration, what its stages found, and what they said on the way."""
    out, said = tmp_path_factory.mktemp("made") / "here", []
    found = run(Demonstration(session_pipe, out, **SIZE), lambda done, total, text: said.append((done / total, text)))
    return out, found, said


def records(out) -> dict:
    """Whatever was measured or made, but not the page."""
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {path.relative_to(out): content for path, content in kept.items() if path.suffix != ".html"}


def test_each_stage_leaves_what_the_command_of_its_name_leaves(made):
    out, found, said = made
    assert list(found) == NAMES and all(found.values())
    assert "lag" not in AttentionRun.load(out / "attention").records[0]
    maps = AttentionRun.load(out / "maps")
    assert len(maps.arrays) == 4 and len(maps.info.parameters["sites"]) == 1
    assert ProfileRun.load(out / "profile").row(0.64, "litefocus")["speedup_vs_dense"]
    plan = Plan.load(out / "plan.json")
    assert plan.entries[-1].sites and plan.evidence["measured"]["rows"]
    assert ValidationRun.load(out / "plan" / "proof").info.prompts == ("ocean waves",)
    assert sorted(path.name for path in (out / "records").iterdir()) == ["sensitivity"]
    assert not list((out / "records").rglob("*.safetensors"))
    dense, sparse = (json.loads((out / "sounds" / f"{name}.json").read_text()) for name in ("dense", "plan"))
    assert dense["plan"] is None and sparse["plan"]["sites"]
    assert {**dense, "plan": 0} != {**sparse, "plan": 0}
    assert all(dense[key] == sparse[key] for key in ("prompt", "seconds", "seed", "steps"))
    shares = [share for share, _ in said]
    assert all(0 <= share <= 1 for share in shares) and shares.count(1.0) >= len(NAMES) - 1


def test_each_finding_says_a_number_from_its_run(made):
    out, found, _ = made
    assert all("\n" not in text for text in found.values())
    dense = ProfileRun.load(out / "profile").row(0.64, "dense")
    assert f"{100 * dense['kind_share']['self_attention']:.0f} % of it in self-attention" in found["profile"]
    (row,) = [
        r for r in ValidationRun.load(out / "plan" / "proof").rows if (r["seconds"], r["method"]) == (0.64, "plan")
    ]
    assert f"{row['speedup_vs_dense']:.2f} times dense" in found["validate"]
    page = html.unescape((out / "report.html").read_text())
    assert page.count("<audio") == 2 and found["capture"] in page


def test_the_same_demo_measures_nothing_anew(made, session_pipe, monkeypatch):
    out, found, _ = made
    before = records(out)
    monkeypatch.setattr("focuslab.workflows.demo.generate", lambda *_, **__: pytest.fail("a sound is there already"))
    demo = Demonstration(session_pipe, out, **SIZE)
    again = {stage.name: stage.run(lambda *_: pytest.fail("nothing is to do")) for stage in demo.stages[:-1]}
    assert again == {name: found[name] for name in NAMES[:-1]}
    assert {path: content for path, content in records(out).items() if before[path] != content} == {}


def test_the_command_says_what_each_stage_does_and_found(made, focuslab, tmp_path, monkeypatch):
    monkeypatch.setattr("focuslab.workflows.demo.write_report", page_of_nothing)  # that of `made` is a whole one
    shutil.copytree(made[0], tmp_path / "here")
    code, out, err = focuslab(*DEMO)
    lines = out.splitlines()
    assert code == 0 and lines[-1] == "here/report.html" and len(lines) == 13
    assert [line.split(":")[0] for line in lines[:-1:2]] == [f"{i}/6 {name}" for i, name in enumerate(NAMES, 1)]
    assert lines[1].strip() == made[1]["capture"] and "100%" in err
    quiet = focuslab(*DEMO, "--quiet")
    assert quiet[0] == 0 and quiet[2] == ""


CUT = {
    "capture": "attention/records.jsonl",
    "profile": "profile/records.jsonl",
    "recommend": "records/sensitivity/records.jsonl",
    "validate": "plan/proof/records.jsonl",
    "generate": "sounds/plan.wav",
    "report": "report.html",
}


def page_of_nothing(_paths, out):
    out.write_text("page")
    return out, SimpleNamespace(said="a page", sections=[SimpleNamespace(gaps=["something"])])


@pytest.mark.parametrize("name", CUT)
def test_after_ctrl_c_in_any_stage_the_command_resumes(made, focuslab, tmp_path, monkeypatch, name):
    shutil.copytree(made[0], tmp_path / "here")
    cut = tmp_path / "here" / CUT[name]
    content = cut.read_bytes()
    # As a kill leaves it: some of the records, and no sound or page that was being made.
    cut.write_bytes(b"".join(content.splitlines(True)[:-3])) if cut.suffix == ".jsonl" else cut.unlink()
    if name == "generate":
        cut.with_suffix(".json").unlink()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("focuslab.workflows.demo.write_report", page_of_nothing)
    with monkeypatch.context() as patch:
        patch.setattr(progress.Reporter, "__call__", stop)
        code, out, err = focuslab(*DEMO)
    assert code == 130 and err == "focuslab: stopped; the same command resumes from what is in here\n"
    assert out.splitlines()[-1].startswith(f"{NAMES.index(name) + 1}/6 {name}: ")
    code, out, _ = focuslab(*DEMO)
    assert code == 0 and out.endswith("    a page; not on it: something\nhere/report.html\n") and cut.exists()


def test_a_dense_plan_has_nothing_to_validate(made, session_pipe, tmp_path, monkeypatch):
    out = shutil.copytree(made[0], tmp_path / "here", ignore=shutil.ignore_patterns("plan*", "report.html"))
    monkeypatch.setattr("focuslab.workflows.demo.profile", timed(2.0))
    monkeypatch.setattr("focuslab.workflows.demo.write_report", page_of_nothing)
    found = run(Demonstration(session_pipe, out, **SIZE))
    assert found["validate"] == "the plan is dense at all lengths: there is nothing to validate"
    assert not (out / "plan" / "proof").exists() and (out / "report.html").is_file()


def test_another_demo_or_anything_else_in_the_directory_is_refused(made, focuslab, tmp_path):
    shutil.copytree(made[0], tmp_path / "here")
    code, out, err = focuslab(*DEMO, "--seed", "5")
    assert code == 2 and "here/attention holds another run (it differs in seed:" in err and err.count("\n") == 1
    (tmp_path / "here" / "thesis.txt").write_text("mine")
    code, out, err = focuslab(*DEMO)
    assert (code, out) == (2, "") and "holds thesis.txt, which is of no demo" in err
    (tmp_path / "file").write_text("mine")
    code, out, err = focuslab(*DEMO, "--out", "file")
    assert (code, out) == (2, "") and "file is a file: expected a directory" in err


WRONG = {
    "length": ({"seconds": (0.01,)}, "too short"),
    "steps": ({"steps": 0}, "steps must be"),
    "listening": ({"listening_steps": 0.5}, "listening_steps must be"),
    "seed": ({"seed": 0.5}, "seed must be"),
}


@pytest.mark.parametrize("arguments, message", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused_before_anything_is_written(pipe, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        Demonstration(pipe, tmp_path / "here", **{**SIZE, **arguments})
    assert not (tmp_path / "here").exists()
