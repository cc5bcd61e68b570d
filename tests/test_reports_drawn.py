"""Tables and figures of reports/ are drawn again from what is committed there, and nothing is measured."""

import shutil

import pytest
from click.testing import CliRunner

from tests.test_analyses import analysis
from tests.test_reports import REPORTS

DRAWN = {
    "01_cost_against_length": (("table.md",), ("save",)),
    "02_attention_patterns": (("table.md", "README.md"), ("save", "write_attention_figures")),
    "03_block_selection": (("README.md", "plan/table.md"), ("save", "write_frontier", "write_site_map")),
}


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_committed_is_drawn_again(name, tmp_path, monkeypatch):
    tables, figures = DRAWN[name]
    out = shutil.copytree(REPORTS / name, tmp_path / name)
    for table in tables:
        (out / table).unlink()
    drawn = []
    with analysis(name) as script:
        monkeypatch.setattr(script.focuslab, "load", lambda *_: pytest.fail("no model is needed"), raising=False)
        # The figures are the same whatever measured them: their own tests draw them.
        for figure in figures:
            monkeypatch.setattr(script, figure, lambda *given, **_options: drawn.append(given))
        done = CliRunner().invoke(script.main, ["--draw", "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0 and len(drawn) >= len(figures)
    for table in tables:
        assert (out / table).read_bytes() == (REPORTS / name / table).read_bytes()
