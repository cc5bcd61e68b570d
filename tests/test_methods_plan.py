"""What a plan does to a pipeline."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import HeunDiscreteScheduler, PNDMScheduler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from focuslab.attention.grid import Grid
from focuslab.errors import InputError
from focuslab.hooks.meta_cost import meta_cost
from focuslab.measure.profile import profile
from focuslab.methods import Bound, Dense, LiteFocus, Plan, TokenMerging, as_method, parse_method
from focuslab.methods.base import Method
from focuslab.models.families import AUDIOLDM2, RECIPES
from focuslab.models.identity import unet_layout
from focuslab.models.lengths import latent_frames
from focuslab.models.sites import find_sites, select_sites
from focuslab.runs.plan import PlanEntry, PlanSpec
from tests.plans import everywhere, plan_of


@pytest.fixture(scope="module")
def layout(session_pipe):
    return unet_layout(session_pipe)


@pytest.fixture(scope="module")
def names(session_pipe):
    """names(pattern) -> names of sites; None is the paper's choice."""
    return lambda pattern=None: [site.name for site in select_sites(find_sites(session_pipe), pattern)]


@pytest.fixture
def seen(monkeypatch):
    """(step, site, method) of every call of a method at a site."""
    calls = []
    original = Method.forward

    def forward(self, attn, hidden_states, call):
        calls.append((call.step, call.site.name, self))
        return original(self, attn, hidden_states, call)

    monkeypatch.setattr(Method, "forward", forward)
    return calls


def processors(pipe):
    return dict(pipe.unet.attn_processors)


def hooks(pipe):
    return sum(len(m._forward_pre_hooks) for m in pipe.unet.modules())


def by_length(layout, names):
    """Another entry at 15, at 16 and at 80 s."""
    return plan_of(
        {
            0: {},
            15: everywhere(names("mid_block"), cross_fraction=0.2),
            16: everywhere(names("down_blocks.1"), cross_fraction=0.1, cross_weight=2.5),
            80: everywhere(names(), cross_fraction=0.01, cross_weight="unbiased"),
        },
        layout,
    )


def test_the_layout_is_that_of_the_running_unet(layout, session_pipe, twin, inputs):
    grids = meta_cost(twin, inputs(10), Bound(sites="*")).grids
    assert {name: shape["mel_rows"] for name, shape in layout["sites"].items()} == {
        name: grid.mel_rows for name, grid in grids.items()
    }
    for name, shape in layout["sites"].items():
        attn = session_pipe.unet.get_submodule(name)
        assert (shape["heads"], shape["heads"] * shape["head_width"]) == (attn.heads, attn.to_q.out_features)
    assert (layout["frame_seconds"], layout["frames_per_latent"], layout["latent_mel_rows"]) == (0.01, 4, 16)


@pytest.mark.parametrize("seconds, entry", [(14.96, 0), (15, 1), (15.96, 1), (16, 2), (79.96, 2), (80, 3)])
def test_the_entry_is_that_of_the_length(layout, names, twin, inputs, seen, seconds, entry):
    plan = by_length(layout, names)
    run = meta_cost(twin, inputs(seconds), plan)
    expected = plan.entries[entry].sites
    assert run.grids.keys() == expected.keys() == {site for _, site, _ in seen}
    for _, site, method in seen:
        assert {"method": "litefocus"} | {k: getattr(method, k) for k in expected[site] if k != "method"} == expected[
            site
        ]
    assert not any(m._forward_pre_hooks for m in twin.modules())


def test_one_attachment_follows_the_length_from_generation_to_generation(pipe, layout, names, seen):
    plan = by_length(layout, names)
    with plan(pipe) as handle:
        for seconds, entry in ((15, 1), (16, 2), (80, 3), (14, 0), (15, 1)):
            seen.clear()
            pipe("rain", audio_length_in_s=seconds, num_inference_steps=1, guidance_scale=1, output_type="latent")
            expected = plan.entries[entry].sites
            assert sorted(site for _, site, _ in seen) == sorted(expected)
            assert {method.cross_fraction for *_, method in seen} == {s["cross_fraction"] for s in expected.values()}
            assert handle.grids.keys() == expected.keys()


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=4, unique=True).map(sorted),
    st.integers(4, 4000),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_length_has_the_entry_it_has_in_seconds_but_for_the_rounding_of_the_latents(
    session_pipe, layout, starts, hundredths
):
    starts = [0, *(start / 10 for start in starts)]
    planned = plan_of({start: {} for start in starts}, layout)
    seconds = hundredths / 100
    frames = latent_frames(session_pipe, seconds)
    (nominal,) = [e for e in planned.entries if e.min_seconds <= seconds < (e.max_seconds or float("inf"))]
    chosen = planned.entry_of(frames)
    assert chosen == nominal or nominal.max_seconds <= chosen.min_seconds < seconds + 0.05
    assert latent_frames(session_pipe, chosen.min_seconds) <= frames
    for start in starts[1:]:
        assert planned.entry_of(latent_frames(session_pipe, start)).min_seconds >= start


def test_litefocus_at_the_sites_of_the_paper_sounds_as_litefocus_bit_for_bit(pipe, layout, names, sound):
    dense = sound()
    with LiteFocus(cross_fraction=0.2, cross_weight="unbiased", seed=5)(pipe):
        expected = sound(), sound(seed=1)
    plan = plan_of({0: everywhere(names(), cross_fraction=0.2, cross_weight="unbiased", seed=5)}, layout)
    with plan(pipe):
        assert np.array_equal(sound(), expected[0]) and np.array_equal(sound(seed=1), expected[1])
    assert not np.array_equal(dense, expected[0])
    # At other sites the same keys are drawn: a site does not depend on what runs beside it.
    mixed = plan_of({0: everywhere(names("mid_block"), "tome") | everywhere(names())}, layout)
    with mixed(pipe):
        planned = sound()
    with LiteFocus()(pipe), TokenMerging(sites="mid_block")(pipe):
        assert np.array_equal(sound(), planned)


def test_where_the_entry_is_dense_the_sound_is_that_of_the_pipeline_bit_for_bit(pipe, layout, names, sound):
    dense = sound()
    with plan_of({0: {}, 1.32: everywhere(names("*"))}, layout)(pipe) as handle:
        assert np.array_equal(sound(seconds=1.28), dense) and handle.grids == {}
        assert not np.array_equal(sound(seconds=1.32), dense)
        assert np.array_equal(sound(seconds=1.28), dense) and handle.grids == {}
    with plan_of({0: {}}, layout)(pipe) as handle:
        assert handle.sites == () and np.array_equal(sound(), dense)


def test_one_plan_after_another_leaves_nothing_behind(pipe, layout, names, sound):
    before, count, dense = processors(pipe), hooks(pipe), sound()
    first = plan_of({0: everywhere(names(), cross_fraction=0)}, layout)
    second = plan_of({0: {}, 1: everywhere(names("mid_block"), "tome")}, layout)
    sounds = []
    for plan in (first, second, first):
        with plan(pipe) as handle:
            sounds.append(sound())
        handle.remove()
        after = processors(pipe)
        assert after.keys() == before.keys() and all(after[n] is before[n] for n in before)
        assert hooks(pipe) == count
    assert np.array_equal(sounds[0], sounds[2]) and not np.array_equal(sounds[0], sounds[1])
    assert np.array_equal(sound(), dense)


def test_an_error_leaves_nothing_behind_either(pipe, layout, names, sound, monkeypatch):
    before, count = processors(pipe), hooks(pipe)
    plan = plan_of({0: everywhere(names())}, layout)

    def fails(self, q, k, v, call):
        raise ZeroDivisionError

    with LiteFocus(sites=names()[-1])(pipe):
        with pytest.raises(InputError, match="already has a focuslab method attached"):
            plan.attach(pipe)
    with plan(pipe), pytest.raises(InputError, match="already has a focuslab method attached"):
        LiteFocus().attach(pipe)
    monkeypatch.setattr(LiteFocus, "core", fails)
    with pytest.raises(ZeroDivisionError), plan(pipe):
        sound()
    assert all(processors(pipe)[n] is before[n] for n in before) and hooks(pipe) == count


def test_the_first_and_last_steps_stay_dense(pipe, layout, names, sound, seen):
    plan = plan_of({0: everywhere(names("mid_block"))}, layout, dense_steps={"first": 2, "last": 1})
    with plan(pipe):
        for _ in range(2):
            seen.clear()
            sound(steps=5)
            assert sorted((step, site) for step, site, _ in seen) == sorted(
                (step, site) for step in (2, 3) for site in names("mid_block")
            )
        planned = sound(steps=3)
    assert np.array_equal(planned, sound(steps=3))


def test_a_step_of_a_scheduler_of_second_order_is_two_calls_of_the_unet(pipe, layout, names, sound, seen, monkeypatch):
    monkeypatch.setattr(pipe, "scheduler", HeunDiscreteScheduler.from_config(pipe.scheduler.config))
    with plan_of({0: everywhere(names("mid_block"))}, layout, dense_steps={"first": 1, "last": 1})(pipe):
        sound(steps=4)
    assert sorted({step for step, *_ in seen}) == [2, 3, 4, 5] and len(pipe.scheduler.timesteps) == 7


def test_dense_steps_of_pndm_are_whole_runge_kutta_steps(pipe, layout, names, sound, seen, monkeypatch):
    monkeypatch.setattr(pipe, "scheduler", PNDMScheduler.from_config(pipe.scheduler.config))
    with plan_of({0: everywhere(names("mid_block"))}, layout, dense_steps={"first": 2, "last": 1})(pipe):
        sound(steps=5)
    assert sorted({step for step, *_ in seen}) == list(range(8, 13)) and len(pipe.scheduler.timesteps) == 14


def test_a_unet_alone_has_no_first_and_last_steps(pipe, layout, names):
    plan = plan_of({0: everywhere(names("mid_block"))}, layout, dense_steps={"first": 1, "last": 0})
    with pytest.raises(InputError, match=r"a UNet alone does not know.*at_every_step"):
        plan.attach(pipe.unet)
    with plan.at_every_step()(pipe.unet) as handle:
        assert [site.name for site in handle.sites] == names("mid_block")
    planned = as_method(plan)
    assert planned.dense_steps_at(pipe, 10) == (1, 0) and planned.at_every_step().dense_steps_at(pipe, 10) == (0, 0)
    assert as_method(Dense()) == Dense() and LiteFocus().dense_steps_at(pipe, 10) == (0, 0)


def other(layout, site=None, **changes):
    """A layout that differs: at one site, or in a number."""
    sites = layout["sites"]
    return {**layout, "sites": {**sites, site: {**sites[site], **changes}}} if site else {**layout, **changes}


def test_another_unet_is_refused_with_the_first_difference(pipe, layout, names, sound):
    first = names("*")[0]
    sites = layout["sites"]
    more = {**sites, "mid_block.attentions.7.attn1": sites[first]}
    less = {name: shape for name, shape in sites.items() if name != first}
    before = processors(pipe)
    for changed, message in (
        (other(layout, first, heads=5), f"expects 5 heads.*at {first}, and this UNet has 2 heads"),
        (other(layout, first, head_width=9), "expects 2 heads of width 9 .* has 2 heads of width 16"),
        (other(layout, first, mel_rows=7), "over 7 mel rows .* over 8 mel rows"),
        (other(layout, latent_mel_rows=32), "over 8 mel rows .* over 16 mel rows"),
        (other(layout, sites=more), "this UNet has no mid_block.attentions.7.attn1"),
        (other(layout, sites=less), f"it does not know {first} of this UNet"),
        (other(layout, frame_seconds=0.02), "expects frame_seconds 0.02, and this pipeline has 0.01"),
        (other(layout, frames_per_latent=8), "expects frames_per_latent 8, and this pipeline has 4"),
    ):
        with pytest.raises(InputError, match=f"for another UNet.*made for 'random:tiny'.*{message}") as caught:
            plan_of({0: {}}, changed).attach(pipe)
        assert "\n" not in str(caught.value)
    with torch.device("meta"):
        large = AUDIOLDM2.unet(RECIPES["random:audioldm2-large"])
    with pytest.raises(InputError, match="for another UNet"):
        plan_of({0: everywhere(names())}, layout).attach(large)
    with pytest.raises(InputError, match="expected a diffusers pipeline with a UNet"):
        plan_of({0: {}}, layout).attach("tiny")
    assert all(processors(pipe)[n] is before[n] for n in before)


WRONG = {
    "method": ({"method": "litefocs"}, r"no method 'litefocs' for a site, only eager.*did you mean litefocus\?"),
    "dense": ({"method": "dense"}, "'dense' for a site.*a site that stays dense is left out"),
    "bound": ({"method": "bound"}, "there is no method 'bound' for a site"),
    "parameter": (
        {"method": "litefocus", "cross_fracton": 0.1},
        r"litefocus has no parameter 'cross_fracton'.*did you mean cross_fraction\?",
    ),
    "sites": ({"method": "tome", "sites": "mid_block"}, "tome has no parameter 'sites', only ratio, seed"),
    "what the name fixes": ({"method": "same-frequency", "cross_fraction": 0.1}, "no parameter 'cross_fraction'"),
    "value": ({"method": "litefocus", "cross_fraction": 1.5}, "cross_fraction must be a fraction from 0 to 1, not 1.5"),
}


@pytest.mark.parametrize("given, message", WRONG.values(), ids=WRONG)
def test_what_no_method_takes_is_refused_with_its_place(layout, names, tmp_path, given, message):
    site = names("mid_block")[0]
    whole = plan_of({0: {}}, layout)
    spec = PlanSpec(whole.model, whole.unet, (PlanEntry(0, 10), PlanEntry(10, None, {site: given})))
    path = spec.write(tmp_path / "p.json")
    for refused in (lambda: Plan.of(spec), lambda: as_method(spec), lambda: parse_method(f"plan:{path}")):
        with pytest.raises(InputError, match=rf"entries\[1\].sites\['{site}'\]: .*{message}") as caught:
            refused()
        assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'p.json'}: ")


def test_a_plan_is_named_by_its_file(layout, names, tmp_path):
    plan = plan_of({0: everywhere(names(), "same-frequency", seed=3)}, layout)
    path = plan.write(tmp_path / "a:b.json")
    assert parse_method(f" plan:{path} ") == plan == as_method(plan)
    assert plan.fingerprint in repr(plan)
    for text, message in (
        ("plan", "write plan:FILE"),
        ("plan:", "write plan:FILE"),
        ("plan:no.json", "no.json does not"),
    ):
        with pytest.raises(InputError, match=message):
            parse_method(text)
    with pytest.raises(InputError, match=r"only dense, .*plan:FILE"):
        parse_method("pan")


def test_a_profile_sets_a_plan_beside_its_bound_and_ideal(pipe, layout, names, tmp_path):
    sites = everywhere(names()) | everywhere(names("mid_block"), "tome", ratio=0.3)
    plan = plan_of({0: {}, 1: sites}, layout, dense_steps={"first": 3, "last": 1})
    path = plan.write(tmp_path / "plan.json")
    label = f"plan:{path}"
    run = profile(pipe, (0.64, 1.28), ("dense", label), repeats=1)
    assert [(row["seconds"], row["method"]) for row in run.rows] == [
        (0.64, "dense"),
        (0.64, label),
        (1.28, "dense"),
        (1.28, label),
        (1.28, f"bound:{label}"),
    ]
    below, dense = run.row(0.64, label), run.row(1.28, "dense")
    assert (below["sites"], below["bound_seconds"], below["ideal_seconds"], below["kept_pairs"]) == (
        0,
        None,
        None,
        None,
    )
    assert below["flops_per_step"] == run.row(0.64, "dense")["flops_per_step"]

    above, bound = run.row(1.28, label), run.row(1.28, f"bound:{label}")
    grids = dict(run.info.grids["1.28"])
    assert set(grids) == set(sites) and above["sites"] == bound["sites"] == len(sites)
    planned = plan.sites_at(pipe, 1.28)
    width = {name: shape["heads"] * shape["head_width"] for name, shape in layout["sites"].items()}
    work = {name: (t * f) ** 2 * width[name] for name, (t, f) in grids.items()}
    shares = {name: planned[name].density(Grid(*grids[name])) for name in grids}
    assert len(set(shares.values())) == 2
    kept = sum(work[name] * shares[name] for name in grids) / sum(work.values())
    assert above["kept_pairs"] == pytest.approx(kept) and 0 < kept < 1
    assert above["bound_seconds"] == bound["step_seconds_median"]
    assert above["ideal_seconds"] == pytest.approx(
        bound["step_seconds_median"] + kept * (dense["step_seconds_median"] - bound["step_seconds_median"])
    )
    # The first step of a generation stays dense: what is measured is a later one.
    assert bound["flops_per_step"] < above["flops_per_step"] < dense["flops_per_step"]
    assert above["dense_steps"] == 4 and below["dense_steps"] == 4 and dense["dense_steps"] == 0
    assert plan.fingerprint in run.info.parameters["methods"][label]


def test_a_plan_at_the_sites_of_a_method_shares_its_bound(pipe, layout, names):
    plan = plan_of({0: everywhere(list(reversed(names())), cross_fraction=0)}, layout)
    run = profile(pipe, (0.64,), {"plan": plan, "litefocus": LiteFocus()}, repeats=1)
    assert [row["method"] for row in run.rows] == ["plan", "litefocus", "bound:plan"]
    assert {r["bound"] for r in run.records if r["kind"] == "expected"} == {"bound:plan", None}
    assert run.row(0.64, "plan")["kept_pairs"] == pytest.approx(1 / 8)


def test_plans_are_equal_by_what_they_hold(layout, names):
    plan = plan_of({0: everywhere(names())}, layout)
    assert plan == replace(plan) != plan_of({0: {}}, layout)
    assert hash(plan) == hash(replace(plan))
