"""The latents of all training clips, encoded once."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

import components
from data import Clips
from training import load_averaged


def encode(clips: Clips, work: Path) -> tuple[np.ndarray, float]:
    """Latents before scaling, float16 `[clips, 8, 256, 16]`, made once and kept in `work`; and the factor that gives
    them unit deviation."""
    file = work / "latents.npy"
    if not file.exists() or file.stat().st_mtime < (work / "vae.safetensors").stat().st_mtime:
        model = components.vae()
        load_averaged(model, work / "vae.safetensors")
        latents = np.empty((len(clips), 8, components.LATENT_FRAMES, components.LATENT_ROWS), np.float16)
        for i in range(len(clips)):
            latents[i] = encode_clip(model, clips, i).numpy()
        partial = file.with_suffix(".partial.npy")
        np.save(partial, latents)
        partial.replace(file)
    latents = np.load(file)
    return latents, float(1 / latents[::20].astype("float32").std())


@torch.no_grad()
def encode_clip(vae: AutoencoderKL, clips: Clips, index: int) -> Tensor:
    """Latents of one clip before scaling, `[8, 256, 16]`."""
    mel = torch.from_numpy(clips.mels[index].astype("float32"))[None, None]
    return vae.encode(mel).latent_dist.mode()[0]
