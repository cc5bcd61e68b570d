"""Reading run directories that somebody tampered with: an error or a marked gap, and nothing outside is read."""

import copy
import json
import os
from typing import Annotated

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import Field

from focuslab.errors import InputError
from focuslab.io.json_text import parse_json
from focuslab.report.html import sources
from focuslab.report.html.build import build
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.sources import MOST_LENGTHS, find
from focuslab.report.html.write import render, write_report
from focuslab.results import AttentionRun, ProfileRun
from focuslab.runs.checked import checked, salvaged
from focuslab.runs.folder import Folder, clean_text, cleaned
from focuslab.runs.schemas.profile import Profile
from focuslab.runs.schemas.types import Amount, ByNumber, Count, Record, Value
from tests import report_runs

SECRET = "what only the owner may read"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """One run of each kind, as {name of a file: its content}."""
    root = report_runs.write_all(tmp_path_factory.mktemp("pristine"), prompts=("rain",))
    for figure in root.rglob("*.safetensors"):
        figure.unlink()
    return Files({str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()})


class Files(dict):
    """Too long to be printed."""

    def __repr__(self) -> str:
        return f"<{len(self)} files>"


def lay(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def files_of(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and not p.is_symlink()}


# Values that a field may be given instead of its own; texts stand for themselves in the file.
ODD = [
    *("null", "true", "-1", "0", "1e308", "-1e308", "1e-320", "1e999", "NaN", "-Infinity", "1" + "0" * 400),
    *('""', '"x"', '"<script>alert(1)</script>"', '"../../etc/passwd"', '"\\ud800"', '"\\u0000\\u202e"', "[]", "{}"),
    *("[[]]", '[null, "a", 1]', '{"a": {"b": []}}', "[" * 400 + "]" * 400, json.dumps("long " * 5000), "3.5", "10"),
    *('"$\\\\frac{1}$"', '{"seconds": 10}', '[{"seconds": 10, "method": "dense"}]'),
]
# What is wrong is one place in one file: there is nothing to shrink, and a page takes long.
FUZZ = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
    "report_multiple_bugs": False,
}
MARK = "\N{BLACK STAR}odd\N{BLACK STAR}"


def places(content, before=()):
    """Every place in a piece of JSON."""
    yield before
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from places(value, (*before, key))


def tampered(content: bytes, data) -> bytes:
    """The file with one thing wrong: cut off, a field replaced, left out or added."""
    if not content.strip():
        return data.draw(st.binary(min_size=1, max_size=8))
    how = data.draw(st.sampled_from(["cut", "replace", "replace", "replace", "replace", "drop", "add", "bytes"]))
    if how == "cut":
        return content[: data.draw(st.integers(0, len(content)))]
    if how == "bytes":
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        return content[:at] + data.draw(st.binary(min_size=1, max_size=8)) + content[at + 4 :]
    lines = content.splitlines() if b"\n{" in content else [content]
    i = data.draw(st.integers(0, len(lines) - 1))
    tree = copy.deepcopy(json.loads(lines[i]))
    *above, last = data.draw(st.sampled_from(list(places(tree))[1:]))
    parent = tree
    for key in above:
        parent = parent[key]
    if how == "drop":
        del parent[last]
    elif how == "add" and isinstance(parent, dict):
        parent[data.draw(st.sampled_from(["extra", "../x", "", "schema"]))] = MARK
    else:
        parent[last] = MARK
    odd = data.draw(st.sampled_from(ODD))
    lines[i] = json.dumps(tree).replace(json.dumps(MARK), odd).encode()
    return b"\n".join(lines)


def check_tampered(pristine, root, data):
    """Lay one kind of run with one file tampered with; the page is made, or the error is one line."""
    kind = data.draw(st.sampled_from(["profile", "capture", "plan", "evaluation", "sounds"]))
    files = {name: content for name, content in pristine.items() if name.startswith(kind)}
    name = data.draw(st.sampled_from(sorted(name for name in files)))
    wav = name.endswith(".wav")
    files[name] = files[name][: data.draw(st.integers(0, 200))] if wav else tampered(files[name], data)
    lay(root, files)
    before = files_of(root)
    try:
        page = build(find([root]), lambda _: 1_000_000)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        content = render(page).decode()
        assert content.count("<script>") == 1 and "\0" not in content
    assert files_of(root) == before


@settings(max_examples=100, **FUZZ)
@given(data=st.data())
def test_a_tampered_directory_gives_a_page_or_an_error(pristine, tmp_path_factory, data):
    with pytest.MonkeyPatch.context() as patch:
        # Figures are drawn in the next test: they take most of the time.
        patch.setattr(Drawer, "add", lambda *_, **__: None)
        check_tampered(pristine, tmp_path_factory.mktemp("tampered"), data)


@settings(max_examples=4, **FUZZ)
@given(data=st.data())
def test_the_same_with_figures(pristine, tmp_path_factory, data):
    check_tampered(pristine, tmp_path_factory.mktemp("tampered"), data)


@settings(max_examples=40, **FUZZ)
@given(data=st.data())
def test_a_tampered_run_is_loaded_or_refused(pristine, tmp_path_factory, data):
    root = tmp_path_factory.mktemp("loaded")
    kind, run = data.draw(st.sampled_from([("profile", ProfileRun), ("capture", AttentionRun)]))
    name = data.draw(st.sampled_from(["run.json", "summary.json", "records.jsonl"]))
    files = {n: c for n, c in pristine.items() if n.startswith(kind)}
    files.setdefault(f"{kind}/records.jsonl", b'{"kind": "note"}\n')
    files[f"{kind}/{name}"] = tampered(files[f"{kind}/{name}"], data)
    try:
        run.load(lay(root, files) / kind)
    except InputError as error:
        assert str(root) in str(error) and "\n" not in str(error)


def test_wrong_fields_are_named_and_the_rest_is_shown(pristine, tmp_path, monkeypatch):
    monkeypatch.setattr(Drawer, "add", lambda *_, **__: None)
    root = lay(tmp_path, {n: c for n, c in pristine.items() if n.startswith(("profile", "capture"))})
    summary = json.loads((root / "profile/summary.json").read_bytes())
    summary["rows"][0]["peak_bytes"] = "much"
    summary["rows"][1]["step_seconds_median"] = -3
    summary["rows"][2]["surprise"] = 1
    (root / "profile/summary.json").write_text(json.dumps(summary))
    (root / "capture/summary.json").write_text(json.dumps(summary)[:-5])
    page = build(find([root]), lambda _: 0)
    said = "\n".join(page.sections[-1].gaps)
    assert "rows[0].peak_bytes is 'much'" in said and "rows[1].step_seconds_median is -3" in said
    assert "capture/summary.json cannot be read" in said and "surprise" not in said
    rows = page.sections[0].groups[0].tables[0].rows
    assert len(rows) == len(summary["rows"]) - 1


def test_emptied_records_of_a_finished_run_are_named(pristine, tmp_path, monkeypatch):
    monkeypatch.setattr(Drawer, "add", lambda *_, **__: None)
    root = lay(tmp_path, {n: c for n, c in pristine.items() if n.startswith("profile/")})
    records = root / "profile/records.jsonl"
    records.write_bytes(b"\n")
    with pytest.raises(InputError, match="records.jsonl is empty, but the run was finished"):
        ProfileRun.load(root / "profile")
    page = build(find([root]), lambda _: 0)
    assert sum("records.jsonl is empty" in gap for gap in page.sections[-1].gaps) == 1
    assert page.sections[0].groups[0].tables[0].rows
    records.unlink()
    assert ProfileRun.load(root / "profile").records == ()


def test_a_cut_off_record_is_a_gap(pristine, tmp_path, monkeypatch):
    monkeypatch.setattr(Drawer, "add", lambda *_, **__: None)
    root = lay(tmp_path, {n: c for n, c in pristine.items() if n.startswith("evaluation")})
    records = root / "evaluation/records.jsonl"
    records.write_bytes(records.read_bytes()[:-20])
    page = build(find([root]), lambda _: 1_000_000)
    assert "records.jsonl is damaged in line 3" in "\n".join(page.sections[-1].gaps)
    assert [len(c.clips) for c in page.sections[4].groups[0].comparisons] == [2]


@pytest.mark.parametrize(
    "audio", ["../../secret.wav", "/etc/passwd", "audio/../../secret.wav", "audio/link.wav", "a\\..\\b"]
)
def test_a_clip_outside_of_the_directory_is_not_read(pristine, tmp_path, monkeypatch, audio):
    monkeypatch.setattr(Drawer, "add", lambda *_, **__: None)
    root = lay(tmp_path / "root", {n: c for n, c in pristine.items() if n.startswith("evaluation")})
    secret = tmp_path / "secret.wav"
    secret.write_bytes(pristine["sounds/0-dense.wav"])
    (root / "evaluation/audio/link.wav").symlink_to(secret)
    records = root / "evaluation/records.jsonl"
    first, *rest = [json.loads(line) for line in records.read_text().splitlines()]
    records.write_text("".join(json.dumps(r) + "\n" for r in ({**first, "audio": audio}, *rest)))
    page = build(find([root]), lambda _: 5_000_000)
    said = "\n".join(page.sections[-1].gaps)
    assert any(words in said for words in ("not read", "links are not followed", "does not exist"))
    assert [len(c.clips) for c in page.sections[4].groups[0].comparisons] == [2]


@pytest.mark.parametrize("name", ["run.json", "summary.json", ""])
def test_links_are_not_followed(pristine, tmp_path, name):
    files = {n.partition("/")[2]: c for n, c in pristine.items() if n.startswith("profile")}
    outside = lay(tmp_path / "outside", files)
    run = json.loads((outside / "run.json").read_bytes())
    (outside / "run.json").write_text(json.dumps({**run, "model": {"name": SECRET}}))
    root = tmp_path / "root"
    root.mkdir()
    if name:
        lay(root / "run", {n: c for n, c in files_of(outside).items() if n != name})
        (root / "run" / name).symlink_to(outside / name)
    else:
        (root / "run").symlink_to(outside)
    with pytest.raises(InputError) as caught:
        write_report([root], tmp_path / "page.html")
    assert SECRET not in str(caught.value) and not (tmp_path / "page.html").exists()


def test_a_directory_that_is_given_by_a_link_is_read(pristine, tmp_path):
    root = lay(tmp_path / "root", {n: c for n, c in pristine.items() if n.startswith("profile")})
    (tmp_path / "latest").symlink_to(root)
    assert len(find([tmp_path / "latest"]).runs) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(pristine, tmp_path):
    root = lay(tmp_path, {n: c for n, c in pristine.items() if n.startswith("profile")})
    (root / "profile/summary.json").unlink()
    os.mkfifo(root / "profile/summary.json")
    with pytest.raises(InputError, match="no regular file"):
        find([root])


def test_an_error_says_what_was_given_and_expected(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old/run.json").write_text('{"schema": "focuslab/run/0"}')
    (tmp_path / "other").mkdir()
    (tmp_path / "other/plan.json").write_text('{"schema": "focuslab/plan/1", "model": 3}')
    (tmp_path / "unfinished").mkdir()
    report_runs.write_profile(tmp_path / "unfinished/run")
    (tmp_path / "unfinished/run/summary.json").unlink()
    for name, words in (
        ("nowhere", "does not exist: expected a run directory"),
        ("empty", "nothing in .* was written by focuslab"),
        ("old", "holds 'focuslab/run/0', expected 'focuslab/run/1'"),
        ("other", "model is 3: expected text"),
        ("other/plan.json", "model is 3: expected text"),
        ("unfinished", "holds no summary.json: its profile run was not finished"),
    ):
        with pytest.raises(InputError, match=words):
            find([tmp_path / name])


def test_folder_gives_only_what_lies_inside(tmp_path):
    folder = Folder(tmp_path)
    (tmp_path / "big").write_bytes(b"0" * 100)
    assert folder.read("big") == b"0" * 100
    for name in ("..", "../x", "/etc/passwd", "a//b", "", ".", "a/../b", "nul\0"):
        with pytest.raises(InputError, match="no name inside"):
            folder.read(name)
    for name, words in (("big", "expected at most 99"), ("nothing", "does not exist")):
        with pytest.raises(InputError, match=words):
            folder.read(name, 99)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="no regular file|cannot be read"):
        folder.read("folder")


def test_text_can_always_be_written_and_numbers_are_numbers():
    assert clean_text("a\0\ud800b\x1b\ttab") == "a\ufffd\ufffdb\ufffd\ttab"
    assert cleaned(parse_json(b'{"a": NaN, "b": [-Infinity]}', "x")) == {"a": "NaN", "b": ["-Infinity"]}
    for content, words in ((b"[" * 200_000, "nested too deep"), (b"{", "cannot be read"), (b"\xff", "cannot be read")):
        with pytest.raises(InputError, match=words):
            parse_json(content, "x")


class Shape(Record):
    name: Annotated[str, Field(max_length=5)]
    n: Count | None = None
    items: Annotated[list[Value], Field(max_length=3)] = []
    by: ByNumber[Amount] = {}


def test_what_is_wrong_is_taken_out_of_a_record():
    gaps = []
    value = {"name": "x", "n": 1.5, "items": [1, "a", 2], "by": {"0.1": 1, "a": 2, "0.2": "b"}, "more": [3]}
    before = copy.deepcopy(value)
    found = salvaged(value, Shape, "it", gaps)
    assert found == {"name": "x", "n": None, "items": [1, 2], "by": {"0.1": 1}, "more": [3]}
    assert len(gaps) == 4 and all(gap.startswith("it: ") for gap in gaps) and value == before
    assert salvaged({"name": "x", "items": [1, 2, 3, 4]}, Shape, "it", gaps)["items"] == [1, 2, 3]


@pytest.mark.parametrize("wrong", [3, {}, {"name": "too long"}, {"name": None}])
def test_a_record_without_what_it_needs_is_refused(wrong):
    for check in (checked, lambda *given: salvaged(*given, [])):
        with pytest.raises(InputError, match="^it: .*(expected|lacks)"):
            check(wrong, Shape, "it")


@pytest.mark.parametrize("number", [True, "1", float("nan"), float("inf"), 10**400, [1]])
def test_only_finite_numbers_are_numbers(number):
    with pytest.raises(InputError, match="items.0. is .*: expected a number"):
        checked({"name": "x", "items": [number]}, Shape, "it")


def test_rounding_near_zero_is_read_as_zero():
    assert checked({"name": "x", "items": [1e-300, -1e-30, 1e-20]}, Shape, "it")["items"] == [0, 0, 1e-20]


def test_a_long_list_is_cut_before_its_items_are_checked():
    gaps = []
    assert salvaged({"rows": [0] * 100_000}, Profile, "it", gaps)["rows"] == []
    assert gaps[0].endswith("expected at most 5000 entries; the rest is left out") and len(gaps) == 5_001
    with pytest.raises(InputError, match="rows is .*: expected at most 5000 entries"):
        checked({"rows": [0] * 100_000}, Profile, "it")


def test_of_rows_with_wrong_fields_each_is_told_once():
    class Table(Record):
        rows: list[Shape]

    gaps = []
    rows = [{"name": 1, "n": -1}, {"name": "a"}, {"n": 1}, {"name": "b", "n": "x"}]
    found = salvaged({"rows": rows}, Table, "it", gaps)["rows"]
    assert [(row["name"], row["n"]) for row in found] == [("a", None), ("b", None)]
    assert sorted(gap.partition(" ")[2].partition(" ")[0] for gap in gaps) == [
        "rows[0].n",
        "rows[0].name",
        "rows[2]",
        "rows[3].n",
    ]


def test_an_unreadable_file_beside_a_run_is_a_gap(tmp_path):
    run = report_runs.write_profile(tmp_path / "run")
    (run / "notes.json").write_bytes(b"\xff")
    os.mkfifo(run / "pipe.json")
    found = find([tmp_path])
    assert len(found.runs) == 1 and len(found.gaps) == 2


def test_rows_beyond_the_limit_are_a_gap(tmp_path):
    run = report_runs.write_profile(tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    row = summary["rows"][0]
    summary["rows"] = [{**row, "seconds": 1.0 + i} for i in range(3_000)]
    (run / "summary.json").write_text(json.dumps(summary))
    (found,) = find([tmp_path]).runs
    assert 0 < len(found.summary["rows"]) <= MOST_LENGTHS and any("3000" in gap for gap in found.gaps)


def test_all_that_is_read_for_a_page_has_one_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MOST_JSON", 2_000_000)
    run = report_runs.write_profile(tmp_path / "run")
    for i in range(9):
        (run / f"{i}.json").write_text(json.dumps(list(range(5_000))))
    found = find([tmp_path])
    assert len(found.runs) == 1 and 0 < len(found.gaps) < 9
