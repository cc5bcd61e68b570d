"""The schedulers of diffusers that tests of steps go through."""

import diffusers

SCHEDULERS = {
    **{
        name: {}
        for name in (
            "DDIMScheduler",
            "DDPMScheduler",
            "LMSDiscreteScheduler",
            "EulerDiscreteScheduler",
            "EulerAncestralDiscreteScheduler",
            "DPMSolverMultistepScheduler",
            "DPMSolverSinglestepScheduler",
            "DEISMultistepScheduler",
            "UniPCMultistepScheduler",
            "IPNDMScheduler",
            "HeunDiscreteScheduler",
            "KDPM2DiscreteScheduler",
            "KDPM2AncestralDiscreteScheduler",
            "PNDMScheduler",
        )
    },
    "PNDMScheduler, PLMS": {"skip_prk_steps": True},
}
"""Name -> what its configuration differs in from that of random:tiny."""


def with_scheduler(pipe, name, monkeypatch):
    """Give the pipeline a scheduler of `SCHEDULERS`, or another class of diffusers, for the time of a test."""
    scheduler_class = getattr(diffusers, name.split(",")[0])
    scheduler = scheduler_class.from_config(pipe.scheduler.config, **SCHEDULERS.get(name, {}))
    monkeypatch.setattr(pipe, "scheduler", scheduler)
