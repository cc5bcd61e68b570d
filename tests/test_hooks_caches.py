"""focuslab.hooks.caches: which UNet calls reuse, what they reuse, and that nothing is left behind."""

import copy
import logging
import pickle
import threading
from contextlib import ExitStack

import pytest
import torch

from focuslab import Broadcast, Composition, DeepCache, LiteFocus, SampledFocus, detach
from focuslab.errors import InputError
from focuslab.hooks.recorder import Recorder, Request
from focuslab.models.identity import describe
from focuslab.models.schedule import schedule_of
from focuslab.models.sites import find_sites
from tests.configurations import CACHES
from tests.schedulers import with_scheduler
from tests.small_unet import inputs_of, small_unet

SCHEDULE = torch.tensor([900, 700, 500, 300, 100])
DEEP = ("down_blocks.1", "mid_block", "up_blocks.0")
"""What deepcache replaces in a small UNet; the last one's output is kept."""


@pytest.fixture
def unet():
    return small_unet()


@torch.no_grad()
def output(unet, timestep, **given):
    return unet(**{**inputs_of(timestep), **given})[0]


def outputs(unet, schedule=SCHEDULE):
    return [output(unet, timestep) for timestep in schedule]


def equal(some, others):
    return [torch.equal(a, b) for a, b in zip(some, others, strict=True)]


def forwards(unet):
    return {name: vars(module).get("forward") for name, module in unet.named_modules()}


@pytest.fixture
def self_attention_calls(pipe):
    """Site -> how often it was computed."""
    calls = dict.fromkeys((site.name for site in find_sites(pipe)), 0)

    def count(name):
        calls[name] += 1

    hooks = [
        pipe.unet.get_submodule(name).to_q.register_forward_hook(lambda *_, name=name: count(name)) for name in calls
    ]
    yield calls
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("name", CACHES)
def test_the_first_call_of_a_generation_is_computed(name, unet):
    method = CACHES[name]
    with ExitStack() as stack:
        for part in getattr(method, "parts", ())[1:]:
            stack.enter_context(part(unet))
        expected = output(unet, SCHEDULE[0])
    with method(unet):
        assert torch.equal(output(unet, SCHEDULE[0]), expected)


def test_deepcache_runs_the_levels_above_on_what_was_kept(unet):
    dense = outputs(unet)
    kept = []
    hook = unet.get_submodule(DEEP[-1]).register_forward_hook(lambda _module, _args, out: kept.append(out))
    outputs(unet)
    hook.remove()
    expected = []
    for call, timestep in enumerate(SCHEDULE):
        # The whole UNet, with the deep levels' output put in the place of its own.
        feature = kept[call // 3 * 3]
        hook = unet.get_submodule(DEEP[-1]).register_forward_hook(lambda _module, _args, _out, f=feature: f)
        expected.append(output(unet, timestep))
        hook.remove()
    with DeepCache(interval=3)(unet):
        got = outputs(unet)
    assert all(equal(got, expected)) and equal(got, dense) == [True, False, False, True, False]


def test_broadcast_adds_the_attention_of_the_computed_call(unet):
    sites = [site.name for site in find_sites(unet)]
    kept = {}
    expected = []
    for call, timestep in enumerate(SCHEDULE):
        hooks = []
        for name in sites:
            if call % 2:
                take = lambda _module, _args, _out, name=name: kept[name]  # noqa: E731
            else:
                take = lambda _module, _args, out, name=name: kept.__setitem__(name, out)  # noqa: E731
            hooks.append(unet.get_submodule(name).register_forward_hook(take))
        expected.append(output(unet, timestep))
        for hook in hooks:
            hook.remove()
    with Broadcast(interval=2)(unet):
        assert all(equal(outputs(unet), expected))


@pytest.mark.parametrize("interval, steps", [(2, 5), (3, 5), (3, 6), (50, 4)])
def test_cached_calls_compute_no_attention(interval, steps, pipe, sound, self_attention_calls):
    computed = -(-steps // interval)
    with DeepCache(interval=interval)(pipe):
        sound(steps=steps)
    assert set(self_attention_calls.values()) == {computed}
    self_attention_calls.update(dict.fromkeys(self_attention_calls, 0))
    with Broadcast(interval=interval, sites="mid_block")(pipe):
        sound(steps=steps)
    assert {calls for name, calls in self_attention_calls.items() if name.startswith("mid")} == {computed}
    assert {calls for name, calls in self_attention_calls.items() if not name.startswith("mid")} == {steps}


@pytest.mark.parametrize("cache", [DeepCache(interval=2), Broadcast(interval=2)])
@pytest.mark.parametrize("cache_first", [True, False])
def test_nothing_is_sampled_for_what_is_skipped(cache, cache_first, unet, monkeypatch):
    sampled, original = [], SampledFocus.sample_keys
    monkeypatch.setattr(
        SampledFocus, "sample_keys", lambda self, call: (sampled.append(call.step), original(self, call))[1]
    )
    sparse = SampledFocus(own_keys=9, other_keys=2)
    first, second = (cache, sparse) if cache_first else (sparse, cache)
    with first(unet), second(unet):
        outputs(unet)
    assert sorted(set(sampled)) == [0, 2, 4] and len(sampled) == 3 * len(find_sites(unet))


def test_a_lower_cut_computes_the_levels_above_it(pipe, sound, self_attention_calls):
    lowest = f"down_blocks.{len(pipe.unet.down_blocks) - 1}"
    with DeepCache(interval=4, skips=lowest)(pipe):
        sound(steps=4)
    deep = (lowest, "mid_block", "up_blocks.0")
    assert {calls for name, calls in self_attention_calls.items() if name.startswith(deep)} == {1}
    assert {calls for name, calls in self_attention_calls.items() if not name.startswith(deep)} == {4}


@pytest.mark.parametrize("name", ["HeunDiscreteScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler"])
def test_calls_are_counted_in_steps_of_several_calls(name, pipe, sound, self_attention_calls, monkeypatch):
    with_scheduler(pipe, name, monkeypatch)
    calls = schedule_of(pipe, 5).total_calls
    with DeepCache(interval=3)(pipe):
        sound(steps=5)
    assert set(self_attention_calls.values()) == {-(-calls // 3)}


@pytest.mark.parametrize("name", CACHES)
def test_leaving_restores_the_very_forwards_and_the_sound_bit_for_bit(name, pipe, sound):
    def own(*args, **kwargs):
        return type(block).forward(block, *args, **kwargs)

    block = pipe.unet.mid_block
    block.forward = own
    try:
        before, dense = forwards(pipe.unet), sound(steps=3)
        with CACHES[name](pipe):
            first, second = sound(steps=3), sound(steps=3)
        assert forwards(pipe.unet) == before and block.forward is own
        assert (first == second).all() and not (first == dense).all()
        assert (sound(steps=3) == dense).all()
    finally:
        del block.forward


def test_an_exception_restores_too(unet):
    before = forwards(unet)
    with pytest.raises(ZeroDivisionError), CACHES["deepcache + sampled"](unet):
        assert forwards(unet) != before
        raise ZeroDivisionError
    assert forwards(unet) == before and not unet._forward_pre_hooks and not unet._forward_hooks


def test_a_generation_ends_where_another_schedule_begins(unet):
    dense = outputs(unet)
    with DeepCache(interval=3)(unet):
        first = outputs(unet)
        # One that was stopped after two calls, and one that begins in the middle of its schedule.
        outputs(unet, SCHEDULE[:2])
        assert all(equal(outputs(unet), first))
        assert torch.equal(output(unet, SCHEDULE.clone()[1]), dense[1])


def test_latents_of_another_length_are_computed(unet):
    longer = inputs_of(None, frames=48)["sample"]
    expected = output(unet, SCHEDULE[1], sample=longer)
    with DeepCache(interval=3)(unet):
        output(unet, SCHEDULE[0])
        assert torch.equal(output(unet, SCHEDULE[1], sample=longer), expected)


def test_halves_of_the_guidance_reuse_their_own(unet):
    with DeepCache(interval=3)(unet):
        together = outputs(unet)
        given = inputs_of(None)
        apart = []
        for timestep in SCHEDULE:
            halves = [
                output(unet, timestep, **{k: given[k][i : i + 1] for k in ("sample", "encoder_hidden_states")})
                for i in range(2)
            ]
            apart.append(torch.cat(halves))
    assert max((a - b).abs().max() for a, b in zip(apart, together, strict=True)) < 1e-4


def test_the_same_timestep_again_keeps_little(unet):
    with DeepCache(interval=3)(unet) as handle:
        for _ in range(5):
            output(unet, SCHEDULE[0])
        assert len(handle._cache.thread.kept) == 2


def test_numbers_as_timesteps_are_counted_as_they_fall(unet):
    numbers = [float(timestep) for timestep in SCHEDULE]
    dense = outputs(unet, numbers)
    with DeepCache(interval=3)(unet):
        for _ in range(2):
            assert equal(outputs(unet, numbers), dense) == [True, False, False, True, False]


def test_two_threads_have_a_generation_each(unet):
    meet = threading.Barrier(2, timeout=20)
    schedules = [SCHEDULE, SCHEDULE[1:].clone()]
    got = {}

    def run(job):
        got[job] = []
        for timestep in schedules[job][:4]:
            meet.wait()
            got[job].append(output(unet, timestep))

    with DeepCache(interval=2)(unet):
        expected = [outputs(unet, schedule[:4]) for schedule in schedules]
        threads = [threading.Thread(target=run, args=(job,)) for job in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(all(equal(got[job], expected[job])) for job in range(2))


def test_a_second_cache_is_refused_and_sparse_methods_are_not(unet):
    with DeepCache()(unet), LiteFocus()(unet):
        for other in (DeepCache(interval=2), Broadcast()):
            with pytest.raises(InputError, match=r"DeepCache\(interval=3.*detach") as caught:
                other(unet)
            assert "\n" not in str(caught.value)


def test_a_cache_and_a_recorder_are_not_combined(unet):
    name = find_sites(unet)[0].name
    with DeepCache()(unet):
        with pytest.raises(InputError, match="recording attention cannot be combined with the cache"):
            Recorder(Request(), {0}).attach(unet, name)
    with Recorder(Request(), {0}).attach(unet, name):
        with pytest.raises(InputError, match="skips attention that is being recorded"):
            DeepCache()(unet)
    assert not unet._forward_pre_hooks


def test_a_composition_that_cannot_be_attached_leaves_nothing(unet):
    before = forwards(unet)
    with LiteFocus()(unet):
        with pytest.raises(InputError, match="already"):
            Composition((DeepCache(), SampledFocus()))(unet)
        assert forwards(unet) == before and len(unet._forward_pre_hooks) == 1


@pytest.mark.parametrize("name", CACHES)
def test_detach_takes_off_all_parts(name, unet):
    before, dense = forwards(unet), outputs(unet)
    handle = CACHES[name].attach(unet)
    assert handle.attached and "removed" not in repr(handle)
    detach(unet)
    assert not handle.attached and forwards(unet) == before and all(equal(outputs(unet), dense))
    handle.remove()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda unet: pickle.loads(pickle.dumps(unet))])
def test_a_copy_is_attached_by_itself(copied, unet, caplog):
    dense = outputs(unet)
    with DeepCache()(unet):
        cached = outputs(unet)
        with caplog.at_level(logging.WARNING):
            twin = copied(unet)
        assert [record.getMessage().count("detach") for record in caplog.records] == [1]
        assert all(equal(outputs(twin), cached))
        detach(twin)
        assert all(equal(outputs(twin), dense)) and all(equal(outputs(unet), cached))
    assert not any(forwards(twin).values())


def test_a_forward_that_somebody_puts_around_stays_and_computes(unet, caplog):
    dense, ours = outputs(unet), None
    with caplog.at_level(logging.WARNING), DeepCache()(unet) as handle:
        ours = unet.mid_block.forward
        unet.mid_block.forward = around = lambda *args, **kwargs: ours(*args, **kwargs)
        assert set(handle.replaced) == {"mid_block"} and "1 of 3 forwards" in repr(handle)
    assert len(caplog.records) == 1 and "replaced" in caplog.records[0].getMessage()
    assert unet.mid_block.forward is around and all(equal(outputs(unet), dense))


def test_a_pipeline_is_described_with_its_cache(pipe):
    before = describe(pipe)
    with DeepCache(interval=3)(pipe):
        attached = describe(pipe)
    blocks = len(pipe.unet.down_blocks) + len(pipe.unet.up_blocks) - 1
    assert attached["attention_processors"]["unet"] == {"DeepCache(interval=3, skips='down_blocks.1')": blocks}
    assert describe(pipe) == before and attached != before


def test_a_compiled_unet_gives_what_eager_gives(unet):
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    with CACHES["deepcache + sampled"](unet):
        expected = outputs(unet)
        counter = CompileCounterWithBackend("eager")
        unet.compile(backend=counter)
        got = outputs(unet)
    torch._dynamo.reset()
    assert max((a - b).abs().max() for a, b in zip(got, expected, strict=True)) < 1e-4
    # A call that is computed and one that is not.
    assert counter.frame_count == 2
