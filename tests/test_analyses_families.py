"""analyses/13_families.py: it measures every family, resumes, draws, and calls a projection one."""

import pytest
from click.testing import CliRunner

from tests.test_analyses import analysis


@pytest.fixture(scope="module")
def families():
    with analysis("13_families") as module:
        yield module


@pytest.fixture
def small(families, family_pipes, monkeypatch):
    monkeypatch.setattr(families.focuslab, "load", lambda model, *_: family_pipes(model.removeprefix("random:")))
    monkeypatch.setattr(families, "REPEATS", {0.64: 1})
    monkeypatch.setattr(families, "LONGEST", {})
    monkeypatch.setattr(families, "FROM", (0.64,))
    return families


def test_it_measures_and_a_second_run_only_draws(small, tmp_path):
    arguments = ["--model", "random:tango", "--model", "random:audioldm", "--out", str(tmp_path)]
    done = CliRunner().invoke(small.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    table, targets = ((tmp_path / name).read_text() for name in ("table.md", "targets.md"))
    for model in ("random:tango", "random:audioldm"):
        for method in (*small.METHODS, "bound", small.BOUND_OF_ALL):
            assert f"| {model} | 0.64 | `{method}` |" in table
        assert f"{model} at 0.64 s, share of LiteFocus of its ideal" in targets
        assert (tmp_path / f"figure1-{model.removeprefix('random:')}.svg").exists()
    assert (tmp_path / "families.svg").exists() and "random:musicldm" not in table
    again = CliRunner().invoke(small.main, ["--draw", "--out", str(tmp_path)], catch_exceptions=False)
    assert again.exit_code == 0 and (tmp_path / "table.md").read_text() == table


def run_of(families, seconds):
    def row(method, step, **more):
        return {"method": method, "step_seconds_median": step, "speedup_vs_dense": 1.0, **more}

    rows = [row("dense", 1 + seconds**2), row("sampled", 2 * seconds), row("litefocus", 3.0, share_of_ideal=0.97)]
    return type("Run", (), {"rows": rows})()


def test_a_length_that_was_not_measured_is_projected_and_called_so(families):
    runs = {"random:tango": {s: run_of(families, s) for s in (10.0, 20.0, 40.0)}}
    lines = families.targets_table(runs).splitlines()
    assert any("at 40 s, `sampled` at every site over dense | at least 4 | 1.000 | missed" in line for line in lines)
    (line,) = [line for line in lines if "80 s" in line]
    assert "projected from 10, 20, 40 s" in line and f"{6401 / 160:.3f} | met" in line
    assert sum("of its ideal | at least 0.95 | 0.970 | met" in line for line in lines) == 3
