import errno
import json
import os
import re
import signal
import subprocess
import time

import click
import pytest

from focuslab.cli import COMMANDS, main
from focuslab.runs import directory as store
from tests.commands import start
from tests.golden_files import check_case, check_cases, check_text

PROFILE = ["profile", "-m", "random:tiny", "--device", "cpu", "--repeats", "1"]
DENSE = [*PROFILE, "--methods", "dense"]


def test_help_is_as_it_was(focuslab, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for name in (None, *COMMANDS):
        code, out, _ = focuslab(*[name] * bool(name), "--help")
        assert code == 0
        check_text(f"help_{name or 'focuslab'}", out)


def test_help_lists_every_command_and_no_command_is_help(focuslab):
    code, out, _ = focuslab("--help")
    assert code == 0 and all(name in out for name in COMMANDS)
    code, out, _ = focuslab()
    assert code == 2 and "Commands" in out
    for name in COMMANDS:
        code, out, _ = focuslab(name, "--help")
        assert code == 0 and "--debug" in out and ("--model" in out or name == "report")


def test_profile_prints_a_table_and_the_directory_and_draws_the_figure(focuslab, tmp_path):
    code, out, err = focuslab(*PROFILE, "--seconds", "0.64,1.28", "--out", "here")
    assert code == 0
    assert "litefocus" in out and out.endswith("here\n")
    assert "100%" in err and "left)" in err
    made = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert made == {
        "here/run.json",
        "here/records.jsonl",
        "here/summary.json",
        "here/figures/figure1.svg",
    }
    summary = json.loads((tmp_path / "here/summary.json").read_text())
    assert [row["seconds"] for row in summary["rows"]] == [0.64] * 3 + [1.28] * 3


def test_the_default_directory_is_found_again_by_the_same_command_only(focuslab, tmp_path):
    first = focuslab(*DENSE, "--seconds", "0.64", "--quiet")
    again = focuslab(*DENSE, "--seconds", "0.64", "--quiet")
    assert first == again and first[2] == ""
    focuslab(*DENSE, "--seconds", "0.68", "--quiet")
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert all(path.name.startswith("profile-random-tiny-") for path in (tmp_path / "runs").iterdir())


def test_another_run_in_the_directory_is_refused_without_force(focuslab):
    focuslab(*DENSE, "--seconds", "0.64", "--out", "here")
    code, out, err = focuslab(*DENSE, "--seconds", "0.68", "--out", "here")
    assert code == 2 and "another run" in err and out == ""
    code, _, _ = focuslab(*DENSE, "--seconds", "0.68", "--out", "here", "--force")
    assert code == 0


def test_generate_writes_the_same_file_for_the_same_seed(focuslab, tmp_path):
    arguments = ["generate", "-m", "random:tiny", "--prompt", "Rain, on tin!", "--seconds", "0.64", "--steps", "2"]
    code, out, err = focuslab(*arguments)
    assert code == 0 and out == "rain-on-tin-0.64s-dense-seed0.wav\n" and "step 2 of 2" in err
    first = (tmp_path / out.strip()).read_bytes()
    code, _, err = focuslab(*arguments)
    assert code == 2 and "exists already" in err
    focuslab(*arguments, "--out", "again.wav", "--quiet")
    assert (tmp_path / "again.wav").read_bytes() == first
    focuslab(*arguments, "--out", "sparse.wav", "--method", "litefocus", "--quiet")
    assert (tmp_path / "sparse.wav").read_bytes() != first
    assert json.loads((tmp_path / "sparse.json").read_text())["method"].startswith("LiteFocus(")


WRONG = {
    "unknown command": ["profil"],
    "unknown option": ["profile", "--second", "10"],
    "unknown method": [*PROFILE, "--methods", "dense,litefocs"],
    "unknown parameter": [*PROFILE, "--methods", "litefocus:fraction=1"],
    "interval": [*PROFILE, "--methods", "dense,deepcache:interval=1"],
    "two caches": [*PROFILE, "--methods", "dense,deepcache+broadcast"],
    "level": [*PROFILE, "--methods", "dense,deepcache:skips=down_blocks.9"],
    "unknown method of a composition": [*PROFILE, "--methods", "dense,deepcache+sampeld"],
    "method after sites": [*PROFILE, "--methods", "dense,litefocus:sites=up_blocks.2+deepcache"],
    "scheduler": [*PROFILE, "--scheduler", "dpm"],
    "length zero": [*PROFILE, "--seconds", "0"],
    "length negative": [*PROFILE, "--seconds", "10,-5"],
    "length text": [*PROFILE, "--seconds", "10,abc"],
    "length NaN": [*PROFILE, "--seconds", "nan"],
    "length empty": [*PROFILE, "--seconds", ""],
    "length after a last comma": [*PROFILE, "--seconds", "10,"],
    "lengths apart by spaces": [*PROFILE, "--seconds", "10 20"],
    "length twice, with a space": [*PROFILE, "--seconds", "10, 10"],
    "method empty": [*PROFILE, "--methods", "dense,,litefocus"],
    "methods apart by spaces": [*PROFILE, "--methods", "dense litefocus"],
    "method twice, with a space": [*PROFILE, "--methods", "dense, dense"],
    "device that is not there": ["profile", "-m", "random:audioldm2", "--device", "cuda:99"],
    "seed too large": [*PROFILE, "--seed", str(2**64)],
    "length twice": [*PROFILE, "--seconds", "10,10.0"],
    "length too short": [*PROFILE, "--seconds", "0.01"],
    "no such site": [*PROFILE, "--methods", "dense,litefocus:sites=up_blocks.7"],
    "repeats": [*PROFILE, "--repeats", "0"],
    "dtype": [*PROFILE, "--dtype", "int8"],
    "device": ["profile", "-m", "random:audioldm2", "--device", "gpu"],
    "model": ["profile", "-m", "random:audiolmd2"],
    "directory that is no pipeline": ["profile", "-m", "."],
    "hub id while offline": ["profile", "-m", "someone/something", "--offline"],
    "generate without a prompt": ["generate", "-m", "random:tiny"],
    "generate nothing": ["generate", "-m", "random:tiny", "--prompt", "x", "--seconds", "0"],
    "generate by an unknown scheduler": ["generate", "-m", "random:tiny", "--prompt", "x", "--scheduler", "eulr"],
    "generate by an interval": ["generate", "-m", "random:tiny", "--prompt", "x", "--method", "broadcast:interval=0"],
    "generate to another format": ["generate", "-m", "random:tiny", "--prompt", "x", "--out", "x.mp3"],
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_exit_two_and_writes_nothing(focuslab, tmp_path, case):
    code, out, err = focuslab(*WRONG[case])
    assert (code, out) == (2, "")
    assert err.startswith("focuslab: ") and err.count("\n") == 1
    check_case("errors_profile_generate", case, re.sub("(?<=this machine's, ).*", "...", err))
    assert list(tmp_path.iterdir()) == []


def test_no_message_is_left_over():
    check_cases("errors_profile_generate", WRONG)


def test_a_failure_in_the_work_is_one_line_exit_one_and_debug_shows_where(focuslab, monkeypatch):
    def broken(self, q, k, v, call):
        raise RuntimeError("two\nlines")

    arguments = ["generate", "-m", "random:tiny", "--prompt", "x", "--seconds", "0.64", "--steps", "1"]
    monkeypatch.setattr("focuslab.methods.litefocus.LiteFocus.core", broken)
    code, _, err = focuslab(*arguments, "--method", "litefocus")
    assert code == 1 and err == "focuslab: unexpected RuntimeError: two lines (--debug shows where)\n"
    with pytest.raises(RuntimeError):
        main([*arguments, "--method", "litefocus", "--debug"])


@pytest.mark.parametrize("name, value", [("TERM", "dumb"), ("NO_COLOR", "1"), ("TERM", "xterm")])
def test_colours_are_for_terminals_that_have_them(focuslab, monkeypatch, name, value):
    def refuse(*_, **__):
        raise click.ClickException(click.style("too slow", fg="red"))

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("click._compat.isatty", lambda _: True)
    monkeypatch.setattr("focuslab.models.specs.load", refuse)
    code, _, err = focuslab("generate", "--prompt", "x")
    assert code == 1 and "too slow" in err and ("\x1b[31m" in err) == (value == "xterm")


@pytest.mark.parametrize("file", ["summary.json", "figure1.svg"])
def test_a_full_disk_is_one_line(focuslab, monkeypatch, file):
    def full(path, content):
        if path.name == file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    write = store.write_atomically
    for module in ("io.files", "runs.directory", "report.figures.style"):
        monkeypatch.setattr(f"focuslab.{module}.write_atomically", full)
    code, _, err = focuslab(*DENSE, "--seconds", "0.64", "--out", "here", "--quiet")
    assert code == 1 and "(No space left on device)" in err and err.count("\n") == 1 and "unexpected" not in err


def test_without_the_bundled_model_the_default_says_what_to_use(focuslab, monkeypatch, tmp_path):
    monkeypatch.setattr("focuslab.models.specs.BUNDLED", tmp_path / "nothing")
    code, _, err = focuslab("profile")
    assert code == 2 and "random:audioldm2" in err and err.count("\n") == 1


def test_ctrl_c_leaves_a_run_that_the_same_command_finishes(tmp_path):
    command = [*DENSE, "--seconds", "0.64,1.28", "--repeats", "3"]
    process = start(*command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "steps" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == ""
    assert err.strip().splitlines()[-1].startswith("focuslab: stopped; the same command resumes")
    (run,) = (tmp_path / "runs").iterdir()
    kept = (run / "records.jsonl").read_bytes()
    assert json.loads((run / "summary.json").read_text())["rows"]
    finished = start(*command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert str(run.relative_to(tmp_path)) in finished.communicate(timeout=120)[0] and finished.returncode == 0
    assert (run / "records.jsonl").read_bytes().startswith(kept)
    assert len(json.loads((run / "summary.json").read_text())["rows"]) == 2


def test_ctrl_c_where_nothing_can_be_gone_on_with_is_one_line(focuslab, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("focuslab.models.specs.load", stop)
    code, out, err = focuslab("generate", "--model", "random:tiny", "--prompt", "rain")
    assert code == 130 and out == "" and err.strip() == "focuslab: stopped"


def test_the_same_profile_twice_at_once_is_measured_once(focuslab, tmp_path):
    command = [*DENSE, "--seconds", "0.64", "--out", "here"]
    first = start(*command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in first.stderr:
        if "steps" in line:
            break
    first.send_signal(signal.SIGSTOP)
    code, out, err = focuslab(*command)
    first.send_signal(signal.SIGCONT)
    assert (code, out) == (2, "") and "another process" in err and err.count("\n") == 1
    first.communicate(timeout=120)
    records = [json.loads(line) for line in (tmp_path / "here" / "records.jsonl").read_text().splitlines()]
    keys = [(r["kind"], r.get("seconds"), r.get("method", r.get("stage")), r.get("repeat")) for r in records]
    assert first.returncode == 0 and len(set(keys)) == len(keys)


LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        [*PROFILE, "--seconds", "0.64", "--out", LONG],
        ["generate", "-m", "random:tiny", "--prompt", "x", "--out", f"{LONG}.wav"],
        ["generate", "-m", LONG, "--prompt", "x"],
        ["report", ".", "--out", LONG],
        ["report", LONG],
        ["evaluate", "-m", "random:tiny", "--prompts", LONG],
        ["recommend", "-m", "random:tiny", "--out", f"{LONG}.json"],
        ["demo", "-m", "random:tiny", "--out", LONG],
        [*PROFILE, "--methods", "a\nb" + "c" * 100_000],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_a_name_that_is_too_long_is_one_short_line_exit_two(focuslab, tmp_path, arguments):
    code, out, err = focuslab(*arguments)
    assert (code, out) == (2, "") and err.count("\n") == 1 and len(err) < 1100
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_a_finalizer_stops_the_command(monkeypatch, capfd):
    class Fragile:
        def __del__(self):
            raise KeyboardInterrupt

    def work(*_, **__):
        Fragile()
        for _ in range(100):
            time.sleep(0.1)

    monkeypatch.setattr("focuslab.cli.cli.main", work)
    # A shell that started the tests in the background has switched Ctrl-C off.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(SystemExit) as caught:
        main([])
    signal.signal(signal.SIGINT, before)
    assert caught.value.code == 130 and capfd.readouterr().err == "focuslab: stopped\n"


def test_ctrl_c_that_python_wrapped_stops_the_command(focuslab, monkeypatch):
    def wrapped(*_, **__):
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    monkeypatch.setattr("focuslab.models.specs.load", wrapped)
    code, out, err = focuslab("generate", "--prompt", "x")
    assert (code, out, err) == (130, "", "focuslab: stopped\n")
