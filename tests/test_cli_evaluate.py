"""focuslab evaluate, by itself and as several processes of a launcher"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from focuslab import EvaluationRun, evaluate
from focuslab.io.captions import read_captions
from focuslab.measure.evaluation.config import Share
from tests.evaluation_jobs import numbers
from tests.golden_files import check_case, check_cases

EVALUATE = ["evaluate", "-m", "random:tiny", "--device", "cpu", "--steps", "2", "--seconds", "0.64"]
CAPTIONS = "audiocap_id,youtube_id,start_time,caption\n" + "".join(
    f'{number},id{number},0,"caption {number}, with a comma"\n' for number in range(8)
)


@pytest.fixture(autouse=True)
def captions(tmp_path):
    (tmp_path / "captions.csv").write_text(CAPTIONS)


def test_it_prints_the_table_and_the_directory(focuslab, tmp_path):
    command = [*EVALUATE, "--prompts", "captions.csv", "--limit", "2", "--metrics", "clap,log_mel_l1"]
    code, out, err = focuslab(*command)
    assert code == 0 and "CLAP" in out and "litefocus" in out and "4 of 4 items" in err
    (directory,) = (tmp_path / "runs").iterdir()
    assert out.splitlines()[-1] == str(directory.relative_to(tmp_path))
    run = EvaluationRun.load(directory)
    assert run.info.prompts == ("caption 0, with a comma", "caption 1, with a comma")
    assert list(run.summary["metrics"]) == ["clap", "log_mel_l1"] and repr(run) in out
    assert focuslab(*command, "--quiet") == (0, out, "")
    assert focuslab(*command, "--seeds", "0,1", "--methods", "dense", "--out", "more")[0] == 0
    assert EvaluationRun.load(tmp_path / "more").row(0.64, "dense")["n"] == 4


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(focuslab, tmp_path):
    code, out, _ = focuslab(*EVALUATE, "--prompts", "captions.csv", "--dry-run", "--keep-audio")
    assert code == 0 and "16 items: " in out and "of audio" in out
    assert [path.name for path in tmp_path.iterdir()] == ["captions.csv"]


WRONG = {
    "no captions": [],
    "no such file": ["--prompts", "none.csv"],
    "no column": ["--prompts", "titles.csv"],
    "metric": ["--prompts", "captions.csv", "--metrics", "fda"],
    "method": ["--prompts", "captions.csv", "--methods", "tom"],
    "scheduler": ["--prompts", "captions.csv", "--scheduler", "karras"],
    "few": ["--prompts", "captions.csv", "--limit", "1"],
    "length": ["--prompts", "captions.csv", "--seconds", "0.01"],
    "seeds": ["--prompts", "captions.csv", "--seeds", "0,x"],
    "limit": ["--prompts", "captions.csv", "--limit", "0"],
    "reference": ["--prompts", "captions.csv", "--reference", "."],
    "embedder": ["--prompts", "captions.csv", "--clap", "laion/clap-htsat-unfused", "--offline"],
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_exit_two_and_writes_nothing(focuslab, tmp_path, case):
    (tmp_path / "titles.csv").write_text("id,title\n1,rain\n")
    before = sorted(tmp_path.iterdir())
    code, out, err = focuslab(*EVALUATE, *WRONG[case])
    assert (code, out) == (2, "")
    assert err.startswith("focuslab: ") and err.count("\n") == 1
    check_case("errors_evaluate", case, err)
    assert sorted(tmp_path.iterdir()) == before


def test_no_message_is_left_over():
    check_cases("errors_evaluate", WRONG)


def test_two_processes_one_killed_and_gone_on_with_give_the_table_of_one(tmp_path, session_pipe):
    out = tmp_path / "run"
    command = [*EVALUATE, "--prompts", "captions.csv", "--limit", "4", "--out", str(out), "--quiet"]

    def launch():
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "focuslab"]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        return subprocess.Popen(
            [sys.executable, *launcher, *command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    launched = launch()
    second = out / "records" / "rank-1.jsonl"
    while launched.poll() is None and (not second.exists() or second.read_bytes().count(b"\n") < 1):
        time.sleep(0.005)
    for process in psutil.Process(launched.pid).children(recursive=True):
        if process.environ().get("RANK") == "1":
            process.kill()
    said, _ = launched.communicate(timeout=600)
    assert launched.returncode != 0, said
    kept = {path.name: whole_lines(path) for path in (out / "records").glob("*.jsonl")}
    assert 1 <= len(kept["rank-1.jsonl"]) < 4 and not (out / "summary.json").exists()

    launched = launch()
    said, _ = launched.communicate(timeout=600)
    assert launched.returncode == 0, said
    assert (
        "4 captions, 1 seed(s) each" in said
        and said.count("of 2 has done its share; the last one to end makes the table") == 1
    )
    assert not (out / "records").exists() and not (out / "pending").exists()
    merged = whole_lines(out / "records.jsonl")
    # What was there before the kill is there as it was made.
    assert {line for lines in kept.values() for line in lines} <= set(merged)
    every = [json.loads(line) for line in merged]
    assert len(every) == len({(r["prompt"], r["method"]) for r in every}) == 8

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = evaluate(
            session_pipe,
            read_captions(tmp_path / "captions.csv")[:4],
            (0.64,),
            steps=2,
            share=Share(),
            out=tmp_path / "one",
        )
    finally:
        torch.set_num_threads(threads)
    assert numbers(EvaluationRun.load(out).summary) == numbers(alone.summary)


def whole_lines(path):
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1].splitlines()
