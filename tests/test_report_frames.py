"""Runs in a notebook: as HTML, and as data frames."""

import pytest

from focuslab.errors import InputError
from focuslab.methods import Plan
from focuslab.results import AttentionRun, EvaluationRun, ProfileRun, ValidationRun
from tests import report_runs
from tests.test_report_page import Reader


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = report_runs.write_all(tmp_path_factory.mktemp("frames"))
    return {
        "profile": ProfileRun.load(root / "profile"),
        "capture": AttentionRun.load(root / "capture"),
        "evaluation": EvaluationRun.load(root / "evaluation"),
        "proof": ValidationRun.load(root / "plan/plan/proof"),
        "plan": Plan.load(root / "plan/plan.json"),
    }


@pytest.mark.parametrize("name", ["profile", "capture", "evaluation", "proof", "plan"])
def test_html_of_a_run_has_the_numbers_of_its_repr(runs, name):
    html = runs[name]._repr_html_()
    reader = Reader("<main>" + html.replace("<table>", '<table aria-labelledby="x">') + "</main>")
    assert reader.of("table") and not reader.of("script") and not reader.of("style")
    text = " ".join("".join(reader.text).split())
    shown = repr(runs[name])
    if name != "plan":
        for line in shown.splitlines()[4:8]:
            assert line.split()[1] in text
    assert len(shown) > 20


def test_text_in_it_is_text(runs):
    summary = runs["profile"].summary
    row = {**summary["rows"][0], "method": "<script>alert(1)</script>"}
    html = ProfileRun(runs["profile"].info, {**summary, "rows": [row]})._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html


def test_frames_hold_every_number_of_the_rows(runs):
    profile = runs["profile"].to_pandas()
    assert len(profile) == len(runs["profile"].rows)
    row = runs["profile"].row(80.0, "litefocus")
    own = profile[(profile.seconds == 80.0) & (profile.method == "litefocus")].iloc[0]
    assert own.step_seconds_median == row["step_seconds_median"]
    assert own["kind_share.self_attention"] == row["kind_share"]["self_attention"]
    assert "modules" not in profile and "step_seconds" not in profile
    blocks, sites = (runs["capture"].to_pandas(of) for of in ("blocks", "sites"))
    assert len(blocks) == 10 and len(sites) == 20 and blocks.lift.notna().all() and "recall.0.1" in blocks
    with pytest.raises(InputError, match="blocks and of sites"):
        runs["capture"].to_pandas("heads")
    evaluation = runs["evaluation"].to_pandas()
    assert evaluation["metrics.frechet.value"].tolist() == [
        row["metrics"]["frechet"]["value"] for row in runs["evaluation"].rows
    ]
    plan = runs["plan"].to_pandas()
    assert len(plan) == 1 + len(runs["plan"].entries[1].sites) and plan.site.isna().sum() == 1
    assert runs["proof"].to_pandas().speedup_vs_dense.notna().all()
