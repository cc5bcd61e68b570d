import diffusers
import pytest

from focuslab.errors import InputError
from focuslab.models.schedule import current_schedule, schedule_of
from tests.schedulers import SCHEDULERS, with_scheduler

CALLS = {
    "HeunDiscreteScheduler": (2, 2, 2, 2, 2, 1),
    "KDPM2DiscreteScheduler": (2, 2, 2, 2, 2, 1),
    "KDPM2AncestralDiscreteScheduler": (2, 2, 2, 2, 2, 1),
    "PNDMScheduler": (4, 4, 4, 1, 1, 1),
    "PNDMScheduler, PLMS": (2, 1, 1, 1, 1, 1),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_calls_of_each_step_add_up_to_the_timesteps(name, pipe, monkeypatch):
    with_scheduler(pipe, name, monkeypatch)
    schedule = schedule_of(pipe, 6)
    assert schedule.calls == CALLS.get(name, (1,) * 6)
    pipe.scheduler.set_timesteps(6)
    assert schedule == current_schedule(pipe.scheduler) and schedule.total_calls == len(pipe.scheduler.timesteps)
    steps = [schedule.step_of(call) for call in range(schedule.total_calls)]
    assert [steps.count(step) for step in range(6)] == list(schedule.calls)
    assert [steps.index(step) for step in range(6)] == [schedule.first_call(step) for step in range(6)]


def test_calls_at_both_ends_are_counted_once(pipe, monkeypatch):
    with_scheduler(pipe, "PNDMScheduler", monkeypatch)
    schedule = schedule_of(pipe, 6)
    assert [schedule.calls_at_ends(*ends) for ends in ((0, 0), (1, 0), (0, 2), (2, 1))] == [0, 4, 2, 9]
    assert schedule.calls_at_ends(4, 4) == schedule.calls_at_ends(9, 0) == schedule.total_calls == 15


def test_a_scheduler_is_left_as_it_was(pipe):
    pipe.scheduler.set_timesteps(3)
    before = pipe.scheduler.timesteps
    schedule_of(pipe, 200)
    assert pipe.scheduler.timesteps is before


@pytest.mark.parametrize("name, steps", [("PNDMScheduler", 3), ("LCMScheduler", 200)])
def test_impossible_schedules_are_refused_in_one_line(name, steps, pipe, monkeypatch):
    with_scheduler(pipe, name, monkeypatch)
    with pytest.raises(InputError, match=f"{name} has no schedule of {steps} steps") as caught:
        schedule_of(pipe, steps)
    assert "\n" not in str(caught.value)


def test_the_table_names_schedulers_of_diffusers():
    assert all(hasattr(diffusers, name.split(",")[0]) for name in SCHEDULERS)
