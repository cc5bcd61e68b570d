"""Tango and Tango 2: Stable Diffusion 2.1's UNet over mel latents, which attends at the full latent resolution.

It has 16 mel rows there, twice those of AudioLDM2's finest sites. Both are published as loose files and not as a
pipeline: `TangoPipeline` runs them, `tango_files.py` reads them. The VAE and the vocoder are AudioLDM's.

Source of the sizes: declare-lab/tango `configs/diffusion_model_config.json`, and `models.py` for what runs how. Its
`sample_size` is [32, 2], an eighth of the latents of 256 x 16 that it was trained on; here it is 256.
"""

import math
from typing import Any, ClassVar

import torch
from diffusers import AudioLDM2Pipeline, AudioPipelineOutput, DDPMScheduler, DiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from focuslab.models import random_parts
from focuslab.models.family import MEL_CLASSES, T5, Family
from focuslab.models.placement import device_of
from focuslab.models.recipes import FULL, TINY, Recipe
from focuslab.models.tokenizers import character_tokenizer

TRAINING_FRAMES = 256
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "prediction_type": "v_prediction",
}
"""That of Stable Diffusion 2.1, which Tango names and is no longer on the hub."""


class TangoPipeline(DiffusionPipeline):
    """Text to audio of any length with Tango's networks; called as the pipelines of AudioLDM and AudioLDM2 are."""

    model_cpu_offload_seq = "text_encoder->unet->vae->vocoder"
    prepare_latents = AudioLDM2Pipeline.prepare_latents
    prepare_extra_step_kwargs = AudioLDM2Pipeline.prepare_extra_step_kwargs
    mel_spectrogram_to_waveform = AudioLDM2Pipeline.mel_spectrogram_to_waveform

    def __init__(self, vae, text_encoder, tokenizer, unet, scheduler, vocoder):
        super().__init__()
        parts = {"vae": vae, "text_encoder": text_encoder, "tokenizer": tokenizer, "unet": unet}
        self.register_modules(**parts, scheduler=scheduler, vocoder=vocoder)
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)

    def encode_prompt(self, prompt, device, negative_prompt="") -> tuple[Tensor, Tensor]:
        """States `[2 B, L, C]` and mask `[2 B, L]` of prompts, [unconditional, conditional]."""
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        longest = self.tokenizer.model_max_length
        conditional = self._states(prompts, device, padding=True, max_length=longest)
        negative = [negative_prompt] * len(prompts) if isinstance(negative_prompt, str) else list(negative_prompt)
        length = conditional[0].shape[1]
        unconditional = self._states(negative, device, padding="max_length", max_length=length)
        embeds, mask = (torch.cat(both) for both in zip(unconditional, conditional, strict=True))
        return embeds, mask

    def _states(self, texts, device, **options) -> tuple[Tensor, Tensor]:
        tokens = self.tokenizer(texts, truncation=True, return_tensors="pt", **options).to(device)
        return self.text_encoder(**tokens)[0], tokens.attention_mask == 1

    @torch.no_grad()
    def __call__(
        self,
        prompt=None,
        audio_length_in_s=None,
        num_inference_steps=100,
        guidance_scale=3.0,
        negative_prompt="",
        generator=None,
        latents=None,
        prompt_embeds=None,
        attention_mask=None,
        negative_prompt_embeds=None,
        negative_attention_mask=None,
        callback=None,
        output_type="np",
    ) -> AudioPipelineOutput:
        """Audio of prompts, or of their states and masks as `encode_prompt` gives them in halves."""
        device, config = self._execution_device, self.vocoder.config
        frame_seconds = math.prod(config.upsample_rates) / config.sampling_rate
        if audio_length_in_s is None:
            audio_length_in_s = self.unet.config.sample_size * self.vae_scale_factor * frame_seconds
        frames = math.ceil(int(audio_length_in_s / frame_seconds) / self.vae_scale_factor)
        if prompt_embeds is None:
            embeds, mask = self.encode_prompt(prompt, device, negative_prompt)
        else:
            embeds = torch.cat([negative_prompt_embeds, prompt_embeds])
            mask = torch.cat([negative_attention_mask, attention_mask])
        batch, guided = len(embeds) // 2, guidance_scale > 1
        given = {"encoder_hidden_states": embeds, "encoder_attention_mask": mask}
        if not guided:
            given = {name: both[batch:] for name, both in given.items()}
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        shape = batch, self.unet.config.in_channels, frames * self.vae_scale_factor
        latents = self.prepare_latents(*shape, embeds.dtype, device, generator, latents)
        extra = self.prepare_extra_step_kwargs(generator, 0.0)
        timesteps, order = self.scheduler.timesteps, self.scheduler.order
        warm_up = len(timesteps) - num_inference_steps * order
        with self.progress_bar(total=num_inference_steps) as progress_bar:
            for i, t in enumerate(timesteps):
                sample = self.scheduler.scale_model_input(torch.cat([latents] * 2) if guided else latents, t)
                noise = self.unet(sample, t, **given, return_dict=False)[0]
                if guided:
                    unconditional, conditional = noise.chunk(2)
                    noise = unconditional + guidance_scale * (conditional - unconditional)
                latents = self.scheduler.step(noise, t, latents, **extra).prev_sample
                if i == len(timesteps) - 1 or (i + 1 > warm_up and (i + 1) % order == 0):
                    progress_bar.update()
                    if callback is not None:
                        callback(i // order, t, latents)
        if output_type != "latent":
            mel = self.vae.decode(latents / self.vae.config.scaling_factor).sample
            latents = self.mel_spectrogram_to_waveform(mel)[:, : int(audio_length_in_s * config.sampling_rate)]
        self.maybe_free_model_hooks()
        return AudioPipelineOutput(audios=latents.numpy() if output_type == "np" else latents)


UNET: dict[str, Any] = {
    "in_channels": 8,
    "out_channels": 8,
    "block_out_channels": (320, 640, 1280, 1280),
    "attention_head_dim": (5, 10, 20, 20),  # diffusers' name for the number of heads
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "upcast_attention": True,
}
"""That of the published weights, beside diffusers' defaults: they name it and do not carry it."""


class Tango(Family):
    name = "Tango"
    pipeline = "TangoPipeline"
    recipes: ClassVar = {
        "random:tiny-tango": Recipe(
            **{**TINY, "norm_groups": 32, "vae_channels": (32, 32, 32)},
            unet_channels=(32, 32, 64, 64),
            unet_heads=(2, 2, 4, 4),
            t5_width=48,
        ),
        "random:tango": Recipe(
            **FULL,
            unet_channels=UNET["block_out_channels"],
            unet_heads=UNET["attention_head_dim"],
            t5_width=UNET["cross_attention_dim"],
        ),
    }
    classes: ClassVar = {
        **MEL_CLASSES,
        "text_encoder": ("T5EncoderModel",),
        "unet": ("UNet2DConditionModel",),
        "tokenizer": T5,
    }
    encoders = ("text_encoder",)
    guidance_scale = 3.0
    embeds = ("prompt_embeds", "attention_mask")

    def encode(self, pipe, prompt):
        return pipe.encode_prompt(prompt, device_of(pipe))

    def guided(self, both):
        return {
            "encoder_hidden_states": both["prompt_embeds"],
            "encoder_attention_mask": both["attention_mask"],
        }

    def make(self, parts):
        return TangoPipeline(**parts)

    def random_text(self, recipe):
        tokenizer = character_tokenizer()
        return {"tokenizer": tokenizer, "text_encoder": random_parts.t5(recipe, tokenizer)}

    def unet(self, recipe):
        sizes = {**UNET, **random_parts.unet_sizes(recipe), "cross_attention_dim": recipe.t5_width}
        return UNet2DConditionModel(**sizes)

    def scheduler(self):
        return DDPMScheduler(**SCHEDULER)
