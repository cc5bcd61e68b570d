"""Caches and compositions in profile, evaluate and generate: a step is the mean of a cycle of steps."""

import pytest

from focuslab import DeepCache, evaluate, generate, profile
from focuslab.hooks.meta_cost import meta_cost
from focuslab.measure.evaluation.cost import estimate
from focuslab.measure.evaluation.job import prepare
from focuslab.methods import Dense, parse_method
from focuslab.models.identity import unet_layout
from focuslab.models.sites import find_sites, select_sites
from tests.clocks import HandClock
from tests.plans import everywhere, plan_of
from tests.schedulers import with_scheduler

CACHE, BOTH = "deepcache:interval=3", "deepcache:interval=3+litefocus"


class AttentionClock(HandClock):
    """A second passes whenever a self-attention is computed, and nothing else takes time."""

    def __init__(self, pipe):
        super().__init__()
        self.sites = [pipe.unet.get_submodule(site.name) for site in find_sites(pipe)]
        self.hooks = [site.to_q.register_forward_hook(self._count) for site in self.sites]

    def _count(self, *_):
        self.now += 1


@pytest.fixture
def clock(pipe, monkeypatch):
    clock = AttentionClock(pipe)
    monkeypatch.setattr("focuslab.measure.profiler.clock_for", lambda _device: clock)
    yield clock
    for hook in clock.hooks:
        hook.remove()


@pytest.mark.parametrize("scheduler", [None, "heun"])
def test_a_step_is_the_mean_of_a_cycle(pipe, clock, scheduler):
    run = profile(pipe, 0.16, ("dense", CACHE, BOTH), steps=2, repeats=1, scheduler=scheduler)
    calls, sites = (2 if scheduler else 1), len(clock.sites)
    assert run.row(0.16, "dense")["step_seconds"] == [calls * sites] * 2
    for label in (CACHE, BOTH, f"bound:{BOTH}"):
        row = run.row(0.16, label)
        assert row["step_seconds"] == pytest.approx([calls * sites / 3] * 2)
        assert row["speedup_vs_dense"] == pytest.approx(3)
        (unet,) = (module for module in row["modules"] if module["name"] == "unet")
        assert unet["calls"] == calls and unet["inclusive_seconds"] == pytest.approx(calls * sites / 3, rel=1e-5)
        total = sum(module["exclusive_seconds"] for module in row["modules"])
        assert total == pytest.approx(calls * sites / 3, rel=1e-4)
    projected = 399 * sites / 3 if scheduler else 200 * sites / 3
    assert run.row(0.16, CACHE)["generation_seconds_projected"] == pytest.approx(projected)


def test_a_composition_has_a_bound_of_its_own_and_no_ideal(pipe):
    run = profile(pipe, 0.16, ("dense", "litefocus", CACHE, BOTH), repeats=1)
    methods = [row["method"] for row in run.rows]
    assert methods == ["dense", "litefocus", CACHE, BOTH, "bound", f"bound:{BOTH}"]
    cache, both = run.row(0.16, CACHE), run.row(0.16, BOTH)
    assert both["bound_seconds"] == run.row(0.16, f"bound:{BOTH}")["step_seconds_median"]
    assert [both[key] for key in ("ideal_seconds", "share_of_ideal", "kept_pairs")] == [None] * 3
    assert [cache[key] for key in ("bound_seconds", "ideal_seconds", "kept_pairs", "sites")] == [None, None, None, 0]
    assert run.row(0.16, "litefocus")["share_of_ideal"] > 0 and both["sites"] == 12
    assert "ideal (needs" not in repr(run)


def test_flops_are_the_mean_of_a_cycle(session_pipe, twin, inputs):
    dense, cached = meta_cost(twin, inputs(10), Dense()), meta_cost(twin, inputs(10), DeepCache(interval=3))
    last = f"up_blocks.{len(session_pipe.unet.up_blocks) - 1}"
    above = sum(dense.module_flops[name] for name in ("conv_in", "time_embedding", "down_blocks.0", last, "conv_out"))
    assert cached.total_flops == (dense.total_flops + 2 * above) // 3
    assert cached.flops["self_attention"] == pytest.approx(dense.flops["self_attention"] / 3, rel=1e-6)
    assert cached.peak_bytes >= dense.peak_bytes
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in twin.modules())


def test_a_cycle_longer_than_the_projected_generation_is_cut(pipe, clock, monkeypatch):
    monkeypatch.setattr("focuslab.hooks.denoise.PROJECTED_STEPS", 4)
    run = profile(pipe, 0.16, ("dense", "deepcache:interval=1000"), repeats=1, only_steps=True)
    assert run.row(0.16, "deepcache:interval=1000")["speedup_vs_dense"] == 4


def test_a_cache_beside_dense_steps_of_a_plan_is_not_projected(pipe, tmp_path):
    names = [site.name for site in select_sites(find_sites(pipe), "mid_block")]
    plan = plan_of({0: everywhere(names)}, unet=unet_layout(pipe), dense_steps={"first": 2, "last": 0})
    plan.write(tmp_path / "plan.json")
    label = f"deepcache+plan:{tmp_path}/plan.json"
    row = profile(pipe, 0.16, ("dense", label), repeats=1).row(0.16, label)
    assert row["dense_steps"] == 2 and row["generation_seconds_projected"] is None
    made = generate(pipe, "rain", 0.16, steps=2, method=label)
    assert made.settings["plan"]["dense_steps"] == {"first": 2, "last": 0}


def test_a_composition_is_evaluated_and_estimated(pipe):
    methods = ("dense", "deepcache:interval=2", "deepcache:interval=2+sampled:own_keys=4:other_keys=2")
    given = {"methods": methods, "steps": 3, "metrics": "log_mel_l1"}
    run = evaluate(pipe, ["rain", "a siren"], 0.64, **given)
    distances = [run.row(0.64, label)["metrics"]["log_mel_l1"]["value"] for label in methods[1:]]
    assert all(distance > 1e-3 for distance in distances) and distances[0] != distances[1]
    found = estimate(pipe, prepare(pipe, ["rain", "a siren"], 0.64, **given))
    assert [row["method"] for row in found.rows] == list(methods) and found.hours > 0


def test_a_clip_names_its_composition(pipe, monkeypatch):
    with_scheduler(pipe, "HeunDiscreteScheduler", monkeypatch)
    made = [generate(pipe, "rain", 0.64, steps=3, method=BOTH) for _ in range(2)]
    assert made[0].settings["method"] == repr(parse_method(BOTH)) and len(made[0].settings["sites"]) == 12
    assert (made[0].samples == made[1].samples).all()
