"""From a prompt to the arguments with which a pipeline and its UNet are called."""

import torch
from torch import Tensor

from focuslab.models.lengths import latent_frames
from focuslab.models.placement import device_of

GUIDANCE_SCALE = 3.5
"""The pipeline's own default; above 1 the UNet runs on a batch of two, [unconditional, conditional]."""


@torch.no_grad()
def encode_prompt(pipe, prompt: str) -> dict[str, Tensor]:
    """Both halves of the conditioning of one prompt, as keyword arguments of the pipeline."""
    both = pipe.encode_prompt(prompt, device_of(pipe), 1, do_classifier_free_guidance=True)
    names = ("prompt_embeds", "attention_mask", "generated_prompt_embeds")
    conditioning = {}
    for name, tensor in zip(names, both, strict=True):
        conditioning[f"negative_{name}"], conditioning[name] = tensor.chunk(2)
    return conditioning


def unet_inputs(pipe, conditioning: dict[str, Tensor], seconds: float) -> dict:
    """The UNet's keyword arguments in one guided step at a length, on meta: shapes and dtypes without contents."""
    both = {
        name: torch.cat([conditioning[f"negative_{name}"], conditioning[name]]).to("meta")
        for name in ("prompt_embeds", "attention_mask", "generated_prompt_embeds")
    }
    rows = pipe.vocoder.config.model_in_dim // pipe.vae_scale_factor
    shape = (2, pipe.unet.config.in_channels, latent_frames(pipe, seconds), rows)
    return {
        "sample": torch.empty(shape, dtype=both["prompt_embeds"].dtype, device="meta"),
        "timestep": torch.ones((), dtype=torch.long, device="meta"),
        "encoder_hidden_states": both["generated_prompt_embeds"],
        "encoder_hidden_states_1": both["prompt_embeds"],
        "encoder_attention_mask_1": both["attention_mask"],
        "return_dict": False,
    }
