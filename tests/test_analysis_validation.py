"""focuslab.analysis.validation: what was measured beside what was predicted, and when a prediction has been missed."""

import pytest

from focuslab.analysis.validation import TIME_TOLERANCE, validation_summary
from focuslab.errors import InputError
from focuslab.tables.text import in_markdown, in_terminal
from focuslab.tables.validation import measured_of, validation_tables

DENSE, PLAN = 2.0, 1.0
ERRORS = (0.010, 0.012, 0.014)


def timing(method, median, seconds=80.0, **more):
    return {
        "seconds": seconds,
        "method": method,
        "step_seconds_median": median,
        "step_seconds_p10": 0.9 * median,
        "step_seconds_p90": 1.1 * median,
        **more,
    }


def records(method="plan", errors=ERRORS, seconds=80.0, sounds=((0.2, 1.0, 0.9), (0.4, 1.1, 1.1), (0.3, 0.9, 1.0))):
    found = []
    for prompt, error in enumerate(errors):
        place = {"seconds": seconds, "prompt": prompt, "method": method}
        found += [{"kind": "error", **place, "step": step, "error": error * (1 + step / 10)} for step in (0, 1)]
    for prompt, values in enumerate(sounds):
        distances = dict(zip(("log_mel_l1", "rms_ratio", "centroid_ratio"), values, strict=True))
        found.append({"kind": "sound", "seconds": seconds, "prompt": prompt, "method": method, **distances})
    return found


def predicted(speedup=2.0, error=0.0126, low=0.011, high=0.014):
    point = {"step_seconds": 10 / speedup, "speedup": speedup, "error": error, "error_low": low, "error_high": high}
    return {80.0: {"plan": point}}


def summary(predictions=None, plan=PLAN, found=None, **more):
    timings = [timing("dense", DENSE), timing("plan", plan, **more), timing("bound", 0.5), timing("bound:plan", 0.5)]
    return validation_summary(records() if found is None else found, timings, predictions or {}, steps=20)


def row(made, method="plan"):
    (found,) = [r for r in made["rows"] if r["method"] == method]
    return found


def test_numbers_are_means_over_prompts_with_their_intervals():
    made = summary()
    plan = row(made)
    assert [r["method"] for r in made["rows"]] == ["dense", "plan"]
    assert plan["speedup_vs_dense"] == 2 and plan["step_seconds_p10"] == 0.9
    assert plan["error"] == pytest.approx(0.012 * 1.05) and (plan["prompts"], plan["n"]) == (3, 6)
    assert plan["error_low"] < plan["error"] < plan["error_high"]
    assert plan["log_mel_l1"] == pytest.approx(0.3) and plan["rms_ratio"] == pytest.approx(1.0)
    assert plan["log_mel_l1_low"] < 0.3 < plan["log_mel_l1_high"] and plan["sounds"] == 3
    assert row(made, "dense")["speedup_vs_dense"] == 1 and row(made, "dense")["error"] == 0
    assert plan["predicted"] is None and plan["missed"] == [] and made["missed"] == []


def test_dense_steps_count_in_the_speed_of_a_generation():
    assert row(summary(dense_steps=5))["speedup_vs_dense"] == pytest.approx(20 * 2 / (5 * 2 + 15 * 1))


def test_dense_steps_count_by_their_unet_calls_where_known():
    found = row(summary(dense_steps=5, dense_share=0.5))
    assert found["speedup_vs_dense"] == pytest.approx(2 / (0.5 * 2 + 0.5 * 1)) and found["dense_steps"] == 5


def test_a_prediction_that_holds_is_not_missed():
    plan = row(summary(predicted()))
    assert plan["missed"] == [] and plan["time_off"] == pytest.approx(0) and plan["error_off"] == pytest.approx(0)


@pytest.mark.parametrize("share, missed", [(0.95, False), (1.05, False), (1.15, True), (0.85, True)])
def test_a_step_off_by_more_than_a_tenth_is_missed(share, missed):
    made = summary(predicted(speedup=2 * share))
    assert bool(made["missed"]) is missed and (abs(row(made)["time_off"]) > TIME_TOLERANCE) is missed
    if missed:
        assert made["missed"] == [f"at 80 s 2.00 times as fast as dense where {2 * share:.2f} was predicted"]


@pytest.mark.parametrize(
    "interval, missed", [((0.011, 0.014), False), ((0.001, 0.002), True), ((0.05, 0.06), True), ((None, None), False)]
)
def test_an_error_apart_from_the_predicted_interval_is_missed(interval, missed):
    made = summary(predicted(low=interval[0], high=interval[1]))
    assert bool(made["missed"]) is missed
    if missed:
        assert "at 80 s the UNet's error is 1.3 %" in made["missed"][0] and "was predicted" in made["missed"][0]


def test_only_misses_of_the_plan_are_its_misses():
    found = records() + records("paper")
    timings = [timing("dense", DENSE), timing("plan", PLAN), timing("paper", 1.5)]
    point = predicted()[80.0]["plan"]
    made = validation_summary(found, timings, {80.0: {"plan": point, "paper": point}}, steps=20)
    assert row(made, "paper")["missed"] and made["missed"] == []


def test_silent_clips_are_left_out_and_counted():
    plan = row(summary(found=records(errors=(0.01,), sounds=((None, None, None), (0.5, 1.0, 1.0)))))
    assert (plan["sounds"], plan["silent"], plan["log_mel_l1"]) == (1, 1, 0.5)
    assert plan["error_low"] is None and plan["log_mel_l1_low"] is None
    assert row(summary(predicted(error=9.0, low=8.0, high=10.0), found=records(errors=(0.01,))))["missed"] == []
    assert "1 clip left out" in in_terminal(validation_tables(summary(found=records(sounds=((None, None, None),)))))


def test_a_choice_not_yet_compared_has_no_row():
    timings = [timing("dense", DENSE), timing("plan", PLAN), timing("paper", 1.5)]
    assert [r["method"] for r in validation_summary(records(), timings, {}, 20)["rows"]] == ["dense", "plan"]


def test_the_table_and_what_is_drawn_say_the_same():
    made = summary(predicted(speedup=2.1), dense_steps=2)
    table = in_terminal(validation_tables(made))
    assert (
        "2.10x" in table
        and "1.26 (" in table
        and "plan at 80 s (2)" in table
        and max(map(len, table.splitlines())) <= 120
    )
    assert in_markdown(validation_tables(made)).count("|") > 30
    drawn = measured_of(made)[80.0]["plan"]
    # Dense was predicted to take 10 s a step, and the plan was measured so many times faster.
    assert drawn["step_seconds"] == pytest.approx(10 / row(made)["speedup_vs_dense"])
    assert drawn["error"] == row(made)["error"] and measured_of(summary()) == {}
    with pytest.raises(InputError, match="expected the summary of a validation"):
        in_terminal(validation_tables({"schema": "focuslab/profile/1"}))
