"""focuslab.search.plan_builder and .summary: a plan for every length, and all there is to say of it."""

import json

import numpy as np
import pytest

from focuslab.errors import InputError
from focuslab.methods import Plan
from focuslab.search.budget import Budget
from focuslab.search.cost_model import CostModel
from focuslab.search.error_model import ErrorModel
from focuslab.search.frontier import WORTH, frontier
from focuslab.search.plan_builder import boundaries, crossover, crossover_in_words, made_from, plan_of
from focuslab.search.summary import DRAWN, choice_evidence, choice_summary
from tests.choice_records import (
    ALL_SITES,
    BLOCKS,
    LIFTS,
    METHODS,
    PAPER,
    SITES,
    candidate,
    choose_each,
    labels,
    make_capture,
    make_frontiers,
    make_info,
    make_joint,
    make_profile,
    make_sensitivity,
    predict,
    site_names,
)

UNET = {
    "frame_seconds": 0.01,
    "frames_per_latent": 4,
    "latent_mel_rows": 16,
    "sites": {f"{g}.site": {"mel_rows": 8, "heads": 2, "head_width": 32} for g in ("a", "b")}
    | {site: {"mel_rows": BLOCKS[block][0], "heads": 2, "head_width": 32} for site, block in SITES.items()},
}
LONG = "litefocus:cross_fraction=0.02:cross_weight=unbiased"


def frontiers_of(saved: dict[float, float], error: float = 0.1) -> dict:
    """One group with one option, which saves so much of 10 s at each length."""
    return {
        seconds: frontier([candidate("a", LONG, value, error), candidate("b", "tome", 0.5, 5.0)], 10.0, ErrorModel())
        for seconds, value in saved.items()
    }


def test_a_plan_has_an_entry_for_each_length():
    frontiers = frontiers_of({10.0: 3.0, 20.0: 4.0, 80.0: 5.0})
    points = {10.0: predict(frontiers[10.0], {"a": LONG}), 20.0: predict(frontiers[20.0], {"a": LONG, "b": "tome"})}
    points[80.0] = predict(frontiers[80.0], {"b": "tome"})
    plan = plan_of(points, frontiers, model="made-up", unet=UNET, evidence={"why": 1})
    assert [(e.min_seconds, e.max_seconds) for e in plan.entries] == [
        (0, 10.0),
        (10.0, 14.1),
        (14.1, 40.0),
        (40.0, None),
    ]
    assert [e.sites for e in plan.entries] == [
        {},
        {"a.site": {"method": "litefocus", "cross_fraction": 0.02, "cross_weight": "unbiased"}},
        {
            "a.site": {"method": "litefocus", "cross_fraction": 0.02, "cross_weight": "unbiased"},
            "b.site": {"method": "tome"},
        },
        {"b.site": {"method": "tome"}},
    ]
    assert plan.evidence == {"why": 1} and plan.model == "made-up"
    assert Plan.from_json(json.loads(json.dumps(plan.to_json())), "here") == Plan.of(plan)


def test_entries_that_do_the_same_are_one():
    frontiers = frontiers_of({10.0: 0.0, 20.0: 4.0, 40.0: 4.0, 80.0: 5.0})
    plan = plan_of(choose_each(frontiers, min_speedup=1.2), frontiers, model="made-up", unet=UNET)
    assert len(plan.entries) == 2 and plan.entries[1].max_seconds is None


def test_below_the_shortest_measured_length_the_plan_is_dense():
    frontiers = frontiers_of({20.0: 4.0})
    plan = plan_of(choose_each(frontiers, max_error=1), frontiers, model="made-up", unet=UNET)
    assert [(e.min_seconds, e.max_seconds, bool(e.sites)) for e in plan.entries] == [
        (0, 20.0, False),
        (20.0, None, True),
    ]
    assert crossover_in_words(choose_each(frontiers, max_error=1), frontiers).startswith(
        "Sparse pays at every measured"
    )


def test_sparse_begins_where_its_choice_begins_to_pay():
    # 10 / (10 + 1) = 0.909 times as fast at 10 s and 1.25 times at 20 s: it crosses in between.
    frontiers = frontiers_of({10.0: -1.0, 20.0: 2.0, 40.0: 4.0})
    points = choose_each(frontiers, max_error=1)
    share = (WORTH - 10 / 11) / (1.25 - 10 / 11)
    assert crossover(points, frontiers) == pytest.approx(10 * 2**share, abs=0.05)
    assert list(boundaries(points, frontiers).values()) == [10.0, 20.0, 40.0]
    words = crossover_in_words(points, frontiers)
    assert words == f"Sparse pays from {crossover(points, frontiers):g} s on (between the measured 10 and 20 s)."
    plan = plan_of(points, frontiers, model="made-up", unet=UNET)
    assert plan.entries[1].min_seconds == crossover(points, frontiers)


def test_sparse_ends_where_its_choice_ceases_to_pay():
    frontiers = frontiers_of({10.0: 2.0, 20.0: -1.0})
    points = choose_each(frontiers, max_error=1)
    share = (WORTH - 10 / 11) / (1.25 - 10 / 11)
    assert list(boundaries(points, frontiers)) == [10.0, pytest.approx(10 * 2 ** (1 - share), abs=0.05)]
    assert crossover(points, frontiers) is None
    assert "no length from which on sparse pays" in crossover_in_words(points, frontiers)


def test_a_length_dense_for_its_error_ends_half_way():
    frontiers = frontiers_of({10.0: 4.0}, error=2.0) | frontiers_of({40.0: 4.0})
    points = choose_each(frontiers, max_error=1)
    assert [p.sparse for p in points.values()] == [False, True]
    assert list(boundaries(points, frontiers)) == [10.0, 20.0]
    words = "Sparse from 20 s on (half way between the measured 10 and 40 s); at 10 s nothing that is worth it fits"
    assert crossover_in_words(points, frontiers).startswith(words)


def test_a_length_lacking_the_candidate_pays_as_its_own_choice():
    frontiers = frontiers_of({20.0: 2.0})
    frontiers[10.0] = frontier([candidate("a", "tome", -1, 0.1), candidate("b", "tome", 0, 5.0)], 10.0, ErrorModel())
    points = choose_each(frontiers, max_error=1)
    assert crossover(points, frontiers) == pytest.approx(10 * 2 ** (0.02 / 0.25), abs=0.05)


def test_a_boundary_lies_between_the_lengths_it_parts():
    for near in (10.05, 10.1, 10.3):
        frontiers = frontiers_of({10.0: 0.15, near: 0.3, 20.0: 4.0})
        points = choose_each(frontiers, max_error=1)
        starts = list(boundaries(points, frontiers))
        assert starts[0] == 10.0 < starts[1] <= near < starts[2] <= 20.0
    with pytest.raises(InputError, match="no measured length"):
        boundaries({}, {})


@pytest.fixture(scope="module")
def records():
    profile, attention, passes = make_profile(), make_capture(), make_sensitivity()
    passes += [r for seconds in (20.0, 80.0) for choice in (PAPER, ALL_SITES) for r in make_joint(seconds, choice)]
    cost = CostModel(profile)
    return cost, attention, make_frontiers(cost, passes, attention)


def summary_of(records, **budget):
    cost, attention, frontiers = records
    points = choose_each(frontiers, **budget)
    marks = {"paper": {s: predict(f, PAPER) for s, f in frontiers.items()}}
    return points, choice_summary(points, frontiers, marks, cost, attention, budget=Budget(**budget))


def test_the_summary_has_what_was_chosen_beside_what_there_was(records):
    points, summary = summary_of(records, max_error=0.01)
    assert json.loads(json.dumps(summary)) == summary and summary["budget"] == {"max_error": 0.01, "min_speedup": None}
    assert [row["seconds"] for row in summary["lengths"]] == [10.0, 20.0, 40.0, 80.0]
    for row in summary["lengths"]:
        point, shown = points[row["seconds"]], row["points"]
        assert list(shown) == ["plan", "paper", "dense"]
        assert shown["plan"]["speedup"] == point.speedup and shown["plan"]["methods"] == labels(point.methods)
        assert shown["dense"]["step_seconds"] == row["dense_step_seconds"] and shown["dense"]["error"] == 0
        assert shown["plan"]["error_low"] <= shown["plan"]["error"] <= shown["plan"]["error_high"]
        assert [shown["plan"]["step_seconds"], shown["plan"]["error"]] in row["frontier"]
        assert [g["group"] for g in row["groups"]] == sorted(BLOCKS)
        assert {g["group"] for g in row["groups"] if g["taken"]} == set(point.methods)
    assert summary["combination"]["runs"] == 4 and summary["combination"]["exponent"] == pytest.approx(2, rel=0.01)
    assert summary["crossover_seconds"] is not None and summary["crossover"].startswith("Sparse pays from")


def test_the_frontier_stands_beside_the_papers_choice(records):
    _, summary = summary_of(records, max_error=0.01)
    for row in summary["lengths"]:
        paper, found = row["points"]["paper"], row["against_paper"]
        within = [seconds for seconds, error in row["frontier"] if error <= paper["error"]]
        as_fast = [error for seconds, error in row["frontier"] if seconds <= paper["step_seconds"]]
        assert found["step_seconds_at_its_error"] == pytest.approx(min(within) / paper["step_seconds"])
        assert found["error_at_its_speed"] == pytest.approx(min(as_fast) / paper["error"])
        assert found["step_seconds_at_its_error"] <= 1 and found["error_at_its_speed"] <= 1


def test_density_is_asked_for_each_choice(records):
    cost, attention, frontiers = records
    points = choose_each(frontiers, max_error=0.01)
    asked = []

    def density(seconds, methods):
        asked.append((seconds, set(methods)))
        return 1 - len(methods) / 100

    summary = choice_summary(points, frontiers, {}, cost, attention, density=density)
    for row in summary["lengths"]:
        sites = set(points[row["seconds"]].site_methods)
        assert (row["seconds"], sites) in asked
        assert row["points"]["plan"]["density"] == 1 - len(sites) / 100
        assert row["points"]["dense"]["density"] == 1


def test_every_site_has_its_lift_and_saving(records):
    points, summary = summary_of(records, max_error=0.01)
    last = summary["lengths"][-1]
    assert [row["name"] for row in last["sites"]] == list(SITES)
    assert last["gain_method"] in METHODS
    for row in last["sites"]:
        assert row["block"] == SITES[row["name"]] and row["mel_rows"] == BLOCKS[row["block"]][0]
        assert LIFTS[row["block"]] <= row["lift"] and row["saved_seconds"] is not None
        assert row["method"] == labels(points[80.0].methods).get(row["block"])
    lacking = choice_summary(points, records[2], {}, records[0])
    assert {row["lift"] for row in lacking["lengths"][0]["sites"]} == {None}


def test_the_plan_keeps_the_evidence_but_not_what_is_drawn(records):
    _, attention, frontiers = records
    points, summary = summary_of(records, max_error=0.01)
    sources = made_from({"profile": make_info(), "capture": attention.info, "sensitivity pass": None})
    evidence = {"choice": choice_evidence(summary), "made_from": sources}
    plan = plan_of(points, frontiers, model="made-up", unet=UNET, evidence=evidence)
    kept = json.loads(json.dumps(plan.to_json()))["evidence"]
    assert "frontier" not in kept["choice"]["lengths"][0] and "frontier" in summary["lengths"][0]
    assert kept["choice"]["lengths"][3]["groups"][0].keys() & kept["choice"]["sources"].keys() >= {"error", "lift"}
    assert kept["choice"]["lengths"][3]["points"]["plan"]["error"] == points[80.0].error
    assert list(kept["made_from"]) == ["profile", "capture"] and kept["made_from"]["profile"]["dtype"] == "float32"
    assert plan.entries[-1].sites.keys() == {s for group in points[80.0].methods for s in site_names(group)}


def reasons(summary, seconds):
    row = next(row for row in summary["lengths"] if row["seconds"] == seconds)
    return {group["group"]: group["reason"] for group in row["groups"]}


def test_reasons_are_of_the_group_and_the_budget(records):
    _, fast = summary_of(records, min_speedup=2.0)
    most = records[2][20.0].dense_seconds / records[2][20.0].step_seconds[-1]
    assert most < 2 and f"at most {most:.2f} times" in reasons(fast, 20.0)["up_blocks.2"]
    assert len(set(reasons(fast, 80.0).values())) > 1
    cost = CostModel(make_profile((80.0,)))
    slight = frontier([candidate("a", LONG, 0.1, 0.1), candidate("b", "tome", 0.0, 5.0)], 10.0, ErrorModel())
    row = choice_summary({80.0: slight.dense}, {80.0: slight}, {}, cost)["lengths"][0]
    assert [group["reason"] for group in row["groups"]] == [
        "all dense: at most 1.010 times as fast at this length, which does not pay",
        "no candidate saves time here: tome would add 0 % to a step",
    ]


def test_a_group_without_sparse_candidates_says_so():
    points = frontier([candidate("a", "dense", 0, 0), candidate("b", "tome", 1.0, 0.1)], 10.0, ErrorModel())
    cost = CostModel(make_profile((80.0,), methods=("tome",)))
    row = choice_summary({80.0: points[1]}, {80.0: points}, {}, cost)["lengths"][0]["groups"][0]
    assert (row["method"], row["saved_seconds"], row["verdict"]) == (None, None, "dense")
    assert row["reason"] == "nothing sparse was measured here"


def test_a_long_frontier_is_thinned_for_drawing_alone():
    rng = np.random.default_rng(0)
    candidates = [
        candidate(f"g{g}", f"m{m}", saved, error)
        for g in range(5)
        for m, (saved, error) in enumerate(np.sort(rng.random((2, 20)), axis=1).T.tolist())
    ]
    points = frontier(candidates, 10.0, ErrorModel())
    assert len(points) > DRAWN
    drawn = choice_summary({80.0: points[7]}, {80.0: points}, {}, CostModel(make_profile((80.0,))))
    drawn = drawn["lengths"][0]["frontier"]
    assert len(drawn) == DRAWN
    assert drawn[0] == [points.step_seconds[0], points.errors[0]] and drawn[-1] == [
        points.step_seconds[-1],
        points.errors[-1],
    ]


def test_runs_are_described_without_paths():
    assert made_from({"profile": make_info(), "capture": None})["profile"]["machine"] == {
        "processor": "none",
        "threads": 1,
    }
