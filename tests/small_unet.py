"""A UNet like AudioLDM2's with two levels and few blocks, which a compiler traces in about a second."""

import torch
from diffusers import AudioLDM2UNet2DConditionModel

from focuslab.methods import Plan
from focuslab.models.sites import find_sites
from tests.plans import LAYOUT, plan_of

FRAMES, MEL_ROWS = 32, 16


def small_unet() -> AudioLDM2UNet2DConditionModel:
    """Always the same weights, and torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AudioLDM2UNet2DConditionModel(
            sample_size=FRAMES,
            in_channels=8,
            out_channels=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(32, 32),
            layers_per_block=1,
            cross_attention_dim=16,
            attention_head_dim=2,
            norm_num_groups=8,
        ).eval()


def inputs_of(timestep, frames: int = FRAMES, batch: int = 2, seed: int = 0) -> dict:
    """The keyword arguments of one call of a `small_unet`."""
    generator = torch.Generator("cpu").manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(batch, *shape, generator=generator, dtype=torch.float32, device="cpu")

    return {
        "sample": noise(8, frames, MEL_ROWS),
        "timestep": timestep,
        "encoder_hidden_states": noise(4, 16),
        "return_dict": False,
    }


def plan_for(unet, sites: dict, mel_rows: int = MEL_ROWS) -> Plan:
    """A plan that has these sites at every length, for a UNet whose latents have so many mel rows."""
    shapes = {
        site.name: {"mel_rows": site.time_steps(mel_rows), "heads": site.heads, "head_width": site.head_width}
        for site in find_sites(unet)
    }
    return plan_of({0: sites}, {**LAYOUT, "latent_mel_rows": mel_rows, "sites": shapes})
