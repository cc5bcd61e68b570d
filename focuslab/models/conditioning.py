"""From a prompt to the arguments of a pipeline and its UNet, and the stages around the denoising."""

import torch
from torch import Tensor

from focuslab.models.decoding import decoding_in_windows
from focuslab.models.lengths import latent_frames, latent_mel_rows
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


def guided_inputs(conditioning: dict[str, Tensor]) -> dict[str, Tensor | bool]:
    """What a prompt gives to the UNet's keyword arguments in one guided step: [unconditional, conditional]."""
    both = {
        name: torch.cat([conditioning[f"negative_{name}"], conditioning[name]])
        for name in ("prompt_embeds", "attention_mask", "generated_prompt_embeds")
    }
    return {
        "encoder_hidden_states": both["generated_prompt_embeds"],
        "encoder_hidden_states_1": both["prompt_embeds"],
        "encoder_attention_mask_1": both["attention_mask"],
        "return_dict": False,
    }


def unet_inputs(pipe, conditioning: dict[str, Tensor], seconds: float) -> dict:
    """The UNet's keyword arguments in one guided step at a length, on meta: shapes and dtypes without contents."""
    of_prompt = {k: x.to("meta") if isinstance(x, Tensor) else x for k, x in guided_inputs(conditioning).items()}
    shape = (2, pipe.unet.config.in_channels, latent_frames(pipe, seconds), latent_mel_rows(pipe))
    return {
        "sample": torch.empty(shape, dtype=conditioning["prompt_embeds"].dtype, device="meta"),
        "timestep": torch.ones((), dtype=torch.long, device="meta"),
        **of_prompt,
    }


STAGES: dict[str, tuple[str, ...]] = {
    "prompt_encoding": ("text_encoder", "text_encoder_2", "projection_model", "language_model"),
    "vae_decoder": ("vae",),
    "vocoder": ("vocoder",),
}
"""Stage -> the components that do its work."""


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
