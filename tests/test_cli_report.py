"""focuslab report"""

import json
import os
from pathlib import Path

import pytest

from focuslab.cli import main
from tests import report_runs


@pytest.fixture
def report(capsys, monkeypatch, tmp_path):
    """report(*arguments) -> (exit code, stdout, stderr), in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["report", *arguments])
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return run


def test_it_prints_the_page_and_says_what_is_not_on_it(report):
    report_runs.write_profile(Path("run"), seconds=(10.0,))
    code, out, err = report("run")
    assert (code, out) == (0, "run/report.html\n")
    assert "not shown: No capture was given" in err and "focuslab capture-attn" in err
    code, out, err = report("run", "run", "--out", "pages/both.html", "--quiet")
    assert (code, out, err) == (0, "pages/both.html\n", "")
    assert {str(p) for p in Path().rglob("*.html")} == {"run/report.html", "pages/both.html"}


def test_runs_that_are_damaged_are_named_and_the_others_shown(report):
    report_runs.write_profile(Path("good"), seconds=(10.0,))
    report_runs.write_profile(Path("bad"), seconds=(10.0,))
    Path("bad/summary.json").write_text("{")
    code, _, err = report("good", "bad", "--out", "page.html")
    assert code == 0 and "not shown: bad/summary.json cannot be read" in err
    assert "bad/summary.json cannot be read" in Path("page.html").read_text()


def test_wrong_input_is_one_line_exit_two_and_writes_nothing(report):
    report_runs.write_profile(Path("run"), seconds=(10.0,))
    content = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({**content, "machine": 3}))
    Path("folder").mkdir()
    Path("file").write_text("no plan")
    before = sorted(Path().rglob("*"))
    for arguments, words in (
        ([], "DIR"),
        (["nowhere"], "nowhere does not exist"),
        (["folder"], "nothing in folder was written by focuslab"),
        (["file"], "cannot be read"),
        (["run"], "machine is 3: expected an object"),
        (["run", "--out", "folder"], "folder is a directory"),
        (["run", "--out", "file"], "file exists already and is no report"),
    ):
        code, out, err = report(*arguments)
        assert (code, out) == (2, "") and err.count("\n") == 1 and words in err, arguments
    assert sorted(Path().rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_one_line(report):
    report_runs.write_profile(Path("run"), seconds=(10.0,))
    Path("closed").mkdir(mode=0o500)
    code, out, err = report("run", "--out", "closed/page.html")
    assert (code, out) == (1, "") and "cannot be written" in err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["2026-11-27T07:02:00", "back\\slash"])
def test_runs_in_folders_of_unusual_names_are_shown(report, name):
    report_runs.write_profile(Path("runs") / name, seconds=(10.0,))
    code, out, err = report("runs")
    assert (code, out) == (0, "runs/report.html\n") and "not read" not in err
    assert name in Path("runs/report.html").read_text()
