"""The sentences of reports/results.md on cost, attention and plans: each number is made again from a committed row."""

import json
import re

import pytest

from tests.test_reports import REPORTS

LENGTHS = (10.0, 20.0, 40.0, 80.0)


def section(title):
    """The text below a heading, with one space wherever there is any."""
    return re.sub(r"\s+", " ", (REPORTS / "results.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0])


def summary(path):
    return json.loads((REPORTS / path / "summary.json").read_text())


def by_method(path):
    return {(row["seconds"], row["method"]): row for row in summary(path)["rows"]}


@pytest.fixture(scope="module")
def cost():
    found = {}
    for seconds in (10, 20, 40, 80, 160):
        found |= by_method(f"01_cost_against_length/{seconds:03d}s")
    return found


@pytest.fixture(scope="module")
def plans():
    names = ("plan", "as-fast-as-paper", "as-close-as-paper")
    return {name: by_method(f"03_block_selection/{name}/proof") for name in names}


def test_the_sentences_on_cost(cost):
    said, lite = section("Time against length"), "litefocus"
    shares = [100 * row["share_of_ideal"] for (_, method), row in cost.items() if method == lite]
    assert f"{min(shares):.0f} to {max(shares):.0f} % of its ideal" in said
    published = cost[80.0, "published-unfused"]["step_seconds_median"] / cost[80.0, lite]["step_seconds_median"]
    assert f"{published:.1f}x as fast as the formula of the published code" in said
    memory = [row["peak_bytes"] / cost[s, "dense"]["peak_bytes"] for (s, method), row in cost.items() if method == lite]
    assert f"at most {max(memory):.2f}x of dense's" in said
    weight = "litefocus:cross_weight=unbiased"
    over = {s: cost[s, weight]["step_seconds_median"] / cost[s, lite]["step_seconds_median"] for s in LENGTHS}
    assert f"which was {over[40.0]:.2f}x at 40 s" in said
    assert f"{over[10.0]:.2f}x, {over[20.0]:.2f}x and {over[80.0]:.2f}x at 10, 20 and 80 s" in said


def test_the_sentences_on_attention():
    said = section("Where attention goes")
    blocks = {}
    for row in summary("02_attention_patterns/statistics")["blocks"]:
        blocks.setdefault(row["name"], []).append(row)
    for name, words in (
        ("down_blocks.1", "gives {mass} of its attention to its own mel row. That is {low} to {high} times chance"),
        ("up_blocks.2", "gives {mass}, which is {low} to {high} times chance"),
    ):
        lifts, rows = [row["lift"] for row in blocks[name]], blocks[name]
        masses = [100 * row["same_frequency_mass"] for row in rows]
        mass = f"{min(masses):.0f} to {max(masses):.0f} %"
        assert words.format(mass=mass, low=f"{min(lifts):.1f}", high=f"{max(lifts):.1f}") in said
        assert sorted(row["seconds"] for row in rows) == list(LENGTHS)
        del blocks[name]
    others = max(row["lift"] for rows in blocks.values() for row in rows)
    assert f"at most {others:.2f} times chance" in said


def test_the_sentences_on_the_cost_of_capturing():
    said = section("Where attention goes")
    costs = json.loads((REPORTS / "02_attention_patterns/bars.json").read_text())["costs"]
    over = {name: cost["recorded_step_over_plain"] for name, cost in costs.items()}
    memory = costs["three"]["peak_bytes"] / costs["three"]["plain_peak_bytes"]
    assert f"takes {over['three']:.2f} times a plain one, at {memory:.2f} times its peak memory" in said
    assert f"A step with mass alone takes {over['mass']:.2f} times" in said
    assert f"projected at {1 + 5 * (over['all'] - 1) / 200:.3f} times" in said


def test_the_sentences_on_the_plans(plans):
    said = section("What to make sparse")

    def against_paper(name, seconds):
        plan, paper = (plans[name][seconds, method] for method in ("plan", "paper"))
        return plan["speedup_vs_dense"] / paper["speedup_vs_dense"], plan["error"] / paper["error"]

    close = {s: against_paper("as-close-as-paper", s) for s in (40.0, 80.0)}
    assert "at 80 s the plan was {:.2f} times as fast as the paper's choice with {:.2f} of".format(*close[80.0]) in said
    assert "At 40 s it was {:.2f} times as fast with {:.2f} of".format(*close[40.0]) in said
    speeds, errors = zip(*(against_paper("as-fast-as-paper", s) for s in (20.0, 40.0, 80.0)), strict=True)
    assert "the plan had {:.3f}, {:.3f} and {:.3f} times the speed of the paper's choice".format(*speeds) in said
    assert "with {:.2f}, {:.2f} and {:.2f} of its error".format(*errors) in said
    slower = [100 * plans[name][20.0, "plan"]["time_off"] for name in plans]
    assert f"{min(slower):.0f} to {max(slower):.0f} % slower at 20 s than predicted" in said


def test_the_seconds_of_the_sensitivity_pass():
    from tests.test_analyses import analysis

    with analysis("03_block_selection") as script:
        spent = script.pass_seconds(REPORTS / "03_block_selection")
    assert f"sensitivity pass at 80 s took {spent[80.0]:.0f} s" in section("What to make sparse")


def test_the_sentences_on_the_plan_are_in_what_the_plan_itself_says(plans):
    """The plan's file has the same rows as its validation."""
    plan = json.loads((REPORTS / "03_block_selection/plan.json").read_text())
    rows = {(row["seconds"], row["method"]): row for row in plan["evidence"]["measured"]["rows"]}
    assert rows.keys() == plans["plan"].keys()
    assert all(rows[key]["error"] == plans["plan"][key]["error"] for key in rows)
