"""focuslab.search.candidates, .cost_model and .comparable: what groups may run, its saving and its error."""

from dataclasses import replace

import numpy as np
import pytest

from focuslab.errors import InputError
from focuslab.runs.method_spec import MethodSpec
from focuslab.search.candidates import candidates_of
from focuslab.search.cost_model import CostModel
from focuslab.search.plan_builder import check_comparable
from tests.choice_records import (
    BLOCKS,
    METHODS,
    PROMPTS,
    SITES,
    STEPS,
    dense_site_seconds,
    error,
    make_capture,
    make_flops,
    make_info,
    make_profile,
    make_sensitivity,
    site_names,
    site_seconds,
)

LITEFOCUS, WEIGHTED, SAME_FREQUENCY, TOME = METHODS


def candidates_at(profile, records, attention=None, flops=None):
    return candidates_of(CostModel(profile, flops), records, attention)


def by_choice(candidates, seconds):
    return {(c.group, str(c.method)): c for c in candidates[seconds]}


def true_saving(group, method, seconds):
    return sum(dense_site_seconds(s, seconds) - site_seconds(s, seconds, method) for s in site_names(group))


def test_a_group_saves_what_its_sites_save():
    candidates = by_choice(candidates_at(make_profile(), make_sensitivity()), 80.0)
    assert set(candidates) == {(group, method) for group in BLOCKS for method in ("dense", *METHODS)}
    for (group, method), candidate in candidates.items():
        if candidate.sparse:
            assert candidate.saved_seconds == pytest.approx(true_saving(group, method, 80.0), rel=1e-4)
            assert candidate.sites == site_names(group) and not candidate.predicted


def test_dense_saves_nothing_and_errs_nowhere():
    candidates = by_choice(candidates_at(make_profile(), make_sensitivity(), make_capture()), 10.0)
    dense = candidates["mid_block", "dense"]
    assert (dense.saved_seconds, dense.error, dense.local_error, dense.recall) == (0, 0, 0, 1)
    assert dense.lift == candidates["mid_block", "tome"].lift and not dense.sparse


def test_errors_are_means_over_prompts_and_steps():
    candidate = by_choice(candidates_at(make_profile(), make_sensitivity()), 20.0)["up_blocks.2", TOME]
    errors = [error("up_blocks.2", TOME, step, prompt, 20.0) for step in STEPS for prompt in range(PROMPTS)]
    assert candidate.error == pytest.approx(np.mean(errors))


def test_an_unfinished_pass_counts_where_all_options_were_recorded():
    records = make_sensitivity((10.0,))
    whole = [r for r in records if r["prompt"] == 0]
    stopped = [*whole, *[r for r in records if r["prompt"] == 1][:7]]
    assert candidates_at(make_profile(), stopped) == candidates_at(make_profile(), whole)
    first, second = whole[0], {**whole[1], "prompt": 1}
    with pytest.raises(InputError, match="at 10 s has no prompt and step that all candidates share"):
        candidates_at(make_profile(), [first, second])


def test_the_later_of_two_records_counts():
    records = make_sensitivity((10.0,))
    assert candidates_at(make_profile(), [{**r, "error": 9.0} for r in records] + records) == candidates_at(
        make_profile(), records
    )


def test_the_order_of_the_records_does_not_matter():
    records = make_sensitivity()
    assert candidates_at(make_profile(), records[::-1]) == candidates_at(make_profile(), records)


def test_the_instrument_divides_what_the_plain_steps_measure():
    """Under an instrument that takes half of what a sparse method saves, the whole saving is still the plain one."""
    profile, records = make_profile((80.0,)), make_sensitivity((80.0,))
    row = next(r for r in profile.rows if r["method"] == f"{TOME}:sites=*")
    for module in row["modules"]:
        if module["kind"] == "self_attention":
            saved = dense_site_seconds(module["name"], 80.0) - site_seconds(module["name"], 80.0, TOME)
            module["inclusive_seconds"] += saved / 2
    candidates = by_choice(candidates_at(profile, records), 80.0)
    whole = sum(candidates[group, TOME].saved_seconds for group in BLOCKS)
    assert whole == pytest.approx(sum(true_saving(group, TOME, 80.0) for group in BLOCKS), rel=1e-4)
    for group in BLOCKS:
        lacking = true_saving(group, TOME, 80.0) / 2
        share = sum(dense_site_seconds(s, 80.0) for s in site_names(group)) / sum(
            dense_site_seconds(s, 80.0) for s in SITES
        )
        missed = sum(true_saving(g, TOME, 80.0) for g in BLOCKS) / 2
        assert candidates[group, TOME].saved_seconds == pytest.approx(lacking + share * missed, rel=1e-4)


def test_what_the_instrument_adds_to_every_site_does_not_count():
    records = make_sensitivity((80.0,))
    plain, slowed = (candidates_at(make_profile((80.0,), overhead=overhead), records)[80.0] for overhead in (0.0, 0.05))
    # Modules are recorded in 6 digits.
    assert [c.saved_seconds for c in slowed] == pytest.approx([c.saved_seconds for c in plain], rel=1e-4, abs=1e-4)


def test_a_method_at_some_sites_counts_for_groups_within_them():
    profile, records = make_profile((80.0,), methods=(TOME,)), make_sensitivity((80.0,), methods=(TOME,))
    row = next(r for r in profile.rows if r["method"] == f"{TOME}:sites=*")
    for label, count, groups in (
        ("tome:sites=up_blocks.2+mid_block", 4, {"up_blocks.2", "mid_block"}),
        ("tome:sites=up_blocks.*.attn1", 6, {"up_blocks.1", "up_blocks.2"}),
        ("tome:sites=" + site_names("up_blocks.2")[0], 1, set()),
        ("tome", len(SITES), set(BLOCKS)),
    ):
        row |= {"method": label, "sites": count}
        if groups:
            assert {c.group for c in candidates_at(profile, records)[80.0]} == groups
        else:
            with pytest.raises(InputError, match="profile them as, for example, tome:sites="):
                candidates_at(profile, records)
    # Without a site in its label, a method at the paper's sites does not say which these are.
    row |= {"method": "tome", "sites": 5}
    with pytest.raises(InputError, match="none of the methods of the sensitivity pass at all of their sites"):
        candidates_at(profile, records)


def test_captured_numbers_are_means_over_the_sites():
    capture = make_capture()
    candidates = by_choice(candidates_at(make_profile(), make_sensitivity(), capture), 40.0)
    rows = [row for row in capture.summary["sites"] if row["block"] == "up_blocks.2" and row["seconds"] == 40.0]
    own = candidates["up_blocks.2", SAME_FREQUENCY]
    assert own.lift == pytest.approx(np.mean([row["lift"] for row in rows]))
    assert own.recall == pytest.approx(np.mean([row["recall"]["0"] for row in rows]))
    assert own.local_error == pytest.approx(0.3)
    assert candidates["up_blocks.2", LITEFOCUS].local_error == pytest.approx(0.1)
    weighted = candidates["up_blocks.2", WEIGHTED]
    # Which keys are drawn does not depend on their weight, what comes out does.
    assert weighted.recall == pytest.approx(0.3) and weighted.local_error is None
    assert candidates["up_blocks.2", TOME].recall is None and candidates["up_blocks.2", TOME].local_error is None


def test_local_error_is_of_the_weight_that_the_capture_had():
    capture = make_capture(cross_weight="unbiased")
    for row in capture.summary["sites"]:
        row["output_error"]["0.02"] = 0.05
    candidates = by_choice(candidates_at(make_profile(), make_sensitivity(), capture), 40.0)
    assert candidates["mid_block", WEIGHTED].local_error == pytest.approx(0.05)
    assert candidates["mid_block", LITEFOCUS].local_error is None
    assert candidates["mid_block", SAME_FREQUENCY].local_error == pytest.approx(0.3)


def test_without_a_capture_lift_and_recall_are_not_known():
    candidates = candidates_at(make_profile(), make_sensitivity(), make_capture(seconds=(10.0,)))
    assert all(c.lift is not None for c in candidates[10.0])
    assert all(c.lift is None and (c.recall is None or not c.sparse) for c in candidates[80.0])


def test_a_length_not_measured_is_predicted_from_flops():
    profile, records = make_profile((10.0, 40.0)), make_sensitivity((10.0, 40.0, 80.0))
    assert sorted(candidates_at(profile, records)) == [10.0, 40.0]
    flops = {80.0: make_flops(80.0)}
    candidates = by_choice(candidates_at(profile, records, flops=flops), 80.0)
    assert all(candidate.predicted for candidate in candidates.values() if candidate.sparse)
    # FLOPs are in proportion to time here, so the prediction is exact.
    for group in BLOCKS:
        assert candidates[group, TOME].saved_seconds == pytest.approx(true_saving(group, TOME, 80.0), rel=1e-3)
    seconds, predicted = CostModel(profile, flops).dense_step(80.0)
    dense = make_profile((80.0,)).row(80.0, "dense")["step_seconds_median"]
    assert predicted and seconds == pytest.approx(dense, rel=1e-3)
    assert CostModel(profile, flops).dense_step(40.0) == (profile.row(40.0, "dense")["step_seconds_median"], False)


def test_a_method_measured_at_another_length_is_predicted():
    profile = make_profile((10.0, 80.0))
    kept = [r for r in profile.rows if not (r["seconds"] == 80.0 and r["method"] == f"{TOME}:sites=*")]
    profile = replace(profile, summary={**profile.summary, "rows": kept})
    candidates = by_choice(candidates_at(profile, make_sensitivity((80.0,)), flops={80.0: make_flops(80.0)}), 80.0)
    assert candidates["mid_block", TOME].predicted and not candidates["mid_block", LITEFOCUS].predicted
    assert candidates["mid_block", TOME].saved_seconds == pytest.approx(true_saving("mid_block", TOME, 80.0), rel=1e-3)


def test_a_method_has_the_times_of_its_stand_in():
    weighted = "litefocus:cross_fraction=0.02:cross_weight=18.8"
    profile, flops = make_profile((10.0, 20.0)), {80.0: make_flops(80.0)}
    records = [{**r, "method": weighted} for r in make_sensitivity((20.0, 80.0), methods=(WEIGHTED,))]
    found = candidates_at(profile, records, flops=flops)
    for seconds, predicted in ((20.0, False), (80.0, True)):
        candidate = by_choice(found, seconds)["mid_block", weighted]
        assert candidate.saved_seconds == pytest.approx(true_saving("mid_block", WEIGHTED, seconds), rel=1e-3)
        assert candidate.predicted is predicted
    assert CostModel(profile).unmeasured([MethodSpec.parse(weighted)], (10.0,)) == []


def test_a_length_without_a_dense_step_is_refused():
    with pytest.raises(InputError, match="no dense step at 80 s, only at 10, 20: measure that length too"):
        CostModel(make_profile((10.0, 20.0))).dense_step(80.0)


def test_what_was_not_measured_is_listed():
    profile = make_profile((10.0,), methods=(LITEFOCUS,))
    methods = map(MethodSpec.parse, ("dense", LITEFOCUS, TOME))
    wanted = [(seconds, str(method)) for seconds, method in CostModel(profile).unmeasured(methods, (10.0, 20.0))]
    assert wanted == [(10.0, "tome"), (20.0, "dense"), (20.0, "litefocus"), (20.0, "tome")]


def test_savings_by_site():
    litefocus = MethodSpec.parse(LITEFOCUS)
    saved = CostModel(make_profile()).saved_by_site(80.0, litefocus)
    assert list(saved) == list(SITES)
    site = site_names("up_blocks.2")[0]
    expected = dense_site_seconds(site, 80.0) - site_seconds(site, 80.0, LITEFOCUS)
    assert saved[site] == pytest.approx(expected, rel=1e-4)
    assert set(CostModel(make_profile(methods=(TOME,))).saved_by_site(80.0, litefocus).values()) == {None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"name": "made-up", "unet_fingerprint": "9999"}}, "model made-up .1234., the capture with made-up"),
        ({"device": "cuda"}, "device cpu, the capture with cuda"),
        ({"machine": {"processor": "none", "threads": 1, "accelerator": "A"}}, "device cpu, the capture with A"),
        ({"dtype": "bfloat16"}, "dtype float32, the capture with bfloat16"),
    ],
)
def test_records_of_different_models_are_refused(changes, words):
    with pytest.raises(InputError, match=words) as refusal:
        check_comparable({"profile": make_info(), "capture": make_info(**changes)})
    assert "cannot be put together; make both with one" in str(refusal.value) and "\n" not in str(refusal.value)


def test_models_with_equal_unets_are_told_apart_by_what_differs():
    model = {**make_info().model, "weights": {"unet": "1234", "vae": "5678"}}
    other = {**model, "weights": {"unet": "1234", "vae": "9999"}}
    with pytest.raises(InputError, match="differ in weights of vae"):
        check_comparable({"profile": make_info(model=model), "capture": make_info(model=other)})


def test_records_that_lack_what_made_them_are_refused():
    knowing = make_info(model={**make_info().model, "weights": {"unet": "1234"}})
    with pytest.raises(InputError, match="the profile was written by .*which did not record what made it"):
        check_comparable({"model given": knowing, "profile": make_info(), "capture": None})
    check_comparable({"profile": make_info(), "capture": make_info()})


def test_one_model_under_two_names_is_the_same():
    other = make_info(model={**make_info().model, "name": "/elsewhere", "revision": "abc"})
    check_comparable({"profile": make_info(), "capture": None, "sensitivity pass": other})
    check_comparable({"profile": make_info(device="cuda:0"), "capture": make_info(device="cuda")})
    with pytest.raises(InputError, match="model a, the capture with b"):
        check_comparable({"profile": make_info(model={"name": "a"}), "capture": make_info(model={"name": "b"})})


def test_wrong_records_are_refused():
    with pytest.raises(InputError, match="there is no sensitivity record"):
        candidates_at(make_profile(), [{"kind": "joint"}])
    unknown = {**make_sensitivity((10.0,))[0], "sites": ["down_blocks.9.attn1"]}
    with pytest.raises(InputError, match="names the site 'down_blocks.9.attn1', which the profile has not"):
        candidates_at(make_profile(), [unknown])
    first, second = make_sensitivity((10.0,))[:2]
    with pytest.raises(InputError, match="two different lists of sites for 'down_blocks.1'"):
        candidates_at(make_profile(), [first, {**second, "sites": first["sites"][:1]}])
