"""analyses/10_linear_attention.py: it measures, resumes, and draws."""

import json

import pytest
from click.testing import CliRunner

from tests.test_analyses import analysis


@pytest.fixture(scope="module")
def linear():
    with analysis("10_linear_attention") as module:
        yield module


@pytest.fixture
def small(linear, session_pipe, monkeypatch):
    monkeypatch.setattr(linear.focuslab, "load", lambda *_: session_pipe)
    for name, value in {
        "REPEATS": {"tiny": {1.28: 1}},
        "LENGTHS": (1.28,),
        "PROMPTS": ("rain",),
        "STEPS": 2,
        "AT": (1,),
        "COUNTS": ((4, 2), (8, 4)),
        "SAMPLES": ["sampled:own_keys=4:other_keys=2", "sampled:own_keys=8:other_keys=4"],
        "JUDGED": ("litefocus", "sampled:own_keys=4:other_keys=2", "sampled:own_keys=8:other_keys=4"),
    }.items():
        monkeypatch.setattr(linear, name, value)
    return linear


def test_it_measures_and_a_second_run_only_draws(small, tmp_path):
    arguments = ["--model", "tiny", "--out", str(tmp_path)]
    done = CliRunner().invoke(small.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    records = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert [record["method"] for record in records] == list(small.JUDGED)
    assert all(0 < record["error"] < 1 for record in records)
    table = (tmp_path / "table.md").read_text()
    for method in small.METHODS:
        assert f"| tiny | 1.28 | `{method}` |" in table
    assert f"{100 * records[0]['error']:.2f}" in table
    assert (tmp_path / "error_against_keys.svg").exists()
    before = (tmp_path / "errors.jsonl").read_bytes()
    again = CliRunner().invoke(small.main, [*arguments, "--draw"], catch_exceptions=False)
    assert again.exit_code == 0 and (tmp_path / "table.md").read_text() == table
    CliRunner().invoke(small.main, arguments, catch_exceptions=False)
    assert (tmp_path / "errors.jsonl").read_bytes() == before


def test_the_spread_of_errors_is_over_lengths(linear):
    records = [
        {"seconds": seconds, "prompt": "rain", "step": step, "method": "sampled", "error": error}
        for seconds, step, error in ((20.0, 2, 0.01), (20.0, 5, 0.03), (80.0, 2, 0.05), (80.0, 5, 0.03))
    ]
    assert linear.mean_errors(records) == {"sampled": {20.0: 0.02, 80.0: 0.04}}
    assert "| `sampled` | 2.00 | 4.00 | 2.00 |" in linear.error_table(records)
