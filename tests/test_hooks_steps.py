import diffusers
import pytest
import torch

from focuslab.hooks.running import call_index

SCHEDULERS = (
    "DDIMScheduler",
    "PNDMScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "IPNDMScheduler",
)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_each_entry_of_a_schedule_has_its_index(name, session_pipe):
    scheduler = getattr(diffusers, name).from_config(session_pipe.scheduler.config)
    scheduler.set_timesteps(6)
    entries = list(scheduler.timesteps)
    assert [call_index(t) for t in entries] == list(range(len(entries)))
    assert [call_index(t.expand(2)) for t in entries] == list(range(len(entries)))
    assert [call_index(t[None]) for t in scheduler.timesteps[2:]] == list(range(2, len(entries)))


def test_a_timestep_of_no_schedule_has_an_index_too():
    assert [call_index(t) for t in (501, 499.5)] == [501, 499]
    assert [call_index(t) for t in (torch.tensor(7), torch.tensor([7, 7]), torch.arange(5)[2:4])] == [0, 0, 0]
