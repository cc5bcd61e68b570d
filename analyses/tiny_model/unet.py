"""The UNet and the text encoders that steer it: T5, projection and GPT-2 go on training with it, CLAP does not."""

from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AudioLDM2Pipeline
from torch import nn

import components
import text
from assembly import pipeline
from data import Clips
from latents import Latents, encode_clip
from training import Training, load_averaged

# (share of the steps, clips a step, latent frames): short crops show more sounds in the same time, long ones come last.
STAGES = ((1 / 2, 8, 64), (1 / 6, 4, 128), (1 / 3, 2, 256))
CAPTION_DROPOUT = 0.1
# Weights of the noise levels, as factors on the error of the clean latents: the signal-to-noise ratio, at most 5 (Hang
# et al., "Efficient Diffusion Training via Min-SNR", 2023) and, where sounds are still being chosen, not much below 1
# (Salimans and Ho, "Progressive Distillation", 2022). Without the latter the captions were hardly learnt.
SNR_LIMIT = 5.0
NOISY_LIMIT = 10.0


def trained_side(pipe: AudioLDM2Pipeline) -> nn.ModuleDict:
    """What is trained here, under the names that the checkpoint uses."""
    return nn.ModuleDict({"unet": pipe.unet, **text.parts_of(pipe)})


def job(train: Clips, held_out: Clips, steps: int, work: Path) -> Training:
    pipe = pipeline(work)
    pipe.text_encoder.requires_grad_(False)
    latents = Latents(train, work)
    scaling_factor = latents.scaling_factor()
    kept_out = torch.stack([encode_clip(pipe.vae, held_out, i) for i in range(120)]) * scaling_factor
    snr = pipe.scheduler.alphas_cumprod / (1 - pipe.scheduler.alphas_cumprod)
    weights = (snr.clamp(1, SNR_LIMIT) / snr).clamp(max=NOISY_LIMIT)
    model = trained_side(pipe)
    load_averaged(text.parts_of(pipe), work / "text.safetensors")
    model.requires_grad_(True)

    def denoise(clean: torch.Tensor, captions: list[str], generator: torch.Generator) -> torch.Tensor:
        """The weighted loss of each clip `[B]`."""
        noise = torch.randn(clean.shape, generator=generator)
        # One noise level from each of B equal parts: less variance than free draws.
        spread = (torch.arange(len(clean)) + torch.rand(len(clean), generator=generator)) / len(clean)
        timesteps = (spread * pipe.scheduler.config.num_train_timesteps).long()
        noisy = pipe.scheduler.add_noise(clean, noise, timesteps)
        embeds, mask, generated = pipe.encode_prompt(captions, "cpu", 1, False)
        predicted = pipe.unet(
            noisy,
            timesteps,
            encoder_hidden_states=generated,
            encoder_hidden_states_1=embeds,
            encoder_attention_mask_1=mask,
        ).sample
        errors = F.mse_loss(predicted, noise, reduction="none").mean(dim=(1, 2, 3))
        return errors * weights[timesteps]

    def losses(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        batch, frames = _stage(step / steps)
        chosen = torch.randint(len(train), (batch,), generator=generator).tolist()
        first = int(torch.randint(components.LATENT_FRAMES - frames + 1, (), generator=generator))
        crops = np.stack([latents.of(clip)[:, first : first + frames] for clip in chosen])
        clean = torch.from_numpy(crops.astype("float32")) * scaling_factor
        dropped = (torch.rand(batch, generator=generator) < CAPTION_DROPOUT).tolist()
        captions = ["" if drop else train.captions[c] for c, drop in zip(chosen, dropped, strict=True)]
        return {"loss": denoise(clean, captions, generator).mean(), "frames": torch.tensor(float(frames))}

    def look() -> dict[str, float]:
        figures = {}
        for name, captions in (("loss", held_out.captions), ("loss_without_caption", [""] * len(held_out))):
            generator = torch.Generator().manual_seed(0)
            terms = [
                denoise(kept_out[i : i + 12, :, :128], captions[i : i + 12], generator).mean().item()
                for i in range(0, len(kept_out), 12)
            ]
            figures[name] = sum(terms) / len(terms)
        return figures

    return Training("unet", model, losses, steps, rate=1e-3, decay=0.5, warmup=200, average=0.998, held_out=look)


def _stage(done: float) -> tuple[int, int]:
    """Clips and latent frames of a step, by the share of the training that is done."""
    ends = list(accumulate(share for share, _, _ in STAGES))
    stage = sum(done >= end for end in ends[:-1])
    return STAGES[stage][1:]
