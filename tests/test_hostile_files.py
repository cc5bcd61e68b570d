"""Runs, plans, models and captions changed at random: shown, or refused in one line; see `mutations`."""

import json
import shutil
from random import Random

import pytest

from focuslab.errors import MOST_CHARACTERS, InputError
from focuslab.io.captions import read_captions
from focuslab.methods import Plan
from focuslab.models.specs import load
from focuslab.results import AttentionRun, EvaluationRun, ProfileRun, ValidationRun
from tests.mutations import changed, damaged
from tests.report_runs import write_all

KINDS = {
    "profile": ProfileRun,
    "capture": AttentionRun,
    "plan/plan/proof": ValidationRun,
    "evaluation": EvaluationRun,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("runs"))


def spoil(file, random):
    if file.suffix == ".json" and random.random() < 0.8:
        file.write_text(json.dumps(changed(json.loads(file.read_text()), random)))
    else:
        file.write_bytes(damaged(file.read_bytes(), random))


def one_line(error) -> bool:
    return str(error).isprintable() and 0 < len(str(error)) <= MOST_CHARACTERS


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_run_is_refused_or_shown(runs, tmp_path, kind):
    refused = 0
    for seed in range(40):
        random = Random(f"{kind}{seed}")
        directory = shutil.copytree(runs / kind, tmp_path / str(seed))
        if not (directory / "records.jsonl").exists():
            (directory / "records.jsonl").write_text('{"kind": "note"}\n')
        spoil(directory / random.choice(["summary.json", "summary.json", "run.json", "records.jsonl"]), random)
        try:
            run = KINDS[kind].load(directory)
        except InputError as error:
            refused += 1
            assert one_line(error)
            continue
        assert repr(run) and run._repr_html_() and run.to_pandas() is not None and run.info.made_on
    assert 10 < refused < 40


def test_a_damaged_plan_is_refused_or_written_again(runs, tmp_path):
    file, refused = tmp_path / "plan.json", 0
    for seed in range(150):
        shutil.copy(runs / "plan" / "plan.json", file)
        spoil(file, Random(seed))
        try:
            plan = Plan.load(file)
        except InputError as error:
            refused += 1
            assert one_line(error)
            continue
        assert repr(plan) and plan._repr_html_() and plan.fingerprint
    assert 20 < refused < 150


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.json", "x.txt"])
def test_a_damaged_file_of_captions_is_refused_or_read(tmp_path, name):
    lines = ["caption,id"] + [f"rain {i},{i}" for i in range(5)]
    if name.endswith("l"):
        lines = [json.dumps({"caption": line}) for line in lines]
    whole = "\n".join(lines).replace(",", "\t" if name == "x.tsv" else ",").encode()
    for seed in range(60):
        (tmp_path / name).write_bytes(damaged(whole, Random(seed)))
        try:
            captions = read_captions(tmp_path / name)
        except InputError as error:
            assert one_line(error)
        else:
            assert all(caption.text.strip() for caption in captions)


def test_a_damaged_model_is_refused_or_loaded(session_pipe, tmp_path):
    session_pipe.save_pretrained(tmp_path / "whole")
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.json"))
    for seed in range(8):
        random = Random(seed)
        directory = shutil.copytree(tmp_path / "whole", tmp_path / str(seed))
        spoil(directory / random.choice(files), random)
        try:
            load(directory, "cpu")
        except InputError as error:
            assert one_line(error)
