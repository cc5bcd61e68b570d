import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from focuslab.errors import InputError
from focuslab.io.files import (
    PARTIAL,
    append_bytes,
    check_place,
    open_to_change,
    read_bytes,
    write_atomically,
    write_together,
)
from focuslab.io.json_text import DEEPEST, parse_json
from focuslab.io.locks import DirectoryLock


def unreadable(folder: Path):
    """By name, things that a file may turn out to be."""
    sparse = folder / "sparse"
    with open(sparse, "wb") as file:
        file.truncate(2**40)
    os.mkfifo(folder / "pipe")
    (folder / "device").symlink_to("/dev/zero")
    (folder / "directory").mkdir()
    (folder / "loop").symlink_to("loop")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("links", [False, True])
def test_only_a_regular_file_of_sane_size_is_read(tmp_path, links):
    for path in unreadable(tmp_path).values():
        with pytest.raises(InputError) as caught:
            read_bytes(path, links=links)
        assert str(path) in str(caught.value)


def test_links_are_read_only_where_allowed(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link", links=True) == b"content"
    with pytest.raises(InputError, match="link"):
        read_bytes(tmp_path / "link")


@pytest.mark.parametrize("target", ["there", "nowhere"])
def test_nothing_is_written_through_a_link(tmp_path, target):
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to(target)
    for change in (open_to_change, lambda path: append_bytes(path, b"new")):
        with pytest.raises(OSError):
            change(tmp_path / "link")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "there").read_bytes() == b"old" and not (tmp_path / "nowhere").exists()
    assert (tmp_path / "link").read_bytes() == b"new" and not (tmp_path / "link").is_symlink()


def test_nothing_is_appended_to_a_pipe_or_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(OSError):
            append_bytes(path, b"x")


def test_names_of_files_being_written_cannot_be_foreseen(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.extend(path.name for path in tmp_path.glob(f"{PARTIAL}*")))
    for _ in range(2):
        write_atomically(tmp_path / "file", b"")
    assert len(set(seen)) == 2 and all(len(name) >= len(PARTIAL) + 16 for name in seen)


@pytest.mark.parametrize("replace", [False, True])
def test_of_files_that_belong_together_none_is_written_alone(tmp_path, monkeypatch, replace):
    both = {tmp_path / "x.wav": b"sound", tmp_path / "x.json": b"settings"}
    calls = []

    def full(_):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        write_together(both, replace=replace)
    assert list(tmp_path.iterdir()) == []


def end_at_call(count):
    """End this process at that call which changes files."""
    calls = iter(range(1, 1000))

    def counted(real, *given, **more):
        if next(calls) == count:
            os._exit(1)
        return real(*given, **more)

    for name in ("open", "fsync", "link", "replace", "unlink"):
        setattr(os, name, functools.partial(counted, getattr(os, name)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("replace", [False, True])
def test_killed_at_any_call_no_first_file_is_without_its_own_second(tmp_path, replace):
    ends = set()
    for count in range(1, 20):
        folder = tmp_path / str(count)
        folder.mkdir()
        wav, settings = folder / "x.wav", folder / "x.json"
        if replace:
            write_together({wav: b"old", settings: b"old"})
        child = os.fork()
        if child == 0:
            end_at_call(count)
            write_together({wav: b"new", settings: b"new"}, replace=replace)
            os._exit(0)
        ends.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        assert not wav.exists() or wav.read_bytes() == settings.read_bytes()
        if ends == {0, 1}:
            assert wav.read_bytes() == settings.read_bytes() == b"new"
            break
    assert ends == {0, 1}


def test_what_another_process_has_just_written_is_not_replaced(tmp_path):
    (tmp_path / "x.json").write_bytes(b"another's")
    with pytest.raises(FileExistsError):
        write_together({tmp_path / "x.wav": b"sound", tmp_path / "x.json": b"settings"}, replace=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.json": b"another's"}


def test_a_long_name_is_written_and_a_longer_one_refused(tmp_path):
    path = tmp_path / ("n" * 249 + ".json")
    check_place(path)
    write_atomically(path, b"x")
    assert path.read_bytes() == b"x"
    for wrong in (tmp_path / ("n" * 300), tmp_path / "new" / ("n" * 300) / "x", tmp_path / "a\0b", path / "x"):
        with pytest.raises(InputError) as caught:
            check_place(wrong)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", ["/proc/new", "/proc/new/x.wav", "new/../x.wav"])
def test_a_place_that_takes_no_files_is_refused_before(tmp_path, monkeypatch, wrong):
    monkeypatch.chdir(tmp_path)
    if wrong.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("needs /proc")
    with pytest.raises(InputError, match="cannot be written"):
        check_place(Path(wrong))
    assert list(tmp_path.iterdir()) == []


def test_a_lock_keeps_others_out_and_dies_with_its_process(tmp_path):
    program = f"""
import sys, time
from pathlib import Path
from focuslab.io.locks import DirectoryLock
lock = DirectoryLock(Path({str(tmp_path)!r}))
print("locked", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(InputError, match="another process"):
        DirectoryLock(tmp_path)
    process.kill()
    process.communicate()
    with DirectoryLock(tmp_path, shared=True), DirectoryLock(tmp_path, shared=True):
        with pytest.raises(InputError, match="another process"):
            DirectoryLock(tmp_path)
    DirectoryLock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b"[" * (DEEPEST + 5) + b"]" * (DEEPEST + 5),
        b'{"a":' * (DEEPEST + 5) + b"1" + b"}" * (DEEPEST + 5),
        b"[" + b"[]," * 20_000_000 + b"[]]",
        b'"' + "\N{DROPLET}".encode() + b"x" * 100_000_000 + b'"',
        b"1" * 10_000,
        b"\xff",
    ],
    ids=["open", "lists", "objects", "many", "wide text", "digits", "bytes"],
)
def test_json_that_cannot_be_held_is_refused(content):
    with pytest.raises(InputError, match="file.json"):
        parse_json(content, "file.json")


def test_json_keeps_what_is_within_bounds():
    nested = b"[" * DEEPEST + b"]" * DEEPEST
    assert parse_json(nested, "x") and parse_json(b'{"a": [NaN, 1.5]}', "x") == {"a": ["NaN", 1.5]}


PAIRS = """
import sys
from pathlib import Path
from focuslab.io.files import write_together
folder, content = Path(sys.argv[1]), sys.argv[2].encode()
for _ in range(60):
    write_together({folder / "a": content, folder / "b": content})
"""


def test_files_written_together_are_of_one_writer(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", PAIRS, str(tmp_path), content]) for content in ("1", "2")]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
