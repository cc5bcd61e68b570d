"""The CUDA path as far as it goes without a GPU: no step waits for values, and few operations are launched."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from focuslab.hooks.meta_cost import meta_unet
from focuslab.methods import Dense
from focuslab.models.sites import find_sites
from tests.configurations import METHODS
from tests.fake_cuda import DEVICE, CudaBindings, Launches, to_fake_cuda
from tests.plans import everywhere
from tests.small_unet import inputs_of, plan_for, small_unet

AT_MOST = {
    "litefocus": 4,
    "sampled": 8,
    "weighted": 10,
    "unbiased": 10,
    "same-frequency": 0,
    "uniform": 16,
    "tome": 44,
    "pooled": 27,
}
"""Operations that a site adds to those of dense attention."""


@pytest.fixture(scope="module")
def step():
    """step(method) -> the launches of one UNet step in half precision, and the sites taken over."""
    unet, mode = meta_unet(small_unet()), FakeTensorMode()
    given = inputs_of(None)
    with mode:
        to_fake_cuda(unet, torch.float16)
        for name in ("sample", "encoder_hidden_states"):
            given[name] = torch.empty(given[name].shape, dtype=torch.float16, device=DEVICE)
        given["timestep"] = torch.empty(20, dtype=torch.long, device=DEVICE).select(0, 7)

    def run(method):
        with mode, CudaBindings(), torch.no_grad(), method(unet) as handle, Launches() as launches:
            unet(**given)
        return launches, handle.sites

    return run


@pytest.fixture(scope="module")
def dense(step):
    return step(Dense())[0]


@pytest.mark.parametrize("name", METHODS)
def test_a_site_waits_for_nothing_and_launches_little(name, step, dense):
    launches, sites = step(METHODS[name])
    assert launches.copies <= 1
    # What the whole step needs, such as the copy, is no operation of a site.
    added = (launches.total - launches.copies - dense.total) / len(sites)
    assert added <= AT_MOST.get(name, 30)


def test_a_plan_of_several_methods_makes_one_copy(step):
    sites = find_sites(small_unet())
    names = [site.name for site in sites]
    does = everywhere(names[:1]) | everywhere(names[1:2], cross_weight="unbiased") | everywhere(names[2:], "tome")
    launches, taken = step(plan_for(small_unet(), does))
    assert taken == sites and launches.copies == 1
