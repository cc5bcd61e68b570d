"""What the sizes of a random model are; each family's file has those of its own models."""

from dataclasses import dataclass
from typing import Any

# Set in the config of a stand-in, not on the pipeline: there it survives saving, loading and rebuilding a pipeline.
STAND_IN = "focuslab_stand_in"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the random models differ in. Mel geometry is the same for all, kinds of blocks are a family's own."""

    unet_channels: tuple[int, int, int, int]
    unet_heads: tuple[int, int, int, int]
    unet_contexts: tuple[int | None, ...] = ()  # what each Transformer2DModel of a layer attends to; None: itself
    unet_layers: int
    unet_depth: int = 1
    training_frames: int = 256
    vae_channels: tuple[int, int, int]
    vae_layers: int
    norm_groups: int
    vocoder_channels: int
    clap_width: int = 0
    t5_width: int = 0
    gpt2_width: int = 0
    thin_text_encoders: bool


FULL: dict[str, Any] = {
    "unet_layers": 2,
    "vae_channels": (128, 256, 512),
    "vae_layers": 2,
    "norm_groups": 32,
    "vocoder_channels": 1024,
    "thin_text_encoders": True,
}
"""What the published models share: the AudioLDM authors' VAE and vocoder are in all of them."""
TINY: dict[str, Any] = {
    "unet_layers": 1,
    "vae_channels": (8, 16, 16),
    "vae_layers": 1,
    "norm_groups": 8,
    "vocoder_channels": 64,
    "thin_text_encoders": False,
}
