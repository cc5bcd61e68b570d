"""analyses/08_other_patterns.py: its patterns are what they say, and they go through a capture."""

import pytest
import torch
from click.testing import CliRunner

from focuslab.attention.grid import Grid
from tests.test_analyses import analysis


@pytest.fixture(scope="module")
def patterns():
    with analysis("08_other_patterns") as module:
        yield module


def test_each_pattern_is_what_it_says(patterns):
    grid = Grid(16, 4)
    tokens = torch.tensor([grid.token(0, 0), grid.token(8, 2)])

    def members(pattern):
        return [{divmod(n, grid.mel_rows) for n in row.nonzero().flatten().tolist()} for row in pattern(grid, tokens)]

    times, rows = range(16), range(4)
    own = [{(t, 0) for t in times}, {(t, 2) for t in times}]
    assert members(patterns.own_row) == own
    assert members(patterns.neighbouring_rows) == [
        {(t, f) for t in times for f in (0, 1)},
        {(t, f) for t in times for f in (1, 2, 3)},
    ]
    assert members(patterns.same_time) == [{(0, f) for f in rows}, {(8, f) for f in rows}]
    assert members(patterns.window(1 / 8)) == [
        {(t, f) for t in (0, 1) for f in rows},
        {(t, f) for t in (7, 8, 9) for f in rows},
    ]
    assert members(patterns.own_row_and_window) == [
        own[i] | near for i, near in enumerate(members(patterns.window(1 / 16)))
    ]


def test_the_script_measures_them(patterns, session_pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(patterns.focuslab, "load", lambda model: session_pipe)
    arguments = ["--model", "random:tiny", "--seconds", "0.64", "--steps", "1", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(patterns.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| down_blocks.1 ")]
    assert [row[1] for row in rows] == list(patterns.PATTERNS)
    shares = {row[1]: float(row[3].removesuffix(" %")) for row in rows}
    # At 0.64 s level 1 has 8 time steps of 8 mel rows.
    assert shares["own row"] == shares["same time"] == 12.5
    assert shares["own and neighbouring rows"] == pytest.approx(100 * 22 / 64, abs=0.1)
    assert "| down_blocks.1 | own row |" in (tmp_path / "run" / "table.md").read_text()
