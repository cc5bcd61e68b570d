"""analyses/09_gpu.py on the CPU: what it does with time, failures and earlier results; slow: all of its parts."""

import json
import time

import pytest
from click.testing import CliRunner

from focuslab.models import specs
from tests.test_analyses import analysis


@pytest.fixture(scope="module")
def gpu():
    with analysis("09_gpu") as module:
        yield module


@pytest.fixture
def run(gpu, session_pipe, monkeypatch, tmp_path):
    """run(parts, *options) -> (what it printed, records, page); `parts` replaces what every part measures."""
    monkeypatch.setattr(specs, "load", lambda *_: session_pipe)
    out = tmp_path / "gpu"

    def invoke(parts, *options):
        monkeypatch.setattr(gpu, "PARTS", {**dict.fromkeys(gpu.PARTS, lambda *_: {"done": True}), **parts})
        monkeypatch.setattr(gpu, "readme", lambda info, records, not_reached: "\n".join(not_reached))
        result = CliRunner().invoke(gpu.main, ["--model", "random:tiny", "--out", str(out), *options])
        assert result.exit_code == 0, result.output
        records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
        return result.output, records, (out / "README.md").read_text().splitlines()

    return invoke


def wait(*_):
    time.sleep(600)


def test_it_stops_in_the_middle_of_a_part_when_time_is_over(run):
    output, records, not_reached = run({"trace": wait}, "--minutes", "0.1", "--seconds", "2,1")
    assert [record["kind"] for record in records] == ["tests", "profile"]
    assert not_reached[:2] == ["trace at 2 s", "capture at 2 s"] and "compiled naive at 1 s" in not_reached
    assert "trace at 2 s" in output.splitlines()[-2]


def test_a_failed_part_is_recorded_and_measured_again(run):
    def fail(_work, part):
        raise RuntimeError(f"no {part.kind}")

    options = ("--seconds", "1")
    output, records, not_reached = run({"capture": fail}, *options)
    assert not not_reached and "no capture" in output
    assert [r["kind"] for r in records if "error" in r] == ["capture"]
    measured = []
    _, records, _ = run({"capture": lambda _, part: measured.append(part) or {}}, *options)
    assert [part.kind for part in measured] == ["capture"]
    assert not any("error" in record for record in records)


def test_the_first_length_comes_before_all_others(gpu):
    parts = list(gpu.order([80.0, 10.0]))
    assert len(parts) == len(set(parts))
    first_of_other = next(i for i, part in enumerate(parts) if part.seconds == 10.0)
    assert {part.kind for part in parts[:first_of_other]} == set(gpu.PARTS)
    assert parts[0].kind == "tests"


@pytest.mark.slow
def test_every_part_on_the_cpu_is_measured_or_named(gpu, tmp_path):
    out = tmp_path / "gpu"
    options = ["--model", "random:tiny", "--device", "cpu", "--minutes", "3", "--seconds", "2", "--out", str(out)]
    result = CliRunner().invoke(gpu.main, options)
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert not [record["error"] for record in records if "error" in record]
    reached = {gpu.part_of(record).title for record in records}
    page = (out / "README.md").read_text().strip().splitlines()[-1]
    named = page.removeprefix("Time was over before: ").removesuffix(".").split(", ")
    assert {part.title for part in gpu.order([2.0])} - reached <= set(named)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) <= 8 and sum(path.stat().st_size for path in files) <= 16e6
