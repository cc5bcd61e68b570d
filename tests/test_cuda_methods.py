"""Every method at every site of a small UNet on the device, site by site against float64 on the CPU.

The same tests run on the CPU in float32, so that a mistake in them shows where there is no GPU.
"""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from focuslab.attention import kernels
from focuslab.methods import as_method
from focuslab.models.families import AUDIOLDM2, RECIPES
from focuslab.models.sites import find_sites
from tests.configurations import METHODS
from tests.plans import everywhere
from tests.small_unet import plan_for

cuda = pytest.mark.cuda
FRAMES, MEL_ROWS = 37, 8
"""Of the latent: grids of 19 x 4, 10 x 2 and 5 x 1, odd lengths and a single mel row among them."""
TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}
"""Largest difference of a site's output, as a share of its largest value."""
HEADS = {32: (2, 2, 4, 4), 64: (1, 1, 2, 2)}
"""Heads of each level by their width."""
DEVICES = [
    pytest.param("cpu", torch.float32, 32, id="cpu"),
    *(
        pytest.param("cuda", dtype, width, marks=cuda, id=f"cuda-{str(dtype).removeprefix('torch.')}-{width}")
        for dtype in TOLERANCE
        for width in HEADS
    ),
]
COMPARED = [name for name in METHODS if name not in ("tome",)]
"""Token Merging matches other tokens where rounding changes which two are most alike."""


@pytest.fixture(scope="module")
def unets():
    """unets(width) -> a float64 UNet on the CPU whose heads have this width."""
    made = {}

    def make(width):
        if width not in made:
            recipe = replace(RECIPES["random:tiny"], unet_channels=(64, 64, 128, 128), unet_heads=HEADS[width])
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)
                made[width] = AUDIOLDM2.unet(recipe).double().eval().requires_grad_(False)
        return made[width]

    return make


def step_inputs(device, dtype):
    generator = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)

    return {
        "sample": noise(2, 8, FRAMES, MEL_ROWS),
        # The third entry of a schedule: what is drawn depends on the step.
        "timestep": torch.tensor([999, 800, 600, 400], device=device)[2],
        "encoder_hidden_states": noise(2, 8, 32),
        "encoder_hidden_states_1": noise(2, 5, 48),
        "encoder_attention_mask_1": torch.ones(2, 5, dtype=torch.long, device=device),
        "return_dict": False,
    }


@torch.no_grad()
def sites_of_a_step(unet, method, inputs, given=None):
    """{site: (input, output)} of one UNet call with the method attached; `given` replaces the inputs of sites."""
    seen, hooks = {}, []
    for name in [site.name for site in find_sites(unet)]:

        def before(_module, args, kwargs, name=name):
            if given is None:
                return None
            return (given[name], *args[1:]), kwargs

        def after(_module, args, _kwargs, output, name=name):
            seen[name] = args[0].detach(), output.detach()

        attention = unet.get_submodule(name)
        hooks += [
            attention.register_forward_pre_hook(before, with_kwargs=True),
            attention.register_forward_hook(after, with_kwargs=True),
        ]
    try:
        with method(unet):
            unet(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def largest_difference(unet64, method, device, dtype):
    """Over all sites, of the output on the device to that of float64 on the CPU for the same input."""
    unet = deepcopy(unet64).to(device, dtype)
    there = sites_of_a_step(unet, method, step_inputs(device, dtype))
    given = {name: x.to("cpu", torch.float64) for name, (x, _) in there.items()}
    here = sites_of_a_step(deepcopy(unet64), method, step_inputs("cpu", torch.float64), given)
    assert len(there) == len(find_sites(unet)) > 0
    differences = {}
    for name, (_, output) in there.items():
        expected = here[name][1]
        assert output.dtype == dtype and output.device.type == device
        differences[name] = (output.to("cpu", torch.float64) - expected).abs().max() / expected.abs().max()
    return max(differences.values()).item()


@pytest.mark.parametrize("device, dtype, width", DEVICES)
@pytest.mark.parametrize("name", COMPARED)
def test_every_site_is_as_in_float64(unets, name, device, dtype, width):
    method = replace(METHODS[name], sites="*")
    assert largest_difference(unets(width), method, device, dtype) < TOLERANCE[dtype]


@pytest.mark.parametrize("device, dtype, width", DEVICES)
def test_every_site_of_a_plan_is_as_in_float64(unets, device, dtype, width):
    unet = unets(width)
    names = [site.name for site in find_sites(unet)]
    sites = everywhere(names[::2], cross_fraction=0.2, cross_weight="unbiased") | everywhere(names[1::2], "pooled")
    plan = as_method(plan_for(unet, sites, MEL_ROWS))
    assert largest_difference(unet, plan, device, dtype) < TOLERANCE[dtype]


@pytest.mark.parametrize("device, dtype, width", DEVICES)
def test_the_log_sum_exp_of_kernel_and_fallback(device, dtype, width):
    kernel = kernels.lse_kernel(device, dtype, width)
    assert kernel is not None, "no fused kernel gave a right log-sum-exp"
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(2, 131, 3, width, generator=generator).to(device, dtype).transpose(1, 2) for _ in range(3))
    wide = [x.to("cpu", torch.float64) for x in (q, k, v)]
    expected = (wide[0] @ wide[1].mT * width**-0.5).logsumexp(dim=-1)
    for function in (kernel, kernels.blockwise_attention_with_lse):
        _, lse = function(q, k, v, width**-0.5)
        assert (lse.to("cpu", torch.float64) - expected).abs().max() < kernels.LSE_TOLERANCE[dtype]


@cuda
@pytest.mark.parametrize("name", METHODS)
def test_the_host_never_waits_within_a_unet_call(unets, name):
    unet = deepcopy(unets(32)).to("cuda", torch.float16)
    inputs = step_inputs("cuda", torch.float16)
    with torch.no_grad(), replace(METHODS[name], sites="*")(unet):
        unet(**inputs)  # kernels are probed once a process
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            unet(**inputs)
        finally:
            torch.cuda.set_sync_debug_mode("default")
