"""analyses/03_block_selection.py: what it promises, and that it runs from nothing to its tables."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from focuslab.results import ValidationRun
from focuslab.runs.method_spec import PAPER
from focuslab.search.experiments import OWN_ROW
from tests.choice_records import make_info
from tests.quick import CountingClock
from tests.test_analyses import analysis


@pytest.fixture(scope="module")
def selection():
    with analysis("03_block_selection") as module:
        yield module


def validation(plan_speed, plan_error, time_off=0.05):
    rows = []
    for seconds in (10.0, 20.0, 80.0):
        place = {"seconds": seconds, "missed": []}
        rows += [
            {**place, "method": "plan", "speedup_vs_dense": plan_speed, "error": plan_error, "time_off": time_off},
            {**place, "method": "paper", "speedup_vs_dense": 2.0, "error": 0.02, "time_off": None},
        ]
    return SimpleNamespace(validation=ValidationRun(make_info("proof"), {"rows": rows, "missed": []}))


def test_promises_are_of_what_each_plan_is_for(selection):
    made = {
        "plan": validation(3.0, 0.05, time_off=-0.2),
        "as-fast-as-paper": validation(2.02, 0.01),
        "as-close-as-paper": validation(2.1, 0.021),
    }
    bars = selection.targets_markdown(made, {10.0: 100, 20.0: 200, 80.0: 650}, 1.5)
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in bars.splitlines()[2:]}
    assert lines["20 s, as fast: UNet error over the paper's choice"].endswith("at most 0.6 | 0.500 | met |")
    assert lines["80 s, as fast: measured speed over it"].endswith("at least 1 | 1.010 | met |")
    assert lines["80 s, as close: measured speed over the paper's choice"].endswith("at least 1.08 | 1.050 | missed |")
    assert lines["80 s, as close: UNet error over it"].endswith("at most 1 | 1.050 | missed |")
    assert lines["10 s, plan: measured time against predicted, relative difference"].endswith("0.1 | 0.200 | missed |")
    assert lines["sensitivity pass at 80 s, seconds"].endswith("at most 600 | 650.000 | missed |")
    assert lines["the choice itself from records, seconds"].endswith("| met |")
    assert not [what for what in lines if what.startswith("10 s, as fast: UNet")]


def test_it_was_all_made_when_the_last_validation_ended(selection):
    ends = {"plan": "2026-01-01T10:00:00+00:00", "as-fast-as-paper": "2026-01-01T10:30:00+00:00"}
    made = {
        name: SimpleNamespace(validation=SimpleNamespace(info=make_info("proof", ended=end)))
        for name, end in ends.items()
    }
    made["as-close-as-paper"] = SimpleNamespace(validation=None)
    assert selection.last_validated(made) is made["as-fast-as-paper"]


@pytest.mark.slow
def test_the_script_makes_three_plans_from_the_same_records(selection, session_pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(selection.focuslab, "load", lambda *a: session_pipe)
    monkeypatch.setattr("focuslab.search.experiments.default_methods", lambda share: (PAPER, OWN_ROW))
    monkeypatch.setattr("focuslab.workflows.config.default_methods", lambda share: (PAPER, OWN_ROW))
    monkeypatch.setattr("focuslab.measure.profiler.clock_for", lambda device: CountingClock())
    monkeypatch.setattr("focuslab.workflows.records.REPEATS", 1)
    monkeypatch.setattr("focuslab.workflows.records.MODULE_REPEATS", 1)
    arguments = [
        "--model",
        "random:tiny",
        "--seconds",
        "0.64",
        "--prompts",
        "1",
        "--steps",
        "1",
        "--out",
        str(tmp_path),
    ]
    done = CliRunner().invoke(selection.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0 and "sensitivity pass at 0.64 s, seconds" in done.stdout
    made = {path.name for path in tmp_path.iterdir()}
    names = ("plan", "as-fast-as-paper", "as-close-as-paper")
    assert made == {"records", "README.md", "targets.md", *names, *(f"{name}.json" for name in names)}
    for name in names:
        assert {"frontier.svg", "site_map.svg", "table.md"} <= {path.name for path in (tmp_path / name).iterdir()}
    readme = (tmp_path / "README.md").read_text()
    assert "as-fast-as-paper.json" in readme
    assert "03_block_selection.py --model random:tiny --prompts 1 --seconds 0.64 --steps 1, begun" in readme
