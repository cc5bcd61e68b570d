"""The tables of made-up runs, compared whole with those in tests/golden/; their numbers are tested apart."""

import copy

import pytest

from focuslab import AttentionRun, EvaluationRun, Plan, ProfileRun
from focuslab.results import ValidationRun
from focuslab.tables.attention import attention_tables
from focuslab.tables.choice import choice_tables
from focuslab.tables.profile import profile_tables
from focuslab.tables.text import WIDTH, in_terminal
from tests import report_runs
from tests.choice_records import make_summary
from tests.golden_files import check_text


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return report_runs.write_all(tmp_path_factory.mktemp("golden") / "runs")


RESULTS = {
    "profile": (ProfileRun, "profile"),
    "attention": (AttentionRun, "capture"),
    "evaluation": (EvaluationRun, "evaluation"),
    "validation": (ValidationRun, "plan/plan/proof"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_run_is_shown_as_before(runs, name):
    kind, directory = RESULTS[name]
    shown = repr(kind.load(runs / directory))
    assert max(map(len, shown.splitlines())) <= WIDTH
    check_text(f"table_{name}", f"{shown}\n")


def test_a_plan_is_shown_as_before(runs):
    check_text("table_plan", f"{in_terminal(Plan.load(runs / 'plan' / 'plan.json')._tables())}\n")


def for_each_length():
    made = make_summary(max_error=0.01)
    for i, row in enumerate(made["lengths"]):
        row["budget"] = {"max_error": 0.01 + 0.001 * i, "min_speedup": None}
    return made


def half_predicted():
    """Without a joint run, and at one length with times that are predicted from FLOPs."""
    made = copy.deepcopy(make_summary())
    made["combination"] |= {"misfit": None, "low": None, "high": None}
    for point in made["lengths"][1]["points"].values():
        point |= {"error_low": None, "error_high": None, "predicted_from_flops": True}
    made["lengths"][1]["groups"][0] |= {"predicted": True, "saved_seconds": 0.5, "lift": None}
    return made


CHOICES = {
    "knee": make_summary,
    "max_error": lambda: make_summary(max_error=0.01),
    "small_error": lambda: make_summary(max_error=0.003),
    "min_speedup": lambda: make_summary(min_speedup=1.3),
    "high_speedup": lambda: make_summary(min_speedup=2.0),
    "max_error_at_each_length": for_each_length,
    "half_predicted": half_predicted,
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_shown_as_before(name):
    check_text(f"table_choice_{name}", f"{in_terminal(choice_tables(CHOICES[name]()))}\n")


def test_what_was_not_measured_is_said_as_before():
    summary = report_runs.profile_summary((10.0, 20.0))
    summary["instrumented_over_plain"] = None
    dense, first, *_ = summary["rows"]
    dense |= {"held_bytes": 3 * 2**30, "peak_bytes": None}
    first |= {"kind_share": None, "generation_seconds_projected": None, "step_seconds_p10": None}
    first |= {"ideal_seconds": None, "share_of_ideal": None, "bound_seconds": None}
    check_text("table_profile_gaps", f"{in_terminal(profile_tables(summary))}\n")


def test_a_capture_without_mass_and_recall_is_shown_as_before(runs):
    summary = copy.deepcopy(AttentionRun.load(runs / "capture").summary)
    for row in (*summary["sites"], *summary["blocks"]):
        row |= {"recall": {}, "output_error": {}, "entropy": None}
    check_text("table_attention_gaps", f"{in_terminal(attention_tables(summary))}\n")
