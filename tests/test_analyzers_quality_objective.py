"""What is best in quality at each length, by an evaluation."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focuslab.analyzers.quality_objective import Measured, best_in_quality, measured, of_method, sure_sign
from focuslab.errors import InputError
from tests.evaluation_records import SPEED, VALUES, summary


def test_the_best_wins_where_the_intervals_say_so():
    chosen = best_in_quality(summary())
    assert list(chosen) == [10.0, 40.0]
    choice = chosen[40.0]
    assert (choice.method, choice.metric, choice.better, choice.decided_by) == (
        "litefocus",
        "kernel",
        "lower",
        "quality",
    )
    assert choice.quality.value == pytest.approx(0.31) and choice.minus_dense.value == pytest.approx(-0.1)
    assert choice.distance.value == pytest.approx(0.32) and choice.speedup == 1.5
    assert choice.beats_dense is True and choice.equals == () and choice.worse_in == ()
    assert choice.in_words() == (
        "At 40 s litefocus, by quality (kernel 0.31, surely better than dense), at 1.50 times dense's speed."
    )
    assert json.loads(json.dumps(choice.to_json()))["quality"]["low"] == pytest.approx(0.31 * 0.95)


def test_of_what_the_intervals_do_not_tell_apart_the_fastest_is_taken():
    choice = best_in_quality(summary(width=0.9, speed={**SPEED, "tome": 1.8}))[10.0]
    assert choice.method == "tome" and choice.decided_by == "speed"
    assert set(choice.equals) == {"dense", "litefocus"} and choice.beats_dense is None
    assert "among 3 that kernel does not tell apart" in choice.in_words()
    level = best_in_quality(summary(width=0.9, speed=dict.fromkeys(SPEED, 1.0)))[10.0]
    assert level.method == "dense"


def test_higher_is_better_for_some():
    choice = best_in_quality(summary(), metric="clap")[10.0]
    assert (choice.method, choice.better, choice.beats_dense) == ("litefocus", "higher", True)
    worst = best_in_quality(summary(), ["dense", "tome"], metric="clap")[10.0]
    assert worst.method == "dense" and worst.beats_dense is None and worst.minus_dense is None


def test_candidates_by_length_and_speed_limits():
    found = best_in_quality(summary(), {10.0: ["dense", "tome"], 40.0: ["litefocus"]})
    assert {s: c.method for s, c in found.items()} == {10.0: "dense", 40.0: "litefocus"}
    assert list(best_in_quality(summary(), {40.0: ["tome"]})) == [40.0]
    assert best_in_quality(summary(), ["dense", "tome"], min_speedup=1.2)[10.0].method == "tome"
    # Where nothing is that fast, what there is.
    assert best_in_quality(summary(), ["dense", "tome"], min_speedup=9)[10.0].method == "dense"


def test_metrics_in_which_it_is_surely_worse_are_named():
    values = {m: dict(v) for m, v in VALUES.items()}
    values["litefocus"]["clap"] = 0.10
    choice = best_in_quality(summary(values=values))[10.0]
    assert choice.method == "litefocus" and choice.worse_in == ("clap",)


def test_distance_to_dense_is_no_quality():
    against_dense = summary(frechet={"reference": "dense"}, kernel={"reference": "dense"})
    assert best_in_quality(against_dense)[10.0].metric == "kl_softmax"
    for metric in ("kernel", "log_mel_l1", "nothing"):
        with pytest.raises(InputError, match="no aim of quality.*kl_softmax, clap"):
            best_in_quality(against_dense, metric=metric)
    only = {m: {"log_mel_l1": 0.3} for m in ("dense", "litefocus")}
    with pytest.raises(InputError, match="--metrics clap"):
        best_in_quality(summary(values=only))


def test_wrong_input_is_one_line():
    for wrong, message in (
        (lambda: best_in_quality({"schema": "focuslab/profile/1"}), "summary of an evaluation"),
        (lambda: best_in_quality(summary(), ["litefocs"]), "no method 'litefocs', only dense, litefocus, tome"),
        (lambda: best_in_quality(summary(), {15.0: ["dense"]}), "none of the candidates has a kernel"),
        (lambda: of_method(summary(), 15.0, "dense"), "no dense at 15 s"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            wrong()
        assert "\n" not in str(caught.value)


def test_evidence_of_a_method_that_something_else_chose():
    facts = of_method(summary(), 10.0, "tome")
    assert facts["metric"] == "kernel" and facts["quality"]["value"] == pytest.approx(0.55)
    assert facts["minus_dense"]["value"] == pytest.approx(0.15) and facts["speedup"] == 1.3
    assert facts["distance"]["value"] == pytest.approx(0.72)
    assert of_method(summary(), 10.0, "dense")["minus_dense"] is None
    assert json.loads(json.dumps(facts)) == facts


def test_numbers_that_are_none_are_not_compared():
    found = summary()
    found["rows"][1]["metrics"]["kernel"] = {"value": None, "low": None, "high": None, "minus_dense": None}
    assert best_in_quality(found)[10.0].method == "dense"
    assert measured(found["rows"][1], "kernel") is None
    found["rows"][2]["metrics"]["kernel"] |= {"low": None, "high": None, "minus_dense": None}
    # Without an interval nothing is told apart, and the faster one is taken.
    assert best_in_quality(found)[10.0].method == "tome"


@given(st.floats(-5, 5), st.floats(0, 3))
def test_a_difference_is_sure_where_its_interval_leaves_out_zero(value, half):
    difference = Measured(value, value - half, value + half)
    for better in ("lower", "higher"):
        sign = sure_sign(difference, better)
        assert (sign is None) == (value - half <= 0 <= value + half)
        if sign is not None:
            assert sign == ((value > 0) == (better == "higher"))
    assert sure_sign(difference, None) is sure_sign(None, "lower") is None


@given(st.permutations(["dense", "litefocus", "tome"]))
def test_the_order_of_the_candidates_does_not_matter(order):
    for width in (0.05, 0.9):
        assert {c.method for c in best_in_quality(summary(width=width), order).values()} == {
            c.method for c in best_in_quality(summary(width=width)).values()
        }
