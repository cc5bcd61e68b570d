"""The summary of a capture: planted structure is found, and what was not recorded is said to be missing."""

import copy
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from focuslab.analysis.attention import attention_summary
from focuslab.analysis.maps import maps_of, pick, strongest_site
from focuslab.errors import InputError
from focuslab.tables.attention import times, verdict
from tests.attention_records import BLOCKS, HALVES, HEADS, make_arrays, make_info, make_pass, make_records, planted
from tests.golden_files import check_case, check_cases


@pytest.fixture(scope="module")
def info():
    return make_info(prompts=5, seconds=(10.0, 40.0))


@pytest.fixture(scope="module")
def records(info):
    return make_records(info)


@pytest.fixture(scope="module")
def summary(info, records):
    return attention_summary(info, records)


def row(summary, name, seconds=10.0):
    (found,) = [r for of in ("blocks", "sites") for r in summary[of] if (r["name"], r["seconds"]) == (name, seconds)]
    return found


def lifts_of(block, info, seconds=10.0, halves=HALVES):
    """[prompts, steps, halves, heads]"""
    steps = info.parameters["capture_steps"]
    return np.array(
        [
            [[[planted(block, h, s, p, half, seconds) for h in range(HEADS)] for half in halves] for s in steps]
            for p in range(len(info.prompts))
        ]
    )


def test_a_row_for_each_site_and_block_at_each_length(summary, info):
    sites = [site["name"] for site in info.parameters["sites"]]
    assert [(r["seconds"], r["name"]) for r in summary["sites"]] == [(s, name) for s in (10, 40) for name in sites]
    assert [(r["seconds"], r["name"]) for r in summary["blocks"]] == [(s, name) for s in (10, 40) for name in BLOCKS]
    assert summary["schema"] == "focuslab/attention/1" and summary["seconds"] == [10.0, 40.0]


def test_the_names_of_the_contract_are_there(summary):
    contract = {"name", "block", "level", "heads", "time", "mel_rows", "chance", "same_frequency_mass", "lift"}
    for r in (*summary["sites"], *summary["blocks"]):
        assert contract | {"recall", "output_error"} <= r.keys()
    assert {"capture_over_plain", "peak_bytes"} <= summary.keys()
    site = row(summary, "down_blocks.2.0.attn1")
    assert (site["block"], site["level"], site["heads"], site["time"], site["mel_rows"]) == (
        "down_blocks.2",
        2,
        4,
        63,
        4,
    )
    assert site["chance"] == 0.25 and row(summary, "down_blocks.2.0.attn1", 40.0)["time"] == 250


def test_summaries_are_json_and_the_records_are_left_alone(info, records, summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    before = copy.deepcopy(records[:3])
    attention_summary(info, iter(records))
    assert records[:3] == before


@pytest.mark.parametrize("block", BLOCKS)
def test_planted_lifts_are_found(summary, info, block):
    planted_lifts = lifts_of(block, info)
    for r in (row(summary, block), row(summary, f"{block}.1.attn1")):
        assert r["lift"] == pytest.approx(planted_lifts.mean(), rel=1e-5)
        assert r["same_frequency_mass"] == pytest.approx(planted_lifts.mean() / BLOCKS[block][1], rel=1e-5)
        heads = planted_lifts.mean(axis=(0, 1, 2))
        assert r["lift_heads"] == pytest.approx(list(np.tile(heads, r["sites"])), rel=1e-5)
        assert r["best_head_lift"] == pytest.approx(heads.max(), rel=1e-5)
        assert r["best_head"]["head"] == heads.argmax()
    assert row(summary, block)["heads"] == 2 * HEADS and row(summary, f"{block}.1.attn1")["heads"] == HEADS
    assert row(summary, block)["best_head"]["site"] == f"{block}.0.attn1"


def test_blocks_average_the_lifts_of_their_sites():
    info = make_info(prompts=2)
    records = make_records(info)
    for r in records:
        if r.get("site") == "up_blocks.2.1.attn1":
            r["mass"]["mean"] = [0.5] * HEADS
    summary = attention_summary(info, records)
    first = row(summary, "up_blocks.2.0.attn1")["lift"]
    assert row(summary, "up_blocks.2.1.attn1")["lift"] == 4.0
    assert row(summary, "up_blocks.2")["lift"] == pytest.approx((first + 4) / 2, rel=1e-5)


def test_steps_and_halves_are_kept_apart(summary, info):
    block = "down_blocks.1"
    by_step = lifts_of(block, info).mean(axis=(0, 2, 3))
    steps = row(summary, block)["by_step"]
    assert [(s["step"], s["timestep"]) for s in steps] == [(0, 1000), (10, 500), (19, 50)]
    assert [s["lift"] for s in steps] == pytest.approx(by_step, rel=1e-5)
    assert all(s["lift_low"] < s["lift"] < s["lift_high"] for s in steps)
    for half in HALVES:
        own = row(summary, block)["halves"][half]
        assert own["lift"] == pytest.approx(lifts_of(block, info, halves=(half,)).mean(), rel=1e-5)
        assert own["recall"].keys() == own["output_error"].keys() == {"0", "0.1", "0.2"}
    halves = row(summary, block)["halves"]
    assert halves["conditional"]["output_error"]["0.1"] < halves["unconditional"]["output_error"]["0.1"]


def test_recall_error_and_their_chance(summary, info):
    mass = lifts_of("up_blocks.2", info).mean() / 8
    r = row(summary, "up_blocks.2")
    assert r["recall"] == pytest.approx({x: mass + (1 - mass) * float(x) for x in ("0", "0.1", "0.2")}, rel=1e-4)
    assert r["output_error"] == pytest.approx({x: 0.5 * (1 - v) for x, v in r["recall"].items()}, rel=1e-4)
    assert r["recall_chance"] == pytest.approx({"0": 0.125, "0.1": 0.2125, "0.2": 0.3})
    for kind in ("recall", "output_error"):
        for x in r[kind]:
            assert r[f"{kind}_low"][x] < r[kind][x] < r[f"{kind}_high"][x]


def test_matrices_of_mel_rows_keep_their_rows_at_one(summary):
    for r in summary["blocks"]:
        matrix = np.array(r["rows"])
        assert matrix.shape == (r["mel_rows"], r["mel_rows"])
        np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-5)
        assert matrix.diagonal().mean() == pytest.approx(r["same_frequency_mass"], rel=1e-4)


def test_mass_by_lag_adds_up_and_stands_beside_uniform_attention(summary):
    for r in summary["blocks"]:
        lag = r["lag"]
        assert sum(lag["own"]) + sum(lag["other"]) == pytest.approx(1, rel=1e-4)
        assert sum(lag["own"]) == pytest.approx(r["same_frequency_mass"], rel=1e-4)
        assert len(lag["edges"]) == len(lag["own"]) + 1 == len(lag["middles"]) + 1
        for name, uniform in (("own", 1 / r["mel_rows"]), ("other", 1 - 1 / r["mel_rows"])):
            for mass, share, lift in zip(lag[name], lag["chance"], lag[f"{name}_lift"], strict=True):
                assert (lift is None) if share == 0 else lift == pytest.approx(mass / (share * uniform), rel=1e-3)
        assert all(
            low <= x < high for low, x, high in zip(lag["edges"], lag["middles"], lag["edges"][1:], strict=False)
        )
    # At level 2 a time step is four frames, and no lag falls between one and four.
    assert row(summary, "down_blocks.2")["lag"]["own_lift"][1:3] == [None, None]


def test_entropy_stands_beside_that_at_the_training_length(summary):
    assert summary["training_length"] == 10.0 and summary["training_seconds"] == 10.24
    short, long = (row(summary, "down_blocks.1", s) for s in (10.0, 40.0))
    assert long["training_entropy"] == short["entropy"] == short["training_entropy"]
    assert short["entropy_growth"] == 0 == short["uniform_growth"]
    assert long["uniform_entropy"] == pytest.approx(math.log(1000 / 250 * 125 * 8), rel=1e-5)
    assert long["uniform_growth"] == pytest.approx(math.log(4), rel=1e-5)
    assert long["entropy_growth"] == pytest.approx(long["entropy"] - short["entropy"], rel=1e-4)
    # What differs from prompt to prompt differs in the same way at both lengths, and is no growth.
    assert long["entropy_growth_high"] - long["entropy_growth_low"] < 1e-6 < long["entropy_high"] - long["entropy_low"]


def test_without_a_length_near_training_there_is_no_growth():
    info = make_info(prompts=2, seconds=(5.0, 20.0))
    summary = attention_summary(info, make_records(info))
    assert summary["training_length"] is None
    assert (
        {r["training_entropy"] for r in summary["blocks"]} == {r["entropy_growth"] for r in summary["blocks"]} == {None}
    )
    assert all(r["entropy"] > 0 for r in summary["blocks"])


def noisy(sigma, center=1.0, seed=0):
    """Lifts that differ from prompt to prompt by normal noise about `center`."""
    rng = np.random.default_rng(seed)
    offsets = rng.normal(0, sigma, 64)
    return lambda prompt, **_: center + offsets[prompt]


def test_intervals_are_over_prompts_and_cover_the_truth():
    covered = 0
    info = make_info(prompts=6, capture_steps=(0,))
    info.parameters["sites"] = info.parameters["sites"][:1]
    for seed in range(60):
        summary = attention_summary(info, make_records(info, noisy(0.2, 2.0, seed), without=("rows", "lag")))
        (block,) = summary["blocks"]
        covered += block["lift_low"] <= 2.0 <= block["lift_high"]
    assert 52 <= covered <= 60
    assert summary["interval"]["over"] == "prompts" and summary["interval"]["note"] is None


def test_heads_and_steps_of_one_prompt_narrow_no_interval():
    few = make_info(prompts=6, capture_steps=(0,))
    many = make_info(prompts=6, capture_steps=tuple(range(10)))
    widths = [
        r["lift_high"] - r["lift_low"]
        for r in (row(attention_summary(i, make_records(i, noisy(0.2))), "mid_block") for i in (few, many))
    ]
    assert widths[0] == pytest.approx(widths[1], rel=1e-4) and widths[0] > 0.1


def test_one_prompt_has_no_interval_and_says_so():
    info = make_info(prompts=1)
    summary = attention_summary(info, make_records(info))
    block = row(summary, "down_blocks.1")
    assert block["lift_low"] is None and block["lift_high"] is None and block["entropy_low"] is None
    assert block["recall_low"] == dict.fromkeys(("0", "0.1", "0.2"))
    assert {s["lift_low"] for s in block["by_step"]} == {None}
    assert "one prompt" in summary["interval"]["note"]
    assert block["verdict"].endswith("(one prompt: no interval)") and block["heads_above_chance"] == 8


def test_few_prompts_are_said_to_cover_less():
    info = make_info(prompts=3)
    note = attention_summary(info, make_records(info))["interval"]["note"]
    assert note.startswith("3 prompts") and "75 %" in note


@pytest.mark.parametrize("missing", ["mass", "entropy", "rows", "lag", "recall", "output_error"])
def test_what_was_not_recorded_is_none(missing):
    info = make_info(prompts=2)
    summary = attention_summary(info, make_records(info, without=(missing,)))
    block = row(summary, "down_blocks.1")
    field = {"mass": "lift"}.get(missing, missing)
    assert not block[field]
    assert all(block[other] for other in {"lift", "entropy", "rows", "lag", "recall", "output_error"} - {field})
    if missing == "mass":
        assert block["by_step"] == [] and block["best_head"] is None and block["same_frequency_mass"] is None
        assert block["verdict"] == "not known: same-frequency mass was not recorded"
    if missing == "entropy":
        assert block["entropy_growth"] is None and block["by_step"][0]["entropy"] is None
    assert block["heads"] == 8


def test_only_what_was_recorded_to_its_end_counts(info, records, summary):
    stopped = [r for r in records if not (r["kind"] == "pass" and r["prompt"] == 4 and r["seconds"] == 40.0)]
    found = attention_summary(info, stopped)
    assert row(found, "mid_block", 40.0)["prompts"] == 4 and row(found, "mid_block", 10.0)["prompts"] == 5
    assert row(found, "mid_block", 10.0) == row(summary, "mid_block", 10.0)
    nothing = attention_summary(info, [r for r in records if r["kind"] != "pass"])
    assert nothing["sites"] == nothing["blocks"] == nothing["cost"] == []
    assert nothing["capture_over_plain"] is None and nothing["peak_bytes"] is None


def test_a_prompt_missing_at_one_length_has_no_growth(info, records):
    without_first = [r for r in records if not (r["prompt"] == 0 and r["seconds"] == 10.0)]
    found = row(attention_summary(info, without_first), "down_blocks.1", 40.0)
    whole = row(attention_summary(info, records), "down_blocks.1", 40.0)
    assert found["entropy"] == whole["entropy"]
    assert found["entropy_growth"] == pytest.approx(whole["entropy_growth"], rel=1e-5)
    assert found["training_entropy"] != whole["training_entropy"]


def test_recording_costs_are_of_steps_of_the_same_run():
    info = make_info(prompts=2, seconds=(10.0, 20.0), steps=20)
    records = [r for r in make_records(info) if r["kind"] == "attention"]
    records += [make_pass(info, p, 10.0, plain=1.0, recorded=1.5) for p in (0, 1)]
    records += [make_pass(info, p, 20.0, plain=3.0, recorded=3.0) for p in (0, 1)]
    summary = attention_summary(info, records)
    assert [c["recorded_step_over_plain"] for c in summary["cost"]] == [1.5, 1.0]
    assert [c["capture_over_plain"] for c in summary["cost"]] == [pytest.approx(21.5 / 20), 1.0]
    assert summary["capture_over_plain"] == pytest.approx((43 + 120) / (40 + 120), rel=1e-5)
    assert summary["peak_bytes"] == 1001 and summary["cost"][0]["plain_peak_bytes"] == 1000


def test_without_a_plain_step_there_is_no_cost():
    info = make_info(prompts=1)
    records = make_records(info)
    records[-1] |= {"plain_step_seconds": [], "peak_bytes": None, "plain_peak_bytes": None}
    summary = attention_summary(info, records)
    assert summary["capture_over_plain"] is None and summary["peak_bytes"] is None
    assert summary["cost"][0]["recorded_step_over_plain"] is None


def test_labels_and_patterns_are_means_over_heads():
    info = make_info(prompts=2)
    records = make_records(info)
    for r in records:
        if r["kind"] == "attention":
            r["labels"] = {"halves": [[0.25, 0.75]] * HEADS}
            r["patterns"] = {"neighbours": {"mean": [0.3, 0.5, 0.5, 0.7], "std": [0.0] * HEADS, "chance": 0.25}}
    block = row(attention_summary(info, records), "down_blocks.1")
    assert block["labels"] == {"halves": [0.25, 0.75]}
    assert block["patterns"] == {"neighbours": {"mass": 0.5, "chance": 0.25, "lift": 2.0}}


# verdicts


def constant(value):
    return lambda prompt, head, **_: value + 0.01 * math.sin(prompt + head)


def verdict_of(lift, prompts=6, block="down_blocks.1", **changes):
    info = make_info(prompts=prompts, **changes)
    return row(attention_summary(info, make_records(info, lift, without=("rows", "lag"))), block)["verdict"]


VERDICTS = {
    "high": (constant(4.1), {}),
    "at the one recorded step": (constant(4.1), {"capture_steps": (3,)}),
    "on some heads": (lambda head, **more: constant(5.0 if head else 0.5)(head=head, **more), {}),
    "at late steps": (lambda step, **more: constant(4.0 if step else 0.5)(**more), {}),
    "below chance": (constant(0.5), {}),
    "barely above chance": (lambda prompt, **_: 1.01 + 0.0001 * math.sin(prompt), {}),
    "barely below chance": (lambda prompt, **_: 0.995 + 0.0001 * prompt, {}),
    "few prompts": (constant(4.1), {"prompts": 3}),
    "prompts enough": (constant(4.1), {"prompts": 5}),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_a_verdict_in_words(case):
    lift, changes = VERDICTS[case]
    check_case("verdicts", case, verdict_of(lift, **changes))


def test_no_verdict_is_left_over():
    check_cases("verdicts", VERDICTS)


def test_at_chance_is_what_the_interval_says():
    words = verdict_of(noisy(0.3))
    assert words.startswith("at chance: ") and " times it (" in words
    assert "above it" not in words
    one_head = lambda prompt, head, **_: noisy(0.3)(prompt) + (-0.3 if head else 0.9)  # noqa: E731
    assert verdict_of(one_head).endswith("on 2 of 8 heads")


def test_one_mel_row_has_no_verdict():
    r = {"lift": 1.0, "lift_low": 1.0, "lift_high": 1.0, "mel_rows": 1}
    assert verdict(r) == "one mel row: every key is in it"


@pytest.mark.parametrize(
    "lift, text", [(1.0, "1.000"), (1.0031, "1.003"), (1.043, "1.04"), (1.43, "1.43"), (4.12, "4.1"), (12.3, "12")]
)
def test_lifts_have_as_many_digits_as_say_something(lift, text):
    assert times(lift) == text


# pieces of maps


def test_pieces_are_read_from_their_names():
    info = make_info(prompts=1)
    arrays = make_arrays(info)
    queries, crops = maps_of(info, arrays)
    assert len(queries) == 8 and len(crops) == 2 * len(BLOCKS)
    query = pick(queries, half="conditional", block="down_blocks.1")[0]
    assert (query.t, query.f, query.place.step, query.place.prompt) == (60, 2, 19, 0)
    assert query.values.shape == (HEADS, 125, 8) and query.values.mean() == pytest.approx(1, rel=1e-5)
    assert query.middle_seconds == pytest.approx(60.5 * 0.08)
    crop = pick(crops, half="conditional", block="down_blocks.1")[0]
    assert crop.rows == crop.keys == (400, 463) and crop.values.shape == (HEADS, 64, 64)
    name = f"crop/0/10/19/conditional/{crop.place.site}/400-463"
    np.testing.assert_allclose(crop.values, arrays[name] * 1000, rtol=1e-6)
    assert [c.place.block for c in pick(crops, half="conditional")] == list(BLOCKS)


def test_crops_may_have_other_keys_than_queries():
    info = make_info(prompts=1)
    name = "crop/0/10/19/conditional/mid_block.0.attn1/2-3:0-9"
    _, (crop,) = maps_of(info, {name: np.full((HEADS, 2, 10), 1 / 64, dtype=np.float32)})
    assert (crop.rows, crop.keys) == ((2, 3), (0, 9)) and crop.values.max() == 1


@pytest.mark.parametrize("name", ["lift", "query/0/10/19/conditional/nowhere/1:2", "map/0/10/19/conditional/x/1"])
def test_other_arrays_are_refused_by_name(name):
    with pytest.raises(InputError, match=f"'{name}'"):
        maps_of(make_info(), {name: np.zeros((1, 1, 1))})


def test_the_strongest_site_is_the_one_with_the_highest_lift():
    rows = [{"name": "a", "lift": 2.0}, {"name": "b", "lift": 3.0}, {"name": "c", "lift": None}]
    assert strongest_site(rows, ["a", "b", "c"]) == "b"
    assert strongest_site(rows, ["c", "a"]) == "a"
    assert strongest_site([], ["x", "y"]) == "x"


def test_no_torch_is_imported():
    code = (
        "import sys, focuslab.analysis.attention, focuslab.analysis.maps, focuslab.stats.intervals;"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
