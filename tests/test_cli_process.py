"""What the environment says about the process of a command."""

import io
import json
import os
import subprocess
import sys
import warnings

import pytest

from focuslab.cli import main
from focuslab.cli.progress import Reporter, prepare_process
from tests import report_runs
from tests.commands import start


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_names_beyond_the_encoding_of_the_output_are_printed(focuslab, monkeypatch, tmp_path, encoding):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding=encoding))
    code, _, _ = focuslab(
        *("generate", "-m", "random:tiny", "--prompt", "雨", "--seconds", "0.64", "--steps", "1", "--out", "雨.wav")
    )
    assert code == 0 and printed.getvalue().endswith(b".wav\n")
    assert json.loads((tmp_path / "雨.json").read_text("utf-8"))["prompt"] == "雨"


def test_a_backend_that_is_not_installed_changes_nothing(tmp_path):
    report_runs.write_profile(tmp_path / "run", seconds=(10.0,))
    environment = {**os.environ, "MPLBACKEND": "module://nobody_has_this.backend"}
    process = start("report", "run", cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, b"run/report.html\n"), err
    assert b"data:image/svg+xml" in (tmp_path / "run/report.html").read_bytes()


def test_the_backend_of_a_running_notebook_stays(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://somebody")
    monkeypatch.setitem(sys.modules, "matplotlib", object())
    prepare_process()
    assert os.environ["MPLBACKEND"] == "module://somebody"


def test_warnings_as_errors_do_not_end_a_command():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        prepare_process()
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["old"]


def test_a_reader_that_has_gone_away_ends_without_a_traceback(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    process = start("--help", cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, b"")


def test_closed_streams_do_not_stop_the_progress(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with Reporter(quiet=False) as report:
        report(1, 2, "half")
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
