from dataclasses import replace

import numpy as np
import pytest

from focuslab.errors import InputError
from focuslab.runs.method_spec import brief, join_label, split_label, without_sites
from focuslab.search.options import (
    check_comparable,
    dense_seconds_of,
    options_of,
    saved_by_site,
    unmeasured,
)
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


def by_choice(options, seconds):
    return {(o.group, o.method): o for o in options[seconds]}


def true_saving(group, method, seconds):
    return sum(dense_site_seconds(s, seconds) - site_seconds(s, seconds, method) for s in site_names(group))


def test_a_group_saves_what_its_sites_save():
    options = by_choice(options_of(make_profile(), make_sensitivity()), 80.0)
    assert set(options) == {(group, method) for group in BLOCKS for method in ("dense", *map(without_sites, METHODS))}
    for (group, method), option in options.items():
        if option.sparse:
            assert option.saved_seconds == pytest.approx(true_saving(group, method, 80.0), rel=1e-4)
            assert option.sites == site_names(group) and not option.predicted


def test_dense_saves_nothing_and_errs_nowhere():
    options = by_choice(options_of(make_profile(), make_sensitivity(), make_capture()), 10.0)
    dense = options["mid_block", "dense"]
    assert (dense.saved_seconds, dense.error, dense.local_error, dense.recall) == (0, 0, 0, 1)
    assert dense.lift == options["mid_block", "tome"].lift and not dense.sparse


def test_errors_are_means_over_prompts_and_steps_and_by_step():
    option = by_choice(options_of(make_profile(), make_sensitivity()), 20.0)["up_blocks.2", TOME]
    expected = {
        step: np.mean([error("up_blocks.2", TOME, step, prompt, 20.0) for prompt in range(PROMPTS)]) for step in STEPS
    }
    assert dict(option.step_errors) == pytest.approx(expected)
    assert option.error == pytest.approx(np.mean(list(expected.values())))


def test_an_unfinished_pass_counts_where_all_options_were_recorded():
    records = make_sensitivity((10.0,))
    whole = [r for r in records if r["prompt"] == 0]
    stopped = [*whole, *[r for r in records if r["prompt"] == 1][:7]]
    assert options_of(make_profile(), stopped) == options_of(make_profile(), whole)
    first, second = whole[0], {**whole[1], "prompt": 1}
    with pytest.raises(InputError, match="at 10 s has no prompt and step that all options share"):
        options_of(make_profile(), [first, second])


def test_the_later_of_two_records_counts():
    records = make_sensitivity((10.0,))
    assert options_of(make_profile(), [{**r, "error": 9.0} for r in records] + records) == options_of(
        make_profile(), records
    )


def test_the_order_of_the_records_does_not_matter():
    records = make_sensitivity()
    assert options_of(make_profile(), records[::-1]) == options_of(make_profile(), records)


def test_the_instrument_divides_what_the_plain_steps_measure():
    """Under an instrument that takes half of what a sparse method saves, the whole saving is still the plain one."""
    profile, records = make_profile((80.0,)), make_sensitivity((80.0,))
    row = next(r for r in profile.rows if r["method"] == f"{TOME}:sites=*")
    for module in row["modules"]:
        if module["kind"] == "self_attention":
            saved = dense_site_seconds(module["name"], 80.0) - site_seconds(module["name"], 80.0, TOME)
            module["inclusive_seconds"] += saved / 2
    options = by_choice(options_of(profile, records), 80.0)
    whole = sum(options[group, TOME].saved_seconds for group in BLOCKS)
    assert whole == pytest.approx(sum(true_saving(group, TOME, 80.0) for group in BLOCKS), rel=1e-4)
    for group in BLOCKS:
        lacking = true_saving(group, TOME, 80.0) / 2
        share = sum(dense_site_seconds(s, 80.0) for s in site_names(group)) / sum(
            dense_site_seconds(s, 80.0) for s in SITES
        )
        missed = sum(true_saving(g, TOME, 80.0) for g in BLOCKS) / 2
        assert options[group, TOME].saved_seconds == pytest.approx(lacking + share * missed, rel=1e-4)


def test_what_the_instrument_adds_to_every_site_does_not_count():
    records = make_sensitivity((80.0,))
    plain, slowed = (options_of(make_profile((80.0,), overhead=o), records)[80.0] for o in (0.0, 0.05))
    # Modules are recorded in 6 digits.
    assert [o.saved_seconds for o in slowed] == pytest.approx([o.saved_seconds for o in plain], rel=1e-4, abs=1e-4)


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
            assert {o.group for o in options_of(profile, records)[80.0]} == groups
        else:
            with pytest.raises(InputError, match="profile them as, for example, tome:sites="):
                options_of(profile, records)
    # Without a site in its label, a method at the paper's sites does not say which these are.
    row |= {"method": "tome", "sites": 5}
    with pytest.raises(InputError, match="none of the methods of the sensitivity pass at all of their sites"):
        options_of(profile, records)


def test_recall_error_and_lift_of_the_capture_are_means_over_the_sites():
    capture = make_capture()
    options = by_choice(options_of(make_profile(), make_sensitivity(), capture), 40.0)
    rows = [row for row in capture.summary["sites"] if row["block"] == "up_blocks.2" and row["seconds"] == 40.0]
    own = options["up_blocks.2", SAME_FREQUENCY]
    assert own.lift == pytest.approx(np.mean([row["lift"] for row in rows]))
    assert own.recall == pytest.approx(np.mean([row["recall"]["0"] for row in rows]))
    assert own.local_error == pytest.approx(0.3)
    assert options["up_blocks.2", LITEFOCUS].local_error == pytest.approx(0.1)
    weighted = options["up_blocks.2", without_sites(WEIGHTED)]
    # Which keys are drawn does not depend on their weight, what comes out does.
    assert weighted.recall == pytest.approx(0.3) and weighted.local_error is None
    assert options["up_blocks.2", TOME].recall is None and options["up_blocks.2", TOME].local_error is None


def test_local_error_is_of_the_weight_that_the_capture_had():
    capture = make_capture(cross_weight="unbiased")
    for row in capture.summary["sites"]:
        row["output_error"]["0.02"] = 0.05
    options = by_choice(options_of(make_profile(), make_sensitivity(), capture), 40.0)
    assert options["mid_block", without_sites(WEIGHTED)].local_error == pytest.approx(0.05)
    assert options["mid_block", LITEFOCUS].local_error is None
    assert options["mid_block", SAME_FREQUENCY].local_error == pytest.approx(0.3)


def test_without_a_capture_of_that_length_lift_and_recall_are_not_known():
    options = options_of(make_profile(), make_sensitivity(), make_capture(seconds=(10.0,)))
    assert all(o.lift is not None for o in options[10.0])
    assert all(o.lift is None and (o.recall is None or not o.sparse) for o in options[80.0])


def test_a_length_that_was_not_measured_is_filled_in_from_flops_and_says_so():
    profile, records = make_profile((10.0, 40.0)), make_sensitivity((10.0, 40.0, 80.0))
    assert sorted(options_of(profile, records)) == [10.0, 40.0]
    flops = {80.0: make_flops(80.0)}
    options = by_choice(options_of(profile, records, flops=flops), 80.0)
    assert all(option.predicted for option in options.values() if option.sparse)
    # FLOPs are in proportion to time here, so the prediction is exact.
    for group in BLOCKS:
        assert options[group, TOME].saved_seconds == pytest.approx(true_saving(group, TOME, 80.0), rel=1e-3)
    seconds, predicted = dense_seconds_of(profile, 80.0, flops)
    dense = make_profile((80.0,)).row(80.0, "dense")["step_seconds_median"]
    assert predicted and seconds == pytest.approx(dense, rel=1e-3)
    assert dense_seconds_of(profile, 40.0, flops) == (profile.row(40.0, "dense")["step_seconds_median"], False)


def test_a_method_that_was_measured_at_another_length_is_filled_in_beside_measured_dense():
    profile = make_profile((10.0, 80.0))
    kept = [r for r in profile.rows if not (r["seconds"] == 80.0 and r["method"] == f"{TOME}:sites=*")]
    profile = replace(profile, summary={**profile.summary, "rows": kept})
    options = by_choice(options_of(profile, make_sensitivity((80.0,)), flops={80.0: make_flops(80.0)}), 80.0)
    assert options["mid_block", TOME].predicted and not options["mid_block", LITEFOCUS].predicted
    assert options["mid_block", TOME].saved_seconds == pytest.approx(true_saving("mid_block", TOME, 80.0), rel=1e-3)


def test_a_length_without_a_dense_step_is_refused():
    with pytest.raises(InputError, match="no dense step at 80 s, only at 10, 20: measure that length too"):
        dense_seconds_of(make_profile((10.0, 20.0)), 80.0)


def test_what_was_not_measured_is_listed():
    profile = make_profile((10.0,), methods=(LITEFOCUS,))
    wanted = unmeasured(profile, ["dense", "litefocus:sites=*", TOME], (10.0, 20.0))
    assert wanted == [(10.0, "tome"), (20.0, "dense"), (20.0, "litefocus"), (20.0, "tome")]


def test_savings_by_site():
    saved = saved_by_site(make_profile(), 80.0, LITEFOCUS)
    assert list(saved) == sorted(SITES)
    site = site_names("up_blocks.2")[0]
    expected = dense_site_seconds(site, 80.0) - site_seconds(site, 80.0, LITEFOCUS)
    assert saved[site] == pytest.approx(expected, rel=1e-4)
    assert set(saved_by_site(make_profile(methods=(TOME,)), 80.0, LITEFOCUS).values()) == {None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"name": "made-up", "unet_fingerprint": "9999"}}, "model made-up .1234., the capture with made-up"),
        ({"device": "cuda"}, "device cpu, the capture with cuda"),
        ({"machine": {"processor": "none", "threads": 1, "accelerator": "A"}}, "device cpu, the capture with A"),
        ({"dtype": "bfloat16"}, "dtype float32, the capture with bfloat16"),
    ],
)
def test_records_of_different_models_devices_or_dtypes_are_refused_in_one_line(changes, words):
    with pytest.raises(InputError, match=words) as refusal:
        options_of(make_profile(), make_sensitivity(), make_capture(**changes))
    assert "cannot be put together; make both with one" in str(refusal.value) and "\n" not in str(refusal.value)


def test_models_with_equal_unets_are_told_apart_by_what_differs():
    model = {**make_info().model, "weights": {"unet": "1234", "vae": "5678"}}
    other = {**model, "weights": {"unet": "1234", "vae": "9999"}}
    with pytest.raises(InputError, match="differ in weights of vae"):
        check_comparable({"profile": make_info(model=model), "capture": make_info(model=other)})


def test_records_that_do_not_hold_what_made_them_are_put_together_with_none_that_do():
    knowing = make_info(model={**make_info().model, "weights": {"unet": "1234"}})
    with pytest.raises(InputError, match="the profile was written by .*which did not record what made it"):
        check_comparable({"model given": knowing, "profile": make_info(), "capture": None})
    check_comparable({"profile": make_info(), "capture": make_info()})


def test_one_model_under_two_names_and_one_kind_of_device_are_the_same():
    other = make_info(model={**make_info().model, "name": "/elsewhere", "revision": "abc"})
    check_comparable({"profile": make_info(), "capture": None, "sensitivity pass": other})
    check_comparable({"profile": make_info(device="cuda:0"), "capture": make_info(device="cuda")})
    with pytest.raises(InputError, match="model a, the capture with b"):
        check_comparable({"profile": make_info(model={"name": "a"}), "capture": make_info(model={"name": "b"})})


def test_wrong_records_are_refused():
    with pytest.raises(InputError, match="there is no sensitivity record"):
        options_of(make_profile(), [{"kind": "joint"}])
    unknown = {**make_sensitivity((10.0,))[0], "sites": ["down_blocks.9.attn1"]}
    with pytest.raises(InputError, match="names the site 'down_blocks.9.attn1', which the profile has not"):
        options_of(make_profile(), [unknown])
    first, second = make_sensitivity((10.0,))[:2]
    with pytest.raises(InputError, match="two different lists of sites for 'down_blocks.1'"):
        options_of(make_profile(), [first, {**second, "sites": first["sites"][:1]}])


def test_labels_are_taken_apart_and_put_together():
    assert split_label("litefocus:cross_fraction=0.2:cross_weight=unbiased:sites=a+b") == (
        "litefocus",
        {"cross_fraction": 0.2, "cross_weight": "unbiased", "sites": ("a", "b")},
    )
    assert split_label("litefocus:same_frequency=False")[1] == {"same_frequency": False}
    label = "litefocus:cross_fraction=0.02:cross_weight=unbiased"
    assert join_label(*split_label(label)) == label
    assert without_sites("litefocus:sites=*:cross_weight=unbiased:cross_fraction=0.02") == label
    assert brief(label) == "litefocus r=0.02 w=1/r" and brief("tome:ratio=0.5") == "tome ratio=0.5"
    assert brief("litefocus:length_scale=true:sites=a+b") == "litefocus length_scale=true sites=a+b"
    assert brief("dense") == "dense" and brief("plan:plans/mine.json") == "plan mine"
