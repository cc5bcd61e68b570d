"""State belongs to the generation that runs: several pipelines, threads and torch's global settings change nothing."""

import copy
import threading

import pytest
import torch
from diffusers import AudioLDM2Pipeline, HeunDiscreteScheduler

from focuslab import LiteFocus, TokenMerging
from focuslab.attention.grid import Grid
from focuslab.hooks.attach import attach
from focuslab.hooks.processors import SiteCall
from focuslab.models.sites import Site, find_sites
from tests.small_unet import inputs_of, small_unet

METHODS = {"litefocus": LiteFocus(), "uniform": LiteFocus(sampling="uniform"), "tome": TokenMerging()}
SCHEDULE = torch.tensor([900, 600, 300, 0])


@pytest.fixture
def unet():
    return small_unet()


@torch.no_grad()
def output(unet, timestep, frames=32):
    return unet(**inputs_of(timestep, frames))[0]


def another_pipeline(pipe, scheduler=None):
    """A pipeline of the same components with a scheduler of its own."""
    parts = {**pipe.components, "scheduler": scheduler or copy.deepcopy(pipe.scheduler)}
    other = AudioLDM2Pipeline(**parts)
    other.set_progress_bar_config(disable=True)
    return other


def clip(pipe, seconds=1.28, steps=2):
    generator = torch.Generator().manual_seed(0)
    run = {"num_inference_steps": steps, "generator": generator, "output_type": "latent"}
    return pipe("rain", audio_length_in_s=seconds, **run).audios


@pytest.mark.parametrize("where", ["unet", "another pipeline"])
def test_a_second_generation_is_the_first_wherever_it_is_attached(where, pipe):
    other = another_pipeline(pipe)
    with LiteFocus()(pipe):
        expected = clip(pipe)
    with LiteFocus()(pipe.unet if where == "unet" else other):
        assert torch.equal(clip(pipe), expected) and torch.equal(clip(pipe), expected)


def test_two_pipelines_take_turns_on_one_unet(pipe):
    other = another_pipeline(pipe, HeunDiscreteScheduler.from_config(pipe.scheduler.config))
    with LiteFocus()(pipe):
        first, second = clip(pipe, steps=3), clip(other)
        assert torch.equal(clip(pipe, steps=3), first) and torch.equal(clip(other), second)


@pytest.mark.parametrize("name", METHODS)
def test_the_step_is_that_of_the_timestep_in_any_order(name, unet):
    with METHODS[name](unet):
        expected = [output(unet, t) for t in SCHEDULE]
        again = [output(unet, SCHEDULE[i]) for i in (2, 0, 3, 1)]
    assert all(torch.equal(again[at], expected[i]) for at, i in enumerate((2, 0, 3, 1)))


def test_two_threads_at_different_lengths_and_steps_do_not_meet(unet):
    jobs = [(0, 32), (2, 48)]
    meet = threading.Barrier(2, timeout=20)

    class Waits(LiteFocus):
        def core(self, q, k, v, call):
            meet.wait()
            return super().core(q, k, v, call)

    with LiteFocus()(unet):
        expected = [output(unet, SCHEDULE[step], frames) for step, frames in jobs]
    got: dict[int, torch.Tensor] = {}

    def run(job: int) -> None:
        step, frames = jobs[job]
        got[job] = output(unet, SCHEDULE[step], frames)

    with Waits()(unet):
        threads = [threading.Thread(target=run, args=(job,)) for job in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(got[job], expected[job]) for job in range(2))


def test_numbers_as_timesteps_draw_anew_and_repeat(unet):
    with LiteFocus()(unet):
        first, second, again = (output(unet, t) for t in (900, 300, 900))
    dense = [output(unet, t) for t in (900, 300)]
    assert torch.equal(first, again)
    assert not torch.equal(first - dense[0], second - dense[1])


@pytest.mark.parametrize("name", METHODS)
def test_draws_do_not_depend_on_the_defaults_of_torch(name, unet):
    call = SiteCall(Site("a", "h", "b", 1, 2, 8), Grid(31, 8), 3)
    sampled = METHODS[name].sample_keys(call)
    with METHODS[name](unet):
        expected = output(unet, SCHEDULE[1])
        torch.set_default_dtype(torch.float64)
        try:
            assert torch.equal(METHODS[name].sample_keys(call), sampled)
            assert torch.equal(output(unet, SCHEDULE[1]), expected)
        finally:
            torch.set_default_dtype(torch.float32)
        with torch.device("meta"):
            assert torch.equal(METHODS[name].sample_keys(call), sampled)
            assert torch.equal(output(unet, SCHEDULE[1]), expected)


def test_a_draw_is_of_seed_site_step_and_grid_alone():
    def sampled(seed=0, name="a", step=0, time=31, level=1):
        return LiteFocus(seed=seed).sample_keys(SiteCall(Site(name, "h", "b", level, 2, 8), Grid(time, 8), step))

    assert torch.equal(sampled(), sampled(level=2))
    others = [sampled(seed=1), sampled(name="b"), sampled(step=1), sampled(time=32)]
    assert not any(torch.equal(sampled(), other) for other in others)


def test_a_grid_that_does_not_follow_from_the_latents_is_taken_as_it_is(unet, monkeypatch):
    grids = []
    with LiteFocus()(unet):
        expected = output(unet, SCHEDULE[1])
    monkeypatch.setattr(Site, "grid", lambda self, frames, mel_rows: Grid(3, 2))
    with LiteFocus()(unet) as handle:
        assert torch.equal(output(unet, SCHEDULE[1]), expected)
        grids += handle.grids.values()
    assert set(grids) == {Grid(16, 8)}


def test_keys_are_sampled_once_for_all_sites_of_a_call(unet, monkeypatch):
    from focuslab.hooks import running

    copies, original = [], running.all_to_device
    monkeypatch.setattr(
        running, "all_to_device", lambda keys, device: (copies.append(len(keys)), original(keys, device))[1]
    )
    with LiteFocus()(unet) as handle:
        output(unet, SCHEDULE[0])
    assert [count for count in copies if count] == [len(handle.sites)]


def test_a_method_chosen_by_step_leaves_the_original_processor_in_between(unet):
    dense, steps = [output(unet, t) for t in SCHEDULE], []

    def at_odd_steps(call, frames):
        steps.append((call.step, frames))
        return LiteFocus() if call.step % 2 else None

    with attach(unet, None, choose=at_odd_steps):
        got = [output(unet, t) for t in SCHEDULE]
    assert [torch.equal(a, b) for a, b in zip(got, dense, strict=True)] == [True, False, True, False]
    assert set(steps) == {(step, 32) for step in range(4)} and len(steps) == 4 * len(find_sites(unet))
