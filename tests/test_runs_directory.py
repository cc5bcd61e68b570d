import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import FocuslabError, InputError
from focuslab.io.files import PARTIAL
from focuslab.runs import RunInfo
from focuslab.runs.arrays import read_arrays
from focuslab.runs.directory import (
    RECORDS,
    RUN,
    SUMMARY,
    RunDirectory,
    read_json,
    write_atomically,
)
from focuslab.runs.records import parse_records

INFO = RunInfo(
    command="profile",
    model={"name": "random:tiny"},
    parameters={"seconds": [10.0]},
    machine={"cores": 2},
    versions={"torch": "2"},
    device="cpu",
    dtype="float32",
    seed=0,
    prompts=("rain",),
)


def test_a_summary_has_a_line_for_each_row_and_field(tmp_path):
    summary = {"schema": "s", "rows": [{"a": 1.5}, {"a": None}], "none": [], "numbers": [1, 2]}
    with RunDirectory(tmp_path, INFO) as run:
        run.write_summary(summary)
        run.append({"a": [1, 2]})
    content = (tmp_path / SUMMARY).read_text()
    assert json.loads(content) == summary and {'{"a":1.5},', '{"a":null}', '"none":[],'} <= set(content.splitlines())
    assert (tmp_path / RECORDS).read_text() == '{"a":[1,2]}\n'
    with pytest.raises(ValueError, match="JSON"):
        run.write_summary({"rows": [{"a": float("nan")}]})


def test_a_stopped_run_is_resumed(tmp_path):
    with RunDirectory(tmp_path / "run", INFO) as run:
        run.append({"a": 1})
        run.note(grids={"10": {"site": [125, 8]}})
    again = RunDirectory(tmp_path / "run", INFO)
    assert again.records == [{"a": 1}]
    assert again.info.grids == {"10": {"site": [125, 8]}} and again.info.started == run.info.started
    assert again.info.prompts == ("rain",)
    again.append({"b": 2})
    assert [json.loads(line) for line in (tmp_path / "run" / RECORDS).read_text().splitlines()] == [{"a": 1}, {"b": 2}]


def test_a_line_that_broke_off_is_dropped_and_written_anew(tmp_path):
    with RunDirectory(tmp_path, INFO) as run:
        run.append({"a": 1})
    with open(tmp_path / RECORDS, "ab") as file:
        file.write('{"b": "half a ö'.encode()[:-1])
    with RunDirectory(tmp_path, INFO) as again:
        again.append({"b": 2})
    assert RunDirectory(tmp_path, INFO).records == [{"a": 1}, {"b": 2}]


def test_a_long_broken_line_is_cut_off(tmp_path):
    with RunDirectory(tmp_path, INFO) as run:
        run.append({"a": "x" * 100_000})
    whole = (tmp_path / RECORDS).read_bytes()
    (tmp_path / RECORDS).write_bytes(whole + b"y" * 200_000)
    assert RunDirectory(tmp_path, INFO).records == [{"a": "x" * 100_000}]
    (tmp_path / RECORDS).write_bytes(b"y" * 200_000)
    assert RunDirectory(tmp_path, INFO).records == [] and (tmp_path / RECORDS).read_bytes() == b""


@settings(max_examples=30, deadline=None)
@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=5), st.data())
def test_whatever_is_cut_off_the_whole_records_are_kept(tmp_path_factory, records, data):
    path = tmp_path_factory.mktemp("run")
    with RunDirectory(path, INFO) as run:
        for record in records:
            run.append(record)
    if records:
        content = (path / RECORDS).read_bytes()
        kept = data.draw(st.integers(0, len(content)))
        (path / RECORDS).write_bytes(content[:kept])
        whole = content[:kept].count(b"\n")
        assert RunDirectory(path, INFO).records == records[:whole]


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"dtype": "float16"}, {"parameters": {"seconds": [20.0]}}, {"versions": {"torch": "3"}}]
)
def test_another_run_is_refused_and_replaced_only_by_force(tmp_path, change):
    RunDirectory(tmp_path, INFO).append({"a": 1})
    (tmp_path / "mine.txt").write_text("keep")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "figure1.svg").write_text("old")
    with pytest.raises(InputError, match=f"another run.*{next(iter(change))}.*--force") as caught:
        RunDirectory(tmp_path, replace(INFO, **change))
    assert "\n" not in str(caught.value)
    assert (tmp_path / RECORDS).read_text() == '{"a":1}\n'
    run = RunDirectory(tmp_path, replace(INFO, **change), force=True)
    assert run.records == [] and not (tmp_path / RECORDS).exists()
    assert (tmp_path / "mine.txt").read_text() == "keep"
    assert not (tmp_path / "figures" / "figure1.svg").exists()


def test_a_place_that_is_no_run_is_never_written_to(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("cat")
    for force in (False, True):
        with pytest.raises(InputError, match="holds no run"):
            RunDirectory(tmp_path / "photos", INFO, force=force)
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["cat.png"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        RunDirectory(tmp_path / "file", INFO)
    with pytest.raises(InputError, match="cannot be written|is a file"):
        RunDirectory(tmp_path / "file" / "below", INFO)


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "cannot be read"),
        ("[]", "holds 'list'"),
        ('{"schema": "focuslab/run/99"}', "focuslab/run/99"),
        ('{"schema": "focuslab/run/1"}', "lacks the field 'command'"),
    ],
)
def test_a_damaged_or_older_run_says_so(tmp_path, content, message):
    (tmp_path / RUN).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        RunDirectory(tmp_path, INFO)
    assert str(tmp_path / RUN) in str(caught.value)


def test_a_damaged_record_names_its_line(tmp_path):
    with pytest.raises(InputError, match="records.jsonl is damaged in line 2"):
        parse_records(b'{"a": 1}\n[]\n', "records.jsonl")
    with pytest.raises(InputError, match="line 1"):
        parse_records(b"\xff\n", "records.jsonl")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_json(tmp_path / SUMMARY)


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_atomically(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["file.json"]
    with pytest.raises(FocuslabError, match="No space left"):
        monkeypatch.undo()
        run = RunDirectory(tmp_path / "run", INFO)
        monkeypatch.setattr(os, "fsync", full)
        run.append({"a": 1})


def test_nan_never_reaches_a_file(tmp_path):
    run = RunDirectory(tmp_path, INFO)
    with pytest.raises(ValueError):
        run.append({"a": float("nan")})
    assert not (tmp_path / RECORDS).exists()


def test_killed_at_any_moment_every_finished_record_is_there(tmp_path):
    program = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {os.getcwd()!r})
        from tests.test_runs_directory import INFO
        from focuslab.runs.directory import RunDirectory
        run = RunDirectory({str(tmp_path / "run")!r}, INFO)
        n = len(run.records)
        while True:
            run.append({{"n": n, "padding": "x" * 5000}})
            print(n, flush=True)
            n += 1
        """
    )
    confirmed = -1
    for lines in (3, 17, 8):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(lines):
            confirmed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        records = RunDirectory(tmp_path / "run", INFO).records
        assert [r["n"] for r in records] == list(range(len(records)))
        assert len(records) > confirmed


@pytest.mark.parametrize("name", ["figures", "trace", "arrays"])
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path, name):
    with RunDirectory(tmp_path, INFO):
        pass
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=name):
        RunDirectory(tmp_path, INFO, force=True)
    assert (tmp_path / name).read_text() == "mine"


def test_a_second_process_in_a_run_is_refused(tmp_path):
    with RunDirectory(tmp_path, INFO) as run:
        run.append({"a": 1})
        for force in (False, True):
            with pytest.raises(InputError, match="another process"):
                RunDirectory(tmp_path, INFO, force=force)
    assert RunDirectory(tmp_path, INFO).records == [{"a": 1}]
    assert {path.name for path in tmp_path.iterdir()} == {RUN, RECORDS}


@pytest.mark.parametrize("name", [RECORDS, SUMMARY, "arrays", "figures"])
def test_a_run_with_a_planted_link_is_refused(tmp_path, name):
    (tmp_path / "outside").mkdir()
    with RunDirectory(tmp_path / "run", INFO):
        (tmp_path / "run" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="link"):
        RunDirectory(tmp_path / "run", INFO)
    assert list((tmp_path / "outside").iterdir()) == []


def test_what_a_kill_left_half_written_is_swept_up(tmp_path):
    with RunDirectory(tmp_path, INFO):
        (tmp_path / "arrays").mkdir()
        for rest in (f"{PARTIAL}abc", f"arrays/{PARTIAL}abc", f".run.json{PARTIAL}host-1"):
            (tmp_path / rest).write_bytes(b"half")
    RunDirectory(tmp_path, INFO)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays", RUN]
    assert list((tmp_path / "arrays").iterdir()) == []


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_arrays_of_types_that_numpy_lacks_are_named(tmp_path, dtype):
    header = json.dumps({"x": {"dtype": dtype, "shape": [0], "data_offsets": [0, 0]}}).encode()
    (tmp_path / "arrays").mkdir()
    (tmp_path / "arrays" / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(InputError, match="x.safetensors"):
        read_arrays(tmp_path)
