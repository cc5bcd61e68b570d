"""The latents of training clips, each encoded when it is first asked for."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

import components
from data import Clips
from training import load_averaged


class Latents:
    """Latents before scaling, float16 `[clips, 8, 256, 16]`, kept in `work` until the VAE there changes."""

    def __init__(self, clips: Clips, work: Path):
        self._clips = clips
        self._vae = components.vae()
        load_averaged(self._vae, work / "vae.safetensors")
        file = work / "latents.npy"
        if not file.exists() or file.stat().st_mtime < (work / "vae.safetensors").stat().st_mtime:
            # What is not encoded yet is NaN.
            shape = (len(clips), 8, components.LATENT_FRAMES, components.LATENT_ROWS)
            np.save(file, np.full(shape, np.nan, np.float16))
        self._kept = np.load(file, mmap_mode="r+")

    def of(self, clip: int) -> np.ndarray:
        """Of one clip, `[8, 256, 16]`."""
        kept = self._kept[clip]
        if np.isnan(kept).any():
            kept[:] = encode_clip(self._vae, self._clips, clip).numpy()
        return kept

    def scaling_factor(self) -> float:
        """What gives them unit deviation, from every twentieth clip."""
        values = np.stack([self.of(clip) for clip in range(0, len(self._clips), 20)])
        return float(1 / values.astype("float32").std())


@torch.no_grad()
def encode_clip(vae: AutoencoderKL, clips: Clips, index: int) -> Tensor:
    """Latents of one clip before scaling, `[8, 256, 16]`."""
    mel = torch.from_numpy(clips.mels[index].astype("float32"))[None, None]
    return vae.encode(mel).latent_dist.mode()[0]
