"""focuslab.models.schedulers: other schedulers for a while, configured as the pipeline's own."""

import json

import diffusers
import numpy as np
import pytest

from focuslab import evaluate, generate, profile
from focuslab.errors import InputError
from focuslab.models.schedulers import SCHEDULERS, check_scheduler_name, using_scheduler
from tests.schedulers import with_scheduler


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_clip_is_that_of_diffusers_own_class(name, pipe, monkeypatch):
    own = pipe.scheduler
    made = generate(pipe, "rain", 0.16, steps=4, scheduler=name)
    assert pipe.scheduler is own and made.settings["scheduler"] == name
    kind, changes = SCHEDULERS[name]
    assert made.settings["model"]["scheduler"]["class"] == kind
    monkeypatch.setattr(pipe, "scheduler", getattr(diffusers, kind).from_config(own.config, **changes))
    expected = generate(pipe, "rain", 0.16, steps=4)
    assert np.array_equal(made.samples, expected.samples) and "scheduler" not in expected.settings


def test_the_pipeline_has_its_own_one_again_after_an_error(pipe):
    own, config = pipe.scheduler, dict(pipe.config)
    with pytest.raises(ZeroDivisionError), using_scheduler(pipe, "euler"):
        assert isinstance(pipe.scheduler, diffusers.EulerDiscreteScheduler)
        raise ZeroDivisionError
    assert pipe.scheduler is own and dict(pipe.config) == config
    with using_scheduler(pipe, None):
        assert pipe.scheduler is own


def test_an_unknown_name_lists_what_there_is(pipe):
    for work in (
        lambda: check_scheduler_name("dpm"),
        lambda: generate(pipe, "rain", 0.16, steps=1, scheduler="dpm"),
        lambda: profile(pipe, 0.16, scheduler="dpm"),
        lambda: evaluate(pipe, ["rain"], 0.16, scheduler="dpm"),
    ):
        with pytest.raises(InputError, match=r"no scheduler 'dpm', only ddim, ddpm, dpm\+\+, .*did you mean") as caught:
            work()
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="must be text"):
        check_scheduler_name(3)


def test_a_configuration_that_another_scheduler_cannot_take_is_one_line(pipe, monkeypatch):
    with_scheduler(pipe, "DDIMScheduler", monkeypatch)
    # DDPM knows this schedule of noise, and others do not.
    pipe.scheduler.register_to_config(beta_schedule="sigmoid")
    own = pipe.scheduler
    with pytest.raises(InputError, match="cannot take the scheduler 'euler'.*DDIMScheduler.*EulerDisc") as caught:
        generate(pipe, "rain", 0.16, steps=1, scheduler="euler")
    assert "\n" not in str(caught.value) and pipe.scheduler is own


def test_a_profile_projects_by_its_scheduler(pipe, tmp_path):
    own = pipe.scheduler
    run = profile(pipe, 0.16, "dense", repeats=1, scheduler="heun", out=tmp_path / "run")
    (expected,) = [record for record in run.records if record["kind"] == "expected"]
    assert (expected["calls_per_step"], expected["projected_calls"]) == (2, 399)
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert info["parameters"]["scheduler"] == "heun" and info["model"]["scheduler"]["class"] == "HeunDiscreteScheduler"
    assert pipe.scheduler is own
    with pytest.raises(InputError, match="another run"):
        profile(pipe, 0.16, "dense", repeats=1, out=tmp_path / "run")


def test_an_evaluation_generates_by_its_scheduler(pipe):
    own = pipe.scheduler
    given = {"methods": ("dense",), "steps": 2, "metrics": "silence_share"}
    other, usual = (evaluate(pipe, ["rain"], 0.64, **given, scheduler=name) for name in ("euler", None))
    assert other.info.parameters["scheduler"] == "euler" and "scheduler" not in usual.info.parameters
    assert other.info.model["scheduler"]["class"] == "EulerDiscreteScheduler" and pipe.scheduler is own
