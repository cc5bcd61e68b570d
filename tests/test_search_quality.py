"""What is best in quality at each length, by an evaluation."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.search.quality import Measured, best_in_quality, measured, significant_sign
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
    assert json.loads(json.dumps(choice.to_json()))["quality"]["low"] == pytest.approx(0.31 * 0.95)


def test_of_equals_the_fastest_is_taken():
    choice = best_in_quality(summary(width=1.2, speed={**SPEED, "tome": 1.8}))[10.0]
    assert choice.method == "tome" and choice.decided_by == "speed"
    assert set(choice.equals) == {"dense", "litefocus"} and choice.beats_dense is None
    level = best_in_quality(summary(width=1.2, speed=dict.fromkeys(SPEED, 1.0)))[10.0]
    assert level.method == "dense"


def test_what_another_metric_has_as_worse_is_no_equal():
    found = summary(width=1.2, speed={**SPEED, "tome": 1.8})
    tome = next(row for row in found["rows"] if row["method"] == "tome" and row["seconds"] == 10.0)
    tome["metrics"]["clap"]["minus_dense"] = {"value": -0.05, "low": -0.06, "high": -0.04}
    choices = best_in_quality(found)
    assert choices[10.0].method == "litefocus" and choices[10.0].equals == ("dense",)
    assert choices[40.0].method == "tome"
    # Another metric that is but a distance to dense says nothing of quality.
    found["metrics"]["clap"]["reference"] = "dense"
    assert best_in_quality(found)[10.0].method == "tome"


def test_what_is_significantly_worse_than_dense_is_no_equal():
    found = summary(lengths=(10.0,), speed={**SPEED, "tome": 1.8})
    _, lite, tome = found["rows"]
    for row, (value, low, high) in ((lite, (-0.1, -0.4, 0.2)), (tome, (0.15, 0.01, 0.29))):
        row["metrics"]["kernel"]["minus_dense"] = {"value": value, "low": low, "high": high}
        for name in ("frechet", "kl_softmax", "clap"):
            del row["metrics"][name]
    assert best_in_quality(found)[10.0].method == "litefocus"
    tome["metrics"]["kernel"]["minus_dense"]["low"] = -0.01
    assert best_in_quality(found)[10.0].method == "tome"


def test_higher_is_better_for_some():
    choice = best_in_quality(summary(), metric="clap")[10.0]
    assert (choice.method, choice.better, choice.beats_dense) == ("litefocus", "higher", True)
    worst = best_in_quality(summary(), ["dense", "tome"], metric="clap")[10.0]
    assert worst.method == "dense" and worst.beats_dense is None and worst.minus_dense is None


def test_what_is_too_slow_is_left_out():
    assert best_in_quality(summary(), ["dense", "tome"])[10.0].method == "dense"
    found = best_in_quality(summary(), ["dense", "tome"], min_speedup={10.0: 1.2, 40.0: None})
    assert {s: c.method for s, c in found.items()} == {10.0: "tome", 40.0: "dense"}
    assert list(best_in_quality(summary(), min_speedup={10.0: 9.0})) == [40.0]


def test_metrics_in_which_it_is_significantly_worse_are_named():
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
        (lambda: best_in_quality(summary(), []), "none of the candidates has a kernel"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            wrong()
        assert "\n" not in str(caught.value)


def test_numbers_that_are_none_are_not_compared():
    found = summary()
    found["rows"][1]["metrics"]["kernel"] = {"value": None, "low": None, "high": None, "minus_dense": None}
    assert best_in_quality(found)[10.0].method == "dense"
    assert measured(found["rows"][1], "kernel") is None
    found["rows"][2]["metrics"]["kernel"] |= {"low": None, "high": None, "minus_dense": None}
    for name in ("frechet", "kl_softmax", "clap"):
        del found["rows"][2]["metrics"][name]
    # Without an interval nothing is significant, and the faster one is taken.
    assert best_in_quality(found)[10.0].method == "tome"


@given(st.floats(-5, 5), st.floats(0, 3))
def test_a_difference_is_sure_where_its_interval_leaves_out_zero(value, half):
    difference = Measured(value, value - half, value + half)
    for better in ("lower", "higher"):
        sign = significant_sign(difference, better)
        assert (sign is None) == (value - half <= 0 <= value + half)
        if sign is not None:
            assert sign == ((value > 0) == (better == "higher"))
    assert significant_sign(difference, None) is significant_sign(None, "lower") is None


@given(st.permutations(["dense", "litefocus", "tome"]))
def test_the_order_of_the_candidates_does_not_matter(order):
    for width in (0.05, 0.9):
        assert {c.method for c in best_in_quality(summary(width=width), order).values()} == {
            c.method for c in best_in_quality(summary(width=width)).values()
        }
