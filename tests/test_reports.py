"""What is committed under reports/: how large it is, and that every number in the texts stands in it."""

import csv
import json
import re
import subprocess
from pathlib import Path

import pytest

from focuslab.report.html.sources import find
from tests.test_analyses import analysis

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "reports"
with analysis("reports_index") as made:
    WHAT, index, tracked = made.WHAT, made.index, made.tracked

COST = {
    "LiteFocus": "litefocus",
    "unbiased weight": "litefocus:cross_weight=unbiased",
    "own row only": "same-frequency",
    "Token Merging": "tome",
    "eager": "naive",
    "bound": "bound",
}
PLAN = "plan:reports/03_block_selection/plan.json"
SCORED = {
    "LiteFocus as in the paper: r = 0.1, weight 1": ("04_table1", "litefocus"),
    "LiteFocus, unbiased weight": ("04_table1", "litefocus:cross_weight=unbiased"),
    "own mel row only (the paper's S)": ("06_table3", "same-frequency"),
    "sampled keys only, r = 0.2 (the paper's C)": ("05_table2", "cross-frequency:cross_fraction=0.2"),
    "Token Merging": ("04_table1", "tome"),
    "the plan above": ("04_table1", PLAN),
    "r = 0.1, weight 1": ("07_weight_and_length", "litefocus"),
    "r = 0.1, weight 3.16": ("07_weight_and_length", "litefocus:cross_weight=3.16"),
    "r = 0.1, unbiased": ("07_weight_and_length", "litefocus:cross_weight=unbiased"),
    "r = 0.02, weight 1": ("07_weight_and_length", "litefocus:cross_fraction=0.02"),
    "r = 0.02, weight 7.07": ("07_weight_and_length", "litefocus:cross_fraction=0.02:cross_weight=7.07"),
    "r = 0.02, unbiased": ("07_weight_and_length", "litefocus:cross_fraction=0.02:cross_weight=unbiased"),
    "dense, scores scaled with the length": ("07_weight_and_length", "length-scale"),
    "r = 0.1, unbiased, scaled": (
        "07_weight_and_length",
        "litefocus:cross_weight=unbiased:length_scale=true",
    ),
}


def sizes():
    try:
        return tracked()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")


def rows_with(path, header):
    """The rows, as lists of (column, cell), of all tables of a text that have this column."""
    rows, columns = [], None
    for line in path.read_text().splitlines():
        cells = [cell.strip() for cell in line[1:-1].split("|")] if line.startswith("|") else None
        if cells is None:
            columns = None
        elif columns is None:
            columns = cells
        elif header in columns and set(cells[0]) - set(":-"):
            rows.append(list(zip(columns, cells, strict=True)))
    return rows


def test_the_tree_and_the_reports_are_light():
    of = sizes()
    assert sum(of.values()) <= 40e6
    assert sum(size for name, size in of.items() if name.startswith("reports/")) <= 13e6


def test_the_index_of_the_reports_is_current():
    of = sizes()
    folders = {name.split("/")[1] for name in of if name.startswith("reports/") and name.count("/") > 1}
    assert folders <= WHAT.keys()
    assert (REPORTS / "README.md").read_text() == index(), "run python analyses/reports_index.py"


def test_the_methods_of_the_readme_are_those_of_the_catalogue():
    readme = (ROOT / "README.md").read_text()
    assert made.with_methods_table(readme) == readme, "run python analyses/reports_index.py"


def test_pictures_stand_only_where_a_text_shows_them():
    texts = [path.read_text() for path in (ROOT / "README.md", REPORTS / "results.md")]
    pictures = [name for name in sizes() if name.startswith("reports/") and name.endswith(".png")]
    assert pictures
    for name in pictures:
        assert any(name.removeprefix("reports/") in text for text in texts), name


def test_the_table_of_cost_is_in_the_profiles():
    rows = rows_with(ROOT / "README.md", "its ideal (share reached)")
    assert len(rows) == 5
    for row in map(dict, rows):
        seconds = int(row["length"].removesuffix(" s"))
        summary = json.loads((REPORTS / f"01_cost_against_length/{seconds:03d}s/summary.json").read_text())
        measured = {r["method"]: r for r in summary["rows"]}
        dense, paper = measured["dense"]["step_seconds_median"], measured["litefocus"]
        assert row["dense"] == f"{dense:.1f} s"
        ideal = f"{dense / paper['ideal_seconds']:.2f}x ({100 * paper['share_of_ideal']:.0f} %)"
        assert row["its ideal (share reached)"] == ideal
        for column, method in COST.items():
            if row[column]:
                assert row[column] == f"{measured[method]['speedup_vs_dense']:.2f}x", (seconds, column)


def test_the_table_of_the_plan_is_in_its_validation():
    summary = json.loads((REPORTS / "03_block_selection/plan/proof/summary.json").read_text())
    measured = {(r["seconds"], r["method"]): r for r in summary["rows"]}
    rows = rows_with(REPORTS / "results.md", "paper's choice")
    assert len(rows) == 4
    for row in rows:
        cells = [cell for _, cell in row]
        seconds = float(cells[0].removesuffix(" s"))
        expected = [f"{measured[seconds, 'dense']['step_seconds_median']:.2f} s"]
        for method in ("plan", "paper"):
            found = measured[seconds, method]
            expected += [
                f"{found['speedup_vs_dense']:.2f}x",
                f"{100 * found['error']:.1f} %",
                f"{found['log_mel_l1']:.2f}",
            ]
        assert cells[1:] == expected


@pytest.fixture(scope="module")
def scores():
    """scores[table, method, metric] -> {seconds: row of its table.csv}."""
    found = {}
    for table in {table for table, _ in SCORED.values()}:
        with open(REPORTS / table / "table.csv", newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault((table, row["method"], row["metric"]), {})[float(row["seconds"])] = row
    return found


def test_the_tables_of_the_sound_are_in_the_evaluations(scores):
    rows = rows_with(REPORTS / "results.md", "CLAP score, 10 s")
    assert len(rows) == len(SCORED)
    for row in map(dict, rows):
        table, method = SCORED[row["method"]]
        of = {metric: scores[table, method, metric] for metric in ("clap", "log_mel_l1", "speedup_vs_dense")}
        for seconds in (10, 20, 40, 80):
            clap = [100 * float(of["clap"][seconds][f"minus_dense{end}"]) for end in ("", "_low", "_high")]
            assert numbers(row[f"CLAP score, {seconds} s"]) == pytest.approx(clap, abs=0.0501), (method, seconds)
        for column, metric in (("log-mel L1", "log_mel_l1"), ("denoising", "speedup_vs_dense")):
            values = [float(of[metric][seconds]["value"]) for seconds in (10, 20, 40, 80)]
            assert numbers(row[column].replace("x", "")) == pytest.approx(values, abs=0.00501), (method, column)


def numbers(cell):
    return [float(number) for number in re.findall(r"[+-]?\d+\.\d+", cell)]


def test_all_runs_are_read_without_a_gap():
    found = find([REPORTS])
    # One that an analysis is making just now has no summary yet.
    assert [gap for gap in found.gaps if "was not finished" not in gap] == []
    assert [gap for run in found.runs for gap in run.gaps] == []
    assert {"profile", "attention"} <= {run.kind for run in found.runs}
