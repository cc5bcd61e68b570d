"""Text on the command line and in files that is no text, or not of the kind that its name says: one line, exit 2."""

import json
import os

import pytest

from focuslab.runs import RunInfo
from tests.golden_files import check_case, check_cases

LATIN = os.fsdecode(b"gr\xfcn")
MODEL = ["-m", "random:tiny", "--device", "cpu"]
WRONG = {
    "generate": ["generate", *MODEL, "--prompt", LATIN, "--seconds", "0.64", "--steps", "1"],
    "profile": ["profile", *MODEL, "--prompt", LATIN, "--seconds", "0.64"],
    "profile's method": ["profile", *MODEL, "--methods", f"dense,{LATIN}", "--seconds", "0.64"],
    "capture": ["capture-attn", *MODEL, "--prompt", LATIN, "--seconds", "0.64"],
    "recommend": ["recommend", *MODEL, "--prompt", "rain", "--prompt", LATIN, "--seconds", "0.64"],
    "capture's file": ["capture-attn", *MODEL, "--prompts", "latin.txt"],
    "evaluate's file": ["evaluate", *MODEL, "--prompts", "latin.txt"],
    "evaluate's lines": ["evaluate", *MODEL, "--prompts", "half.jsonl"],
    "evaluate's object": ["evaluate", *MODEL, "--prompts", "object.json"],
    "evaluate's reference": ["evaluate", *MODEL, "--prompts", "array.json", "--reference", LATIN],
    "recommend's file": ["recommend", *MODEL, "--prompts", "object.json"],
    "a file that is not there": ["capture-attn", *MODEL, "--prompts", LATIN],
    "a model": ["profile", "-m", LATIN, "--seconds", "0.64"],
    "a pipe": ["capture-attn", *MODEL, "--prompts", "fifo"],
}


@pytest.fixture(autouse=True)
def files(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"gr\xfcn\n")
    (tmp_path / "half.jsonl").write_text('{"caption": "rain \\ud83d"}\n{"caption": "wind"}\n')
    (tmp_path / "object.json").write_text('{"one": "rain",\n "two": "wind"}\n')
    (tmp_path / "array.json").write_text('[\n {"id": 1, "caption": "rain"},\n {"id": 2, "caption": "wind"}\n]\n')
    (tmp_path / LATIN).mkdir()
    os.mkfifo(tmp_path / "fifo")


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_text_is_one_line_and_exit_two(focuslab, tmp_path, case):
    before = sorted(tmp_path.iterdir())
    code, out, err = focuslab(*WRONG[case], "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith("focuslab: ") and err.count("\n") == 1
    err.encode()
    check_case("errors_text", case, err)
    assert sorted(tmp_path.iterdir()) == before


def test_no_message_is_left_over():
    check_cases("errors_text", WRONG)


def test_prompts_of_a_json_array_are_its_captions(focuslab, tmp_path):
    command = ["capture-attn", *MODEL, "--seconds", "0.64", "--steps", "2", "--statistics", "mass", "--quiet"]
    assert focuslab(*command, "--prompts", "array.json", "--out", "run")[0] == 0
    info = RunInfo.from_json(json.loads((tmp_path / "run" / "run.json").read_text()), "run.json")
    assert info.prompts == ("rain", "wind")
