"""The stages of a pipeline around its denoising, one by one."""

import torch

from focuslab.models.conditioning import encode_prompt
from focuslab.models.lengths import latent_frames
from focuslab.models.placement import device_of

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

    if stage == "vae_decoder":
        channels = pipe.vae.config.latent_channels
        pipe.vae.decode(noise(1, channels, frames, rows // pipe.vae_scale_factor) / pipe.vae.config.scaling_factor)
    else:
        pipe.mel_spectrogram_to_waveform(noise(1, 1, frames * pipe.vae_scale_factor, rows))
