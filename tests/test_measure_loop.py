"""The loop of a measurement, and the configs that it is asked for by."""

import json
from dataclasses import FrozenInstanceError, dataclass

import pytest
import torch
from torch import nn

from focuslab.checks import make_config
from focuslab.errors import FocuslabError, InputError
from focuslab.measure.capture_config import CaptureConfig
from focuslab.measure.evaluation.config import EvaluationConfig
from focuslab.measure.loop import Loop
from focuslab.measure.profile_config import ProfileConfig
from focuslab.runs.directory import SUMMARY, RunDirectory
from focuslab.workflows.config import RecommendConfig
from tests.test_runs_directory import INFO


@dataclass(frozen=True)
class Item:
    key: str
    weight: float

    @property
    def title(self):
        return f"item {self.key}"


ITEMS = [Item("a", 1), Item("b", 2), Item("c", 1)]


class Pipe:
    """As much of a pipeline as an error needs."""

    _execution_device = torch.device("cpu")
    unet = nn.Linear(1, 1)


def report_to(said):
    return lambda *progress: said.append(progress)


def measured(path, done, work):
    """What was reported while the items that are not done were measured."""
    said = []
    with RunDirectory(path, INFO) as run:
        loop = Loop(Pipe(), run, lambda: {"keys": [r["key"] for r in run.records]}, progress=report_to(said))

        def one(item, report):
            work(item)
            run.append({"key": item.key})
            report(0.5, item.title)

        loop.measure(ITEMS, done, one)
    return said


def test_what_is_not_done_is_measured_in_order(tmp_path):
    assert measured(tmp_path, {"b"}, lambda _item: None) == [(2.5, 4, "item a"), (3.5, 4, "item c")]
    assert json.loads((tmp_path / SUMMARY).read_text()) == {"keys": ["a", "c"]}
    assert RunDirectory(tmp_path, INFO).info.ended is not None


@pytest.mark.parametrize("error, raised", [(KeyError("x"), KeyError), (torch.OutOfMemoryError(), FocuslabError)])
def test_the_summary_is_written_after_an_error(tmp_path, error, raised):
    def fails_at_b(item):
        if item.key == "b":
            raise error

    with pytest.raises(raised):
        measured(tmp_path, (), fails_at_b)
    assert json.loads((tmp_path / SUMMARY).read_text()) == {"keys": ["a"]}
    assert RunDirectory(tmp_path, INFO).info.ended is None


@pytest.mark.parametrize(
    "config, name, nearest",
    [
        (ProfileConfig, "repeat", "repeats"),
        (CaptureConfig, "captured_steps", "capture_steps"),
        (EvaluationConfig, "metric", "metrics"),
    ],
)
def test_an_unknown_option_names_the_nearest(config, name, nearest):
    with pytest.raises(InputError, match=f"no option '{name}', .*did you mean {nearest}"):
        make_config(config, {name: 1})


@pytest.mark.parametrize(
    "config, name, now",
    [
        (RecommendConfig, "prove", "validate"),
        (RecommendConfig, "proof_prompts", "validation_prompts"),
        (EvaluationConfig, "quality", "metrics"),
    ],
)
def test_an_option_of_an_older_version_is_named_as_today(config, name, now):
    with pytest.raises(InputError, match=f"no option '{name}', .*it is called {now} now$"):
        make_config(config, {name: 1})


def test_a_config_is_checked_and_frozen():
    config = make_config(ProfileConfig, {"methods": "tome", "repeats": 2})
    assert list(config.methods) == ["tome"] and config.repeats == 2 and config.steps == ProfileConfig.steps
    with pytest.raises(FrozenInstanceError):
        config.repeats = 3
    with pytest.raises(InputError, match="steps"):
        make_config(ProfileConfig, {"steps": 0})
