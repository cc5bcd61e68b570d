import numpy as np
import pytest

from focuslab.analysis.cost import profile_summary
from focuslab.results import ProfileRun
from tests.choice_records import make_info

FLOPS = {"self_attention": 6, "cross_attention": 1, "feed_forward": 1, "resnet": 1, "other": 1}


def expected(seconds, method, *, sparse=False, bound=None, kept=None):
    return {
        "kind": "expected",
        "seconds": seconds,
        "method": method,
        "repeat": 0,
        "sites": 20 if kept is not None else 0,
        "sparse": sparse,
        "bound": bound,
        "kept_pairs": kept,
        "flops": FLOPS,
        "predicted_peak_bytes": 100,
    }


def steps(seconds, method, repeat, *values, kind="steps", **more):
    return {"kind": kind, "seconds": seconds, "method": method, "repeat": repeat, "step_seconds": list(values), **more}


MODULES = [["unet", "other", 2, 9.0, 1.0], ["a", "self_attention", 4, 6.0, 6.0], ["b", "resnet", 2, 2.0, 2.0]]

RECORDS = [
    expected(80.0, "dense"),
    {"kind": "memory", "seconds": 80.0, "method": "dense", "repeat": 0, "peak_bytes": 123},
    {"kind": "flops", "seconds": 80.0, "method": "dense", "repeat": 0, "modules": [["unet", 10], ["a", 6]]},
    expected(80.0, "litefocus", sparse=True, bound="bound", kept=0.25),
    expected(80.0, "bound", kept=0.0),
    steps(80.0, "dense", 0, 10.0, 12.0),
    steps(80.0, "litefocus", 0, 6.0, 5.0),
    steps(80.0, "bound", 0, 4.0),
    steps(80.0, "dense", 1, 11.0),
    steps(80.0, "litefocus", 1, 7.0),
    steps(80.0, "dense", 0, 5.0, 5.5, kind="modules", modules=MODULES),
    {"kind": "stage", "seconds": 80.0, "stage": "vae_decoder", "repeat": 0, "stage_seconds": [3.0], "note": None},
    {"kind": "stage", "seconds": 80.0, "stage": "prompt_encoding", "repeat": 0, "stage_seconds": [], "note": "no"},
]


def rows(records=RECORDS):
    run = ProfileRun(make_info(), profile_summary(records), tuple(records))
    return {row["method"]: row for row in run.rows}


def test_medians_percentiles_and_raw_values_are_of_all_plain_steps():
    dense = rows()["dense"]
    assert dense["step_seconds"] == [10.0, 12.0, 11.0]
    assert dense["step_seconds_median"] == 11.0
    assert dense["step_seconds_p10"] == pytest.approx(np.percentile([10, 11, 12], 10))
    assert dense["step_seconds_p90"] == pytest.approx(np.percentile([10, 11, 12], 90))


def test_the_ideal_is_bound_and_density_of_the_rest():
    litefocus = rows()["litefocus"]
    assert litefocus["speedup_vs_dense"] == pytest.approx(11 / 6)
    assert litefocus["bound_seconds"] == 4.0
    assert litefocus["ideal_seconds"] == pytest.approx(4 + 0.25 * (11 - 4))
    assert litefocus["share_of_ideal"] == pytest.approx(5.75 / 6)
    assert rows()["dense"]["ideal_seconds"] is None and rows()["bound"]["share_of_ideal"] is None


def test_shares_of_time_and_flops_add_up_to_one():
    dense = rows()["dense"]
    # Two steps took 10.5 s, the UNet 9 s of them: 1.5 s outside, 1 s in the UNet itself, 6 s and 2 s below.
    assert dense["kind_share"] == pytest.approx(
        {"self_attention": 6 / 10.5, "cross_attention": 0, "feed_forward": 0, "resnet": 2 / 10.5, "other": 2.5 / 10.5}
    )
    assert sum(dense["kind_flop_share"].values()) == pytest.approx(1)
    assert dense["kind_flop_share"]["self_attention"] == 0.6 and dense["flops_per_step"] == 10
    assert sum(m["exclusive_seconds"] for m in dense["modules"]) == pytest.approx(10.5 / 2, rel=1e-5)
    assert dense["modules"][0] == {
        "name": "step",
        "kind": "other",
        "calls": 1,
        "inclusive_seconds": 5.25,
        "exclusive_seconds": 0.75,
        "flops": 10,
    }
    assert dense["modules"][2] == {
        "name": "a",
        "kind": "self_attention",
        "calls": 2,
        "inclusive_seconds": 3.0,
        "exclusive_seconds": 3.0,
        "flops": 6,
    }


def test_several_instrumented_runs_are_one_mean():
    doubled = [["unet", "other", 2, 18.0, 2.0], ["a", "self_attention", 4, 12.0, 12.0], ["b", "resnet", 2, 4.0, 4.0]]
    more = [*RECORDS, steps(80.0, "dense", 1, 10.0, 11.0, kind="modules", modules=doubled)]
    dense = rows(more)["dense"]
    assert dense["modules"][2]["inclusive_seconds"] == pytest.approx((6 + 12) / 4)
    assert dense["modules"][2]["calls"] == 2
    assert dense["kind_share"]["self_attention"] == pytest.approx(18 / 31.5)


def test_the_instrument_costs_what_its_most_repeated_medians_say():
    assert profile_summary(RECORDS)["instrumented_over_plain"] == pytest.approx(5.25 / 11)
    more = [
        expected(10.0, "dense"),
        steps(10.0, "dense", 0, 1.0, 2.0, 3.0),
        *(steps(10.0, "dense", r, 2.1, kind="modules", modules=MODULES) for r in range(3)),
    ]
    assert profile_summary([*RECORDS, *more])["instrumented_over_plain"] == pytest.approx(1.05)


def test_stages_and_the_projected_generation():
    summary = profile_summary(RECORDS)
    stages = {stage["stage"]: stage for stage in summary["stages"]}
    assert stages["vae_decoder"]["stage_seconds_median"] == 3.0
    assert stages["prompt_encoding"] == {
        "seconds": 80.0,
        "stage": "prompt_encoding",
        "stage_seconds_median": None,
        "stage_seconds": [],
        "note": "no",
    }
    assert rows()["litefocus"]["generation_seconds_projected"] == 200 * 6.0 + 3.0


def test_what_has_not_been_measured_is_none():
    partial = rows(RECORDS[:7])
    assert partial["litefocus"]["bound_seconds"] is None and partial["litefocus"]["ideal_seconds"] is None
    assert partial["litefocus"]["peak_bytes"] is None and partial["dense"]["peak_bytes"] == 123
    assert partial["litefocus"]["generation_seconds_projected"] is None
    assert partial["litefocus"]["kind_share"] is None and partial["litefocus"]["modules"] == []
    not_counted = rows([r for r in RECORDS if r["kind"] != "flops"])
    assert {module["flops"] for module in not_counted["dense"]["modules"]} == {None}
    without_dense = rows([r for r in RECORDS if r.get("method") != "dense"])
    assert without_dense["litefocus"]["speedup_vs_dense"] is None
    empty = profile_summary([])
    assert empty["rows"] == [] and empty["stages"] == [] and empty["instrumented_over_plain"] is None


def test_the_summary_has_the_fields_of_the_contract():
    summary = profile_summary(RECORDS)
    assert summary["schema"] == "focuslab/profile/1"
    contract = {
        "seconds",
        "method",
        "step_seconds_median",
        "step_seconds_p10",
        "step_seconds_p90",
        "speedup_vs_dense",
        "peak_bytes",
        "flops_per_step",
        "kind_share",
    }
    # Modules stand in the records, and a loaded run has them in its rows.
    assert all(contract <= row.keys() for row in rows().values())


def test_a_projection_counts_unet_calls():
    calls = {"calls_per_step": 2, "projected_calls": 399}
    of_two = [{**r, **calls} if r["kind"] == "expected" else r for r in RECORDS]
    litefocus = rows(of_two)["litefocus"]
    assert litefocus["generation_seconds_projected"] == pytest.approx(399 * 6.0 / 2 + 3.0)
    assert litefocus["flops_per_step"] == 20 and rows(of_two)["dense"]["modules"][2]["flops"] == 12
    planned = {**expected(80.0, "plan", sparse=True, kept=0.25), **calls, "dense_steps": 50, "dense_calls": 99}
    row = rows([*of_two, planned, steps(80.0, "plan", 0, 6.0)])["plan"]
    assert row["generation_seconds_projected"] == pytest.approx((300 * 6 + 99 * 11) / 2 + 3)
    no_schedule = [{**r, "projected_calls": None} if r["kind"] == "expected" else r for r in of_two]
    assert rows(no_schedule)["litefocus"]["generation_seconds_projected"] is None


def test_what_was_held_stands_beside_the_peak():
    held = [{**r, "held_bytes": 1000} if r["kind"] == "memory" else r for r in RECORDS]
    assert (rows(held)["dense"]["peak_bytes"], rows(held)["dense"]["held_bytes"]) == (123, 1000)
    assert rows()["dense"]["held_bytes"] is None


def test_dense_steps_of_a_plan_count_in_the_projection():
    planned = {**expected(80.0, "plan", sparse=True, kept=0.25), "dense_steps": 50}
    records = [*RECORDS, planned, steps(80.0, "plan", 0, 6.0)]
    row = rows(records)["plan"]
    assert row["dense_steps"] == 50 and rows(records)["litefocus"]["dense_steps"] == 0
    assert row["generation_seconds_projected"] == pytest.approx(150 * 6 + 50 * 11 + 3)
    without_dense = [r for r in records if r.get("method") != "dense"]
    assert rows(without_dense)["plan"]["generation_seconds_projected"] is None
    always = [{**r, "dense_steps": 999} if r is planned else r for r in records]
    assert rows(always)["plan"]["generation_seconds_projected"] == pytest.approx(200 * 11 + 3)
