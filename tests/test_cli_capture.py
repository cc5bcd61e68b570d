"""focuslab capture-attn"""

import json
import signal
import subprocess
from functools import partial

import numpy as np
import pytest

from focuslab import AttentionRun
from focuslab.errors import InputError
from focuslab.io.captions import read_prompts
from tests.commands import start
from tests.golden_files import check_case, check_cases

FEW = ["--sites", "down_blocks.1.attentions.0.*,mid_block", "--steps", "3"]
CAPTURE = ["capture-attn", "-m", "random:tiny", "--device", "cpu", *FEW]


def test_it_prints_verdicts_and_the_directory_and_draws_the_figures(focuslab, tmp_path):
    (tmp_path / "prompts.txt").write_text("\n  a dog barks \n\nwind\r\n")
    code, out, err = focuslab(
        *CAPTURE,
        *("--prompt", "rain", "--prompts", "prompts.txt", "--seconds", "0.64,1.28", "--cross-fractions", "0,0.25"),
        *("--query", "3:5", "--crop", "mid_block:0-3", "--crop", "mid_block:0-1:2-3", "--out", "here"),
    )
    assert code == 0 and out.endswith("here\n") and "down_blocks.1" in out and "mid_block" in out
    assert "100%" in err and "prompt 3 of 3" in err
    run = AttentionRun.load(tmp_path / "here")
    assert run.info.prompts == ("rain", "a dog barks", "wind") and run.info.parameters["capture_steps"] == [0, 2]
    assert {row["name"] for row in run.summary["blocks"]} == {"down_blocks.1", "mid_block"}
    assert run.summary["blocks"][0]["recall"].keys() == {"0", "0.25"}
    kinds = {name.split("/")[0] for name in run.arrays}
    assert kinds == {"query", "crop"} and all(np.isfinite(array).all() for array in run.arrays.values())
    made = {path.name for path in (tmp_path / "here" / "figures").iterdir()}
    assert {"figure2.svg", "lift.svg", "rows.svg", "lag.svg", "fractions.svg", "lengths.svg"} <= made
    assert "torch" in (tmp_path / "here" / "figures" / "figure2.svg").read_text()


def test_options_reach_the_records(focuslab, tmp_path):
    code, _, err = focuslab(
        *CAPTURE,
        *("--capture-steps", "1", "--statistics", "mass,recall", "--cross-fractions", "0.5", "--seed", "7"),
        *("--cross-weight", "unbiased", "--seconds", "0.64", "--out", "here", "--quiet"),
    )
    assert code == 0 and err == ""
    run = AttentionRun.load(tmp_path / "here")
    assert run.info.seed == 7 and run.info.parameters["cross_weight"] == "unbiased"
    line = run.records[0]
    assert line["step"] == 1 and line.keys() >= {"mass", "recall"} and line.keys().isdisjoint({"rows", "entropy"})
    assert run.info.prompts == ("gentle rain on a tin roof, distant thunder",)


def test_the_same_command_finds_its_directory_and_another_has_its_own(focuslab, tmp_path):
    cheap = [*CAPTURE, "--statistics", "mass", "--seconds", "0.64", "--quiet"]
    first, again = focuslab(*cheap), focuslab(*cheap)
    assert first == again and first[0] == 0
    focuslab(*cheap, "--capture-steps", "0")
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert all(path.name.startswith("capture-attn-random-tiny-") for path in (tmp_path / "runs").iterdir())
    code, out, err = focuslab(*cheap, "--seed", "1", "--out", str(next((tmp_path / "runs").iterdir())))
    assert code == 2 and "another run" in err and out == ""


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_the_same_command_finishes(tmp_path):
    command = [*CAPTURE, "--statistics", "mass", "--seconds", "0.64,5.12,10.24", "--prompt", "rain", "--prompt", "wind"]
    running = partial(start, *command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    process = running(stderr=subprocess.PIPE)
    for line in process.stderr:
        if "0.64 s, prompt 2 of 2" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130 and out == ""
    assert err.strip().splitlines()[-1].startswith("focuslab: stopped; the same command resumes")
    (run,) = (tmp_path / "runs").iterdir()
    assert '"pass"' in (kept := (run / "records.jsonl").read_text())
    assert AttentionRun.load(run).info.ended is None
    finished = running(stderr=subprocess.DEVNULL)
    assert str(run.relative_to(tmp_path)) in finished.communicate(timeout=600)[0] and finished.returncode == 0
    passes = [r for r in AttentionRun.load(run).records if r["kind"] == "pass"]
    assert [(p["seconds"], p["prompt"]) for p in passes] == [(s, p) for s in (0.64, 5.12, 10.24) for p in (0, 1)]
    assert json.loads(kept.splitlines()[0]) == AttentionRun.load(run).records[0]


WRONG = {
    "query outside": ["--query", "8:0"],
    "query text": ["--query", "8"],
    "crop over the budget": ["--crop", "mid_block:0-3", "--array-bytes", "99"],
    "crop text": ["--crop", "mid_block"],
    "site": ["--sites", "mid_blok"],
    "statistic": ["--statistics", "mass,entropi"],
    "fraction": ["--cross-fractions", "0,2"],
    "fraction text": ["--cross-fractions", "x"],
    "fraction NaN": ["--cross-fractions", "nan"],
    "fraction twice": ["--cross-fractions", "0.1,0.10"],
    "weight": ["--cross-weight", "none"],
    "step": ["--capture-steps", "0,3"],
    "half a step": ["--capture-steps", "0.5"],
    "negative step": ["--capture-steps", "-1"],
    "length": ["--seconds", "0.01"],
    "lengths": ["--seconds", "1,x"],
    "prompt twice": ["--prompt", "rain", "--prompt", "rain"],
    "blank prompt": ["--prompt", " "],
    "no such file": ["--prompts", "none.txt"],
    "directory": ["--prompts", "."],
    "model": ["-m", "random:tini"],
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_exit_two_and_writes_nothing(focuslab, tmp_path, case):
    code, out, err = focuslab(*CAPTURE, "--seconds", "0.64", *WRONG[case])
    assert (code, out) == (2, "")
    assert err.startswith("focuslab: ") and err.count("\n") == 1
    check_case("errors_capture_attn", case, err)
    assert list(tmp_path.iterdir()) == []


def test_no_message_is_left_over():
    check_cases("errors_capture_attn", WRONG)


def test_prompts_are_the_lines_that_say_something(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufefframen, slurped\r\n\r\n  Frösche am Teich\t\n\n".encode())
    assert read_prompts(file) == ["ramen, slurped", "Frösche am Teich"]
    for content, message in (
        (b"", "holds no caption"),
        (b" \n\t\n", "holds no caption"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
    ):
        file.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_prompts(file)


def test_a_directory_of_another_kind_of_pipeline_says_what_it_is(focuslab, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_index.json").write_text('{"_class_name": "StableAudioPipeline"}')
    code, _, err = focuslab("capture-attn", "-m", "model", "--prompt", "rain")
    assert code == 2 and "'StableAudioPipeline'" in err and "one-dimensional" in err and err.count("\n") == 1
