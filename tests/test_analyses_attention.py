"""analyses/02_attention_patterns.py: it writes what it says, and marks promises as met or missed."""

import re

import pytest
from click.testing import CliRunner

import focuslab
from focuslab.attention.grid import Grid
from tests.test_analyses import analysis


@pytest.fixture(scope="module")
def patterns():
    with analysis("02_attention_patterns") as module:
        yield module


@pytest.mark.slow
def test_everything_is_written(patterns, tmp_path):
    arguments = ["--model", "random:tiny", "--out", str(tmp_path), "--prompts", "1", "--seconds", "1.28,2.56"]
    arguments += ["--steps", "2"]
    done = CliRunner().invoke(patterns.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0 and "| 2.56 | `mid_block` |" in done.output
    assert "`mid_block`" in (tmp_path / "table.md").read_text()
    figures = {path.stem for path in tmp_path.glob("*.svg")}
    assert figures == {"figure2", "lift", "rows", "lag", "fractions", "lengths"}
    maps = focuslab.AttentionRun.load(tmp_path / "maps")
    sites = {name.split("/")[5] for name in maps.arrays}
    blocks = {site["block"] for site in maps.info.parameters["sites"]}
    assert len(sites) == len(blocks) == 7
    assert {name.split("/")[3] for name in maps.arrays} == {"1"} and {n.split("/")[1] for n in maps.arrays} == {"0"}
    readme = (tmp_path / "README.md").read_text()
    assert "--model random:tiny" in readme and "Prompts: falling rain." in readme
    for name in figures:
        assert f"`{name}`" in readme


@pytest.mark.slow
def test_bars_are_measured_and_written(patterns, tmp_path, monkeypatch):
    monkeypatch.setattr(patterns, "BARS_MODEL", "random:tiny")
    monkeypatch.setattr(patterns, "BARS_SECONDS", 1.28)
    monkeypatch.setattr(patterns, "BARS_STEPS", 4)
    capture = patterns.capture
    short = {"steps": 2, "seconds": (1.28,)}
    monkeypatch.setattr(patterns, "capture", lambda pipe, out, **request: capture(pipe, out, **short | request))
    done = CliRunner().invoke(patterns.main, ["--bars", "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    bars = (tmp_path / "targets.md").read_text()
    assert len(re.findall(r"\| (met|missed) \|", bars)) == 8 and bars.startswith("Made by")
    mass = focuslab.AttentionRun.load(tmp_path / "bars" / "mass")
    assert mass.info.parameters["capture_steps"] == [1, 3] and mass.info.parameters["statistics"] == ["mass"]


def test_promises_are_marked_met_or_missed(patterns):
    def cost(ratio, peak=105):
        return {"recorded_step_over_plain": ratio, "peak_bytes": peak, "plain_peak_bytes": 100}

    costs = {"three": cost(1.36), "mass": cost(1.1), "all": cost(3.0), "default": cost(3.2)}
    table = patterns.targets_markdown(costs, 3_000_000, {"recall": 2e-7, "entropy": 3e-5})
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines() if line.startswith("| ")}
    at = "at 80 s"
    assert lines[f"a step {at} with mass, recall and output error at one r, over a plain step"].endswith(
        "at most 1.35 | 1.360 | missed |"
    )
    assert lines[f"a step {at} with mass alone, over a plain step"].endswith("at most 1.12 | 1.100 | met |")
    assert lines[f"peak memory {at}, recording over plain"].endswith("at most 1.1 | 1.050 | met |")
    projected = lines[f"200 steps {at}, 5 of them with every statistic, over plain"]
    assert projected.endswith("at most 1.05 | 1.050 | met |")  # 1 + 5 * (3 - 1) / 200
    assert lines["recall, largest difference to float64 brute force"].endswith("at most 1e-05 | 2.0e-07 | met |")
    assert lines["entropy, largest difference to float64 brute force"].endswith("at most 1e-05 | 3.0e-05 | missed |")
    assert lines["a default capture on disk, MB"].endswith("at most 20 | 3.000 | met |")
    assert "takes 3.00 times a plain one" in table


def test_differences_to_brute_force_are_small_and_measured(patterns):
    differences = patterns.brute_force_difference(time=12, mel_rows=4)
    assert differences.keys() == {"same-frequency mass", "recall", "entropy"}
    assert all(0 < value < 1e-5 for value in differences.values())


def test_crops_begin_at_a_time_step_in_the_middle_and_fit(patterns):
    assert patterns.crop_in_the_middle("site", Grid(125, 8)) == "site:496-559"
    assert patterns.crop_in_the_middle("site", Grid(20, 4)) == "site:16-79"
    assert patterns.crop_in_the_middle("site", Grid(16, 2)) == "site:0-31"
