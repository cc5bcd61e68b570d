"""Functions that somebody put into a pipeline, or gave as an option, are part of what a run is."""

import copy
import functools

import pytest
import torch
from diffusers import AudioLDM2Pipeline
from torch import nn

from focuslab.methods import LiteFocus, Method
from focuslab.models.callables import as_recorded, is_foreign, what_it_does
from focuslab.models.components import scheduler_facts, settings_digest
from focuslab.models.fingerprint import fingerprint
from focuslab.models.identity import describe
from focuslab.models.sites import find_sites

FACTOR = 2.0


def times(factor):
    return lambda x: x * factor


def with_default(x, factor=3):
    return x * factor


def by_global(x):
    return x * FACTOR


class Adapter(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.full((2,), weight))

    def forward(self, x):
        return x + self.weight


def test_functions_are_told_apart_by_code_and_values():
    different = [times(1.0), times(2.0), with_default, functools.partial(with_default, factor=4), by_global]
    different += [Adapter(1.0).forward, Adapter(2.0).forward, lambda x: x, lambda x: x + 1, times(torch.ones(2))]
    assert len({what_it_does(function) for function in different}) == len(different)


def test_the_same_function_is_the_same_again(monkeypatch):
    assert what_it_does(times(1.5)) == what_it_does(times(1.5))
    assert what_it_does(Adapter(1.0).forward) == what_it_does(Adapter(1.0).forward)
    before = what_it_does(by_global)
    monkeypatch.setitem(by_global.__globals__, "FACTOR", 5.0)
    assert what_it_does(by_global) != before


class Mine(Method):
    """No dataclass: its `repr` does not show what it holds."""

    def __init__(self, strength):
        super().__init__()
        object.__setattr__(self, "strength", strength)


def test_a_method_of_a_user_is_recorded_with_all_it_holds():
    assert as_recorded(LiteFocus()) == repr(LiteFocus())
    assert as_recorded(Mine(1.0)) == as_recorded(Mine(1.0)) != as_recorded(Mine(0.1))


def test_a_method_of_other_code_is_another_method(monkeypatch):
    before = as_recorded(Mine(1.0))
    monkeypatch.setattr(Mine, "__init__", lambda self, strength: None)
    assert as_recorded(Mine(1.0)) != before


def test_functions_of_the_libraries_are_not_foreign():
    assert not is_foreign(nn.Linear(1, 1).forward) and not is_foreign(torch.relu)
    assert is_foreign(times(1)) and is_foreign(Adapter(1.0).forward)


@pytest.mark.parametrize("way", ["forward", "hook", "pre-hook"])
def test_what_is_put_on_a_module_changes_its_settings(session_pipe, way):
    unet = copy.deepcopy(session_pipe.unet)
    before = settings_digest(unet)
    layer = unet.get_submodule(find_sites(unet)[0].name).to_q
    plain = layer.forward

    def changed(x):
        return plain(x) * 2

    if way == "forward":
        layer.forward = changed
    elif way == "hook":
        layer.register_forward_hook(lambda _module, _args, out: out * 2)
    else:
        layer.register_forward_pre_hook(lambda _module, args: (args[0] * 2,))
    assert settings_digest(unet) != before


def test_a_patched_step_changes_the_facts_of_a_scheduler(session_pipe):
    scheduler = copy.deepcopy(session_pipe.scheduler)
    before = scheduler_facts(scheduler)
    scheduler.step = functools.partial(scheduler.step, eta=1.0)
    assert scheduler_facts(scheduler) != before


def test_a_subclass_of_the_pipeline_is_named(session_pipe):
    class Other(AudioLDM2Pipeline):
        pass

    assert "pipeline" not in describe(session_pipe)
    assert describe(Other(**session_pipe.components))["pipeline"].endswith("Other")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantised_weights_are_in_the_fingerprint():
    def quantised(seed):
        torch.manual_seed(seed)
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)), {nn.Linear}, dtype=torch.qint8)

    assert fingerprint(quantised(0)) == fingerprint(quantised(0)) != fingerprint(quantised(1))
