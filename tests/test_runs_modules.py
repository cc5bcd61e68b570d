"""focuslab.runs.modules: the modules of a profile in columns and, as in older runs, in rows."""

import json

import pytest

from focuslab.analysis.cost import profile_summary
from focuslab.errors import InputError
from focuslab.io.json_text import to_summary_bytes
from focuslab.report.html.build import build
from focuslab.report.html.sources import find
from focuslab.results import AttentionRun, ProfileRun
from focuslab.runs.directory import to_json_bytes
from focuslab.runs.modules import columns, module_rows, units_record, with_rows
from focuslab.runs.records import to_lines
from tests.choice_records import make_info
from tests.test_analysis_cost import RECORDS

KINDS = {"": "other", "a": "self_attention", "b": "resnet", "idle": "other"}


def in_columns(records):
    """The records of today for those of an older run."""
    new = [units_record(KINDS, KINDS)]
    for record in records:
        if record["kind"] == "modules":
            rows = [("" if name == "unet" else name, *values) for name, _, *values in record["modules"]]
            record = {**record, "modules": columns(rows, KINDS)}
        elif record["kind"] == "flops":
            counted = dict(record["modules"])
            record = {k: v for k, v in record.items() if k != "modules"}
            record["flops"] = [counted.get(name or "unet", 0) for name in KINDS]
        new.append(record)
    return new


def lay(directory, records, summary, ended="2026-01-01T00:00:00+00:00"):
    directory.mkdir(parents=True)
    info = make_info(started="2026-01-01T00:00:00+00:00", ended=ended)
    (directory / "run.json").write_bytes(to_json_bytes(info.to_json()))
    (directory / "summary.json").write_bytes(to_summary_bytes(summary))
    if records is not None:
        (directory / "records.jsonl").write_bytes(to_lines(records))
    return directory


def older(directory):
    """A run as focuslab wrote it when every row of the summary had its modules."""
    summary, modules = profile_summary(RECORDS), module_rows(RECORDS)
    rows = [{**row, "modules": modules.get((row["seconds"], row["method"]), [])} for row in summary["rows"]]
    return lay(directory, RECORDS, {**summary, "rows": rows})


def newer(directory):
    records = in_columns(RECORDS)
    return lay(directory, records, profile_summary(records))


def test_columns_and_rows_say_the_same():
    new = in_columns(RECORDS)
    assert module_rows(new) == module_rows(RECORDS) and profile_summary(new) == profile_summary(RECORDS)
    times = next(record for record in new if record["kind"] == "modules")["modules"]
    assert times["calls"] == [2, 4, 2, 0] and times["exclusive_seconds"] == [1.0, None, None, None]
    assert len(to_lines(new)) < 2 * len(to_lines(RECORDS))


def test_a_stopped_run_of_the_older_layout_is_resumed():
    more = [{**record, "repeat": 1} for record in in_columns(RECORDS) if record["kind"] == "modules"]
    mixed = [*RECORDS, units_record(KINDS, KINDS), *more]
    assert module_rows(mixed)[80.0, "dense"] == module_rows(RECORDS)[80.0, "dense"]


@pytest.mark.parametrize("broken", [[], [1, 2], None])
def test_columns_that_do_not_fit_the_names_are_refused(broken):
    records = in_columns(RECORDS)
    times = next(record for record in records if record["kind"] == "modules")
    times["modules"] = {**times["modules"], "calls": broken}
    with pytest.raises(InputError, match="does not fit"):
        with_rows(records)


@pytest.mark.parametrize("layout", [older, newer])
def test_both_layouts_are_loaded_and_shown(layout, tmp_path):
    directory = layout(tmp_path / "run")
    run = ProfileRun.load(directory)
    dense = run.row(80.0, "dense")["modules"]
    assert [(m["name"], m["inclusive_seconds"]) for m in dense] == [
        ("step", 5.25),
        ("unet", 4.5),
        ("a", 3.0),
        ("b", 1.0),
    ]
    assert [m["flops"] for m in dense] == [10, 10, 6, 0] and run.row(80.0, "bound")["modules"] == []
    page = build(find([directory]), lambda _: 0)
    tables = [table for section in page.sections for group in section.groups for table in group.more]
    (shown,) = [table for table in tables if table.title.startswith("Most expensive modules")]
    assert [row[0].shown for row in shown.rows] == ["a", "b", "step", "unet"]
    assert not any("could not be" in gap for gap in page.sections[-1].gaps)


def test_a_summary_on_disk_names_no_module(tmp_path):
    content = json.loads((newer(tmp_path / "run") / "summary.json").read_text())
    assert all("modules" not in row for row in content["rows"])


def test_a_finished_run_is_loaded_without_its_records(tmp_path):
    summary = profile_summary(in_columns(RECORDS))
    run = ProfileRun.load(lay(tmp_path / "whole", None, summary))
    assert run.records == () and run.row(80.0, "dense")["modules"] == []
    assert run.row(80.0, "litefocus")["share_of_ideal"] and "litefocus" in repr(run)
    with pytest.raises(InputError, match=r"records\.jsonl does not exist"):
        ProfileRun.load(lay(tmp_path / "stopped", None, summary, ended=None))


@pytest.mark.parametrize("version, words", [("0.0.9", "focuslab 0.0.9"), (3, "unknown")])
def test_a_run_that_cannot_be_read_names_its_writer(tmp_path, version, words):
    directory = newer(tmp_path / "run")
    info = json.loads((directory / "run.json").read_text())
    del info["grids"]
    (directory / "run.json").write_text(json.dumps({**info, "versions": {"focuslab": version}}))
    for kind in (ProfileRun, AttentionRun):
        with pytest.raises(InputError, match=words) as refused:
            kind.load(directory)
        assert "\n" not in str(refused.value)
