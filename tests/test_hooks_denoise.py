"""focuslab.hooks.denoise: a step is all its UNet calls, whatever the scheduler."""

import pytest

from focuslab.hooks.denoise import first_steps, timed_call
from focuslab.models.conditioning import encode_prompt
from focuslab.models.schedule import schedule_of
from tests.quick import CountingClock
from tests.schedulers import SCHEDULERS, with_scheduler

SECONDS, STEPS = 0.16, 5
CALL = 1e-3
"""What a UNet call takes by `CountingClock`, which is read at its start and at its end."""


@pytest.fixture(scope="module")
def conditioning(session_pipe):
    return encode_prompt(session_pipe, "rain")


@pytest.fixture
def timesteps(pipe):
    """The timestep of every UNet call."""
    seen = []
    hook = pipe.unet.register_forward_pre_hook(lambda _unet, args: seen.append(args[1].item()))
    yield seen
    hook.remove()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_unet_call_belongs_to_one_step(name, pipe, conditioning, timesteps, monkeypatch):
    with_scheduler(pipe, name, monkeypatch)
    calls, done = schedule_of(pipe, STEPS).calls, []

    def after_step(step):
        done.append((step, len(timesteps)))

    _, step_seconds = timed_call(pipe, conditioning, SECONDS, STEPS, 0, CountingClock(), "latent", after_step)
    assert step_seconds == pytest.approx([CALL * count for count in calls])
    assert timesteps == pipe.scheduler.timesteps.tolist()
    # The first call of the next step has begun, but its UNet has not run.
    assert done == [(step, sum(calls[: step + 1])) for step in range(STEPS)]


@pytest.mark.parametrize("name", ["DDIMScheduler", "HeunDiscreteScheduler", "PNDMScheduler", "PNDMScheduler, PLMS"])
def test_first_steps_are_those_of_a_long_generation(name, pipe, conditioning, timesteps, monkeypatch):
    with_scheduler(pipe, name, monkeypatch)
    long = schedule_of(pipe, 200)
    hooks = len(pipe.unet._forward_pre_hooks)
    found = [first_steps(pipe, conditioning, SECONDS, steps, 0, CountingClock()) for steps in (1, 3)]
    assert found[0] == pytest.approx([CALL * long.order]) and found[1] == pytest.approx([CALL * long.order] * 3)
    assert len(pipe.scheduler.timesteps) == long.total_calls
    assert timesteps == [*pipe.scheduler.timesteps[: long.order], *pipe.scheduler.timesteps[: 3 * long.order]]
    assert len(pipe.unet._forward_pre_hooks) == hooks


def test_a_scheduler_of_few_steps_is_timed_too(pipe, conditioning, monkeypatch):
    with_scheduler(pipe, "LCMScheduler", monkeypatch)
    assert len(first_steps(pipe, conditioning, SECONDS, 2, 0, CountingClock())) == 2


def test_more_steps_than_the_long_generation_are_timed_whole(pipe, conditioning, monkeypatch):
    with_scheduler(pipe, "HeunDiscreteScheduler", monkeypatch)
    monkeypatch.setattr("focuslab.models.schedule.PROJECTED_STEPS", 2)
    assert first_steps(pipe, conditioning, SECONDS, 3, 0, CountingClock()) == pytest.approx([2 * CALL] * 3)


def test_an_error_in_the_unet_is_not_swallowed(pipe, conditioning, monkeypatch):
    def fails(*_args, **_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(pipe.unet, "forward", fails)
    with pytest.raises(ZeroDivisionError):
        first_steps(pipe, conditioning, SECONDS, 1, 0, CountingClock())
