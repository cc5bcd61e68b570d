"""The parts put together as one pipeline, trained as far as those who need it to train theirs."""

from pathlib import Path

import torch
from diffusers import AudioLDM2Pipeline

import components
from focuslab.models.random_parts import ddim
from training import load_averaged


def pipeline(work: Path) -> AudioLDM2Pipeline:
    """VAE and CLAP as trained in `work`, everything else as initialised, scaling factor not yet set."""
    torch.manual_seed(0)
    tokenizer, tokenizer_2 = components.tokenizers()
    vae, clap = components.vae(), components.clap(tokenizer)
    load_averaged(vae, work / "vae.safetensors")
    load_averaged(clap, work / "clap.safetensors")
    return AudioLDM2Pipeline(
        vae=vae,
        vocoder=components.vocoder(),
        text_encoder=clap,
        text_encoder_2=components.t5(tokenizer_2),
        projection_model=components.projection(),
        language_model=components.gpt2(),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        feature_extractor=components.feature_extractor(),
        unet=components.unet(),
        scheduler=ddim(),
    )
