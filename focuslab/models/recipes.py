"""Sizes of the random models. The full-size ones are those of the published checkpoints.

Sources: haoheliu/AudioLDM2 `audioldm2/utils.py` and diffusers' conversion script. Counted by diffusers the UNets have
347 M and 718 M parameters (the AudioLDM 2 paper says 346 M and 712 M).
"""

from dataclasses import dataclass, replace

# Set in the config of a stand-in, not on the pipeline: there it survives saving, loading and rebuilding a pipeline.
STAND_IN = "focuslab_stand_in"


@dataclass(frozen=True)
class Recipe:
    """What the random models differ in; mel geometry, kinds of blocks and the scheduler are the same for all."""

    unet_channels: tuple[int, int, int, int]
    unet_heads: tuple[int, int, int, int]
    unet_contexts: tuple[int | None, ...]  # widths of what each Transformer2DModel of a layer attends; None: itself
    unet_layers: int
    unet_depth: int
    vae_channels: tuple[int, int, int]
    vae_layers: int
    norm_groups: int
    vocoder_channels: int
    clap_width: int
    t5_width: int
    gpt2_width: int
    thin_text_encoders: bool


_AUDIOLDM2 = Recipe(
    unet_channels=(128, 256, 384, 640),
    unet_heads=(4, 8, 12, 20),
    unet_contexts=(None, 768, 1024),
    unet_layers=2,
    unet_depth=1,
    vae_channels=(128, 256, 512),
    vae_layers=2,
    norm_groups=32,
    vocoder_channels=1024,
    clap_width=512,
    t5_width=1024,
    gpt2_width=768,
    thin_text_encoders=True,
)

RECIPES = {
    "random:tiny": Recipe(
        unet_channels=(32, 32, 64, 64),
        unet_heads=(2, 2, 4, 4),
        unet_contexts=(None, 32, 48),
        unet_layers=1,
        unet_depth=1,
        vae_channels=(8, 16, 16),
        vae_layers=1,
        norm_groups=8,
        vocoder_channels=64,
        clap_width=16,
        t5_width=48,
        gpt2_width=32,
        thin_text_encoders=False,
    ),
    "random:audioldm2": _AUDIOLDM2,
    "random:audioldm2-large": replace(_AUDIOLDM2, unet_contexts=(None, 768, 1024, None), unet_depth=2),
}
