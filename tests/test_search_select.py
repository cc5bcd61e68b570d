"""focuslab.search.select and .plan_files: records in, a plan out."""

import json
import re
from dataclasses import replace

import pytest

from focuslab.errors import InputError
from focuslab.methods import Plan
from focuslab.search.budget import CLOSER, MARGIN, Budget
from focuslab.search.plan_files import check_plan_path, choose_from_records
from focuslab.search.select import select
from tests.choice_records import (
    ALL_SITES,
    PAPER,
    SITES,
    UNET,
    make_capture,
    make_flops,
    make_pass,
    make_profile,
)

LENGTHS = (10.0, 20.0, 80.0)


def of(selection, seconds, name):
    return selection.predictions[seconds][name]


def test_the_knee_is_chosen_and_the_plan_says_from_where():
    selection = select(make_profile(LENGTHS), make_pass(), make_capture(LENGTHS))
    assert list(selection.points) == list(LENGTHS) and selection.points[80.0].sparse
    entry = selection.plan.entries[-1]
    assert entry.max_seconds is None and set(entry.sites) <= set(SITES)
    assert selection.plan.unet == UNET and selection.plan.model == "made-up"
    made_from = selection.plan.evidence["made_from"]
    assert set(made_from) == {"profile", "capture", "sensitivity pass"}
    json.dumps(selection.summary, allow_nan=False)
    assert Plan.from_json(json.loads(json.dumps(selection.plan.to_json())), "x").entries == selection.plan.entries
    assert selection.notes == ()


def test_the_paper_stands_beside_the_plan_at_its_own_sites():
    selection = select(make_profile(LENGTHS), make_pass())
    for seconds in LENGTHS:
        assert of(selection, seconds, "paper")["methods"] == PAPER
        assert of(selection, seconds, "all sites")["methods"] == ALL_SITES
        assert of(selection, seconds, "dense")["speedup"] == 1


def test_a_budget_may_be_that_of_the_paper():
    profile, measured = make_profile(LENGTHS), make_pass()
    close = select(profile, measured, budget=Budget(min_speedup="paper"))
    fast = select(profile, measured, budget=Budget(max_error="paper"))
    for seconds in (20.0, 80.0):
        paper = of(close, seconds, "paper")
        assert of(close, seconds, "plan")["speedup"] >= MARGIN * paper["speedup"] * (1 - 1e-9)
        within = fast.frontiers[seconds].errors <= CLOSER * paper["error"]
        assert of(fast, seconds, "plan")["error"] <= CLOSER * paper["error"]
        assert of(fast, seconds, "plan")["step_seconds"] == fast.frontiers[seconds].step_seconds[within].min()
    assert of(close, 80.0, "plan")["error"] < of(close, 80.0, "paper")["error"]
    given = {row["seconds"]: row["budget"]["min_speedup"] for row in close.summary["lengths"]}
    assert given[80.0] == pytest.approx(MARGIN * of(close, 80.0, "paper")["speedup"])
    assert close.plan.evidence["asked_for"] == {"max_error": None, "min_speedup": "paper"}


def test_dense_is_as_fast_where_the_paper_does_not_pay():
    # At a tenth of a second every sparse method of these records is slower than dense.
    selection = select(make_profile((0.1,)), make_pass((0.1,)), budget=Budget(min_speedup="paper"))
    assert of(selection, 0.1, "paper")["speedup"] < 1
    assert not selection.points[0.1].sparse and not any(entry.sites for entry in selection.plan.entries)


def test_the_same_records_give_the_same_plan_in_whatever_order():
    profile, measured = make_profile(LENGTHS), make_pass()
    turned = replace(measured, records=measured.records[::-1])
    assert select(profile, measured).plan.fingerprint == select(profile, turned).plan.fingerprint


def test_dense_stands_where_nothing_meets_the_budget():
    profile, measured = make_profile(LENGTHS), make_pass()
    most = {s: f.dense_seconds / f.step_seconds[-1] for s, f in select(profile, measured).frontiers.items()}
    assert most[10.0] < 1.5 < most[80.0]
    chosen = select(profile, measured, budget=Budget(min_speedup=1.5))
    assert not chosen.points[10.0].sparse and chosen.points[80.0].speedup >= 1.5
    nearest = max(most, key=most.get)
    with pytest.raises(InputError, match=rf"is {most[nearest]:.3f} times as fast.*at {nearest:g} s"):
        select(profile, measured, budget=Budget(min_speedup=99))


def test_joint_errors_are_measured_at_and_beside_the_choice():
    selection = select(make_profile(LENGTHS), make_pass(), budget=Budget(min_speedup=2))
    assert len(selection.points[80.0].methods) > 1
    for seconds, choices in selection.to_remeasure().items():
        assert choices[0] == selection.points[seconds].methods
        assert all(len(choice) > 1 for choice in choices) and len(choices) <= 4
    assert set(selection.to_remeasure()) == {s for s, point in selection.points.items() if point.sparse}


def test_lengths_may_be_some_of_the_pass():
    profile, measured = make_profile(LENGTHS), make_pass()
    assert list(select(profile, measured, seconds=[20.0]).points) == [20.0]
    with pytest.raises(InputError, match="no error at 40 s, only at 10, 20, 80: leave this length out"):
        select(profile, measured, seconds=[20.0, 40.0])
    assert "there is no capture" in select(profile, measured).notes[0]
    partly = select(profile, measured, make_capture((10.0,)))
    assert partly.notes == ("nothing was captured at 20, 80 s: lift, recall and local error are not known there",)


def test_a_length_that_was_not_profiled_is_predicted_from_flops():
    measured = make_pass()
    profile = make_profile((10.0, 20.0))
    flops = {80.0: make_flops(80.0)}
    selection = select(profile, measured, flops=flops)
    assert of(selection, 80.0, "paper")["predicted_from_flops"]
    assert not of(selection, 20.0, "paper")["predicted_from_flops"]
    assert any("was not timed at 80 s: predicted from FLOPs" in note for note in selection.notes)
    with pytest.raises(InputError, match="the profile has nothing at 80 s, only at 10, 20: leave this length out"):
        select(profile, measured)


@pytest.mark.parametrize(
    "budget, message",
    [
        ({"max_error": 0.01, "min_speedup": 2.0}, "both given"),
        ({"max_error": "peper"}, "max_error must be a number or 'paper', not 'peper'"),
        (
            {"min_speedup": 1000.0},
            r"no choice is 1000 times as fast as dense: the nearest that exists is \d+\.\d+ times",
        ),
        ({"max_error": 1e-9}, r"no sparse choice has an error of at most 1e-09: the nearest that exists has"),
    ],
)
def test_a_wrong_budget_is_one_line(budget, message):
    with pytest.raises(InputError, match=message) as caught:
        select(make_profile(LENGTHS), make_pass(), budget=Budget(**budget))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model": {"name": "other", "revision": None, "unet_fingerprint": "9"}}, "different models"),
        ({"device": "cuda:0", "machine": {"accelerator": "H100"}}, "different devices"),
        ({"dtype": "float16"}, "different dtypes"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(changes, message):
    parameters = make_pass().info.parameters
    with pytest.raises(InputError, match=message):
        select(make_profile(LENGTHS), make_pass(**changes, parameters=parameters))
    with pytest.raises(InputError, match=message):
        select(make_profile(LENGTHS), make_pass(), make_capture(LENGTHS, **changes))


def test_a_plan_from_records_is_not_replaced_unasked(tmp_path):
    profile, measured, out = make_profile(LENGTHS), make_pass(), tmp_path / "best.json"
    path, selection = choose_from_records(profile, measured, None, seconds=LENGTHS, budget=Budget(), out=out)
    assert Plan.load(path).fingerprint == selection.plan.fingerprint
    summary = json.loads((tmp_path / "best" / "summary.json").read_text())
    assert summary["schema"] == "focuslab/recommendation/1" and summary["proof"] is None
    assert [row["seconds"] for row in summary["choice"]["lengths"]] == list(LENGTHS)
    before = out.read_bytes()
    choose_from_records(profile, measured, None, seconds=LENGTHS, budget=Budget(), out=out)
    assert out.read_bytes() == before
    with pytest.raises(InputError, match=re.escape("best holds another run (it differs in parameters.max_error")):
        choose_from_records(profile, measured, None, seconds=LENGTHS, budget=Budget(max_error=0.01), out=out)
    assert out.read_bytes() == before
    choose_from_records(profile, measured, None, seconds=LENGTHS, budget=Budget(max_error=0.01), out=out, force=True)
    assert Plan.load(out).evidence["asked_for"]["max_error"] == 0.01


def test_the_place_of_a_plan_is_checked(tmp_path):
    with pytest.raises(InputError, match=r"expected a name that ends in \.json, not plan\.txt"):
        check_plan_path("plan.txt", force=False)
    mine = tmp_path / "plan.json"
    mine.write_text("mine")
    with pytest.raises(InputError, match="exists already: give another --out, or --force"):
        check_plan_path(mine, force=False)
    assert check_plan_path(mine, force=True) == mine
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(InputError, match="exists already"):
        check_plan_path(tmp_path / "folder.json", force=True)
