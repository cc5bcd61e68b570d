"""From a prompt to the arguments of a pipeline and its UNet, and the stages around the denoising."""

from typing import Any

import torch
from torch import Tensor

from focuslab.models.decoding import decoding_in_windows
from focuslab.models.families import family_of
from focuslab.models.lengths import latent_frames, latent_mel_rows
from focuslab.models.placement import device_of


@torch.no_grad()
def encode_prompt(pipe, prompt: str) -> dict[str, Tensor]:
    """Both halves of the conditioning of one prompt, as keyword arguments of the pipeline."""
    return family_of(pipe).encode_prompt(pipe, prompt)


def guidance_scale(pipe) -> float:
    """The default of the pipeline's family."""
    return family_of(pipe).guidance_scale


def guided_inputs(pipe, conditioning: dict[str, Tensor]) -> dict[str, Any]:
    """What a prompt gives to the UNet's keyword arguments in one guided step: [unconditional, conditional]."""
    family = family_of(pipe)
    both = {name: torch.cat([conditioning[f"negative_{name}"], conditioning[name]]) for name in family.embeds}
    return {**family.guided(both), "return_dict": False}


def unet_inputs(pipe, conditioning: dict[str, Tensor], seconds: float) -> dict:
    """The UNet's keyword arguments in one guided step at a length, on meta: shapes and dtypes without contents."""
    of_prompt = {k: x.to("meta") if isinstance(x, Tensor) else x for k, x in guided_inputs(pipe, conditioning).items()}
    shape = (2, pipe.unet.config.in_channels, latent_frames(pipe, seconds), latent_mel_rows(pipe))
    return {
        "sample": torch.empty(shape, dtype=conditioning["prompt_embeds"].dtype, device="meta"),
        "timestep": torch.ones((), dtype=torch.long, device="meta"),
        **of_prompt,
    }


STAGES = ("prompt_encoding", "vae_decoder", "vocoder")


def components_of(pipe, stage: str) -> tuple[str, ...]:
    """The components that do the work of a stage."""
    return {"prompt_encoding": family_of(pipe).encoders, "vae_decoder": ("vae",), "vocoder": ("vocoder",)}[stage]


@torch.no_grad()
def run_stage(pipe, stage: str, prompt: str, seconds: float, seed: int) -> None:
    """Run one stage as the pipeline does for one prompt, on noise of the shape that it gets at this length."""
    if stage == "prompt_encoding":
        encode_prompt(pipe, prompt)
        return
    frames, rows = latent_frames(pipe, seconds), pipe.vocoder.config.model_in_dim
    generator = torch.Generator("cpu").manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        drawn = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
        return drawn.to(device_of(pipe), pipe.vae.dtype)

    with decoding_in_windows(pipe, seconds):
        if stage == "vae_decoder":
            channels = pipe.vae.config.latent_channels
            pipe.vae.decode(noise(1, channels, frames, rows // pipe.vae_scale_factor) / pipe.vae.config.scaling_factor)
        else:
            pipe.mel_spectrogram_to_waveform(noise(1, 1, frames * pipe.vae_scale_factor, rows))
