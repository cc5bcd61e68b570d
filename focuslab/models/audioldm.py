"""AudioLDM: one CLAP vector of a prompt is added to the time embedding, and the UNet attends to nothing but itself.

Its UNet is called without encoder states, so that the second attention of a transformer block, which diffusers counts
as cross-attention, attends to the block's own tokens (`focuslab.models.sites.is_self_attention`).

Source of the sizes: diffusers' conversion script, whose UNets have 8 heads at every level. `sample_size` is 128 (5.12
s) there, though the authors trained on 10.24 s.
"""

import functools
import logging
from typing import ClassVar

import diffusers
from diffusers import UNet2DConditionModel
from transformers import ClapTextModelWithProjection

from focuslab.models import random_parts
from focuslab.models.family import BLOCKS_BELOW_FULL, MEL_CLASSES, ROBERTA, Family
from focuslab.models.libraries import quiet
from focuslab.models.placement import device_of
from focuslab.models.recipes import FULL, TINY, Recipe
from focuslab.models.tokenizers import byte_tokenizer

_logger = logging.getLogger("focuslab")
BASE = Recipe(**FULL, unet_channels=(128, 256, 384, 640), unet_heads=(8, 8, 8, 8), training_frames=128, clap_width=512)
SMALL = Recipe(**TINY, unet_channels=(32, 32, 64, 64), unet_heads=(2, 2, 2, 2), training_frames=128, clap_width=16)


class AudioLDM(Family):
    name = "AudioLDM"
    pipeline = "AudioLDMPipeline"
    recipes: ClassVar = {"random:tiny-audioldm": SMALL, "random:audioldm": BASE}
    classes: ClassVar = {
        **MEL_CLASSES,
        "text_encoder": ("ClapTextModelWithProjection",),
        "unet": ("UNet2DConditionModel",),
        "tokenizer": ROBERTA,
    }
    encoders = ("text_encoder",)
    guidance_scale = 2.5

    def encode(self, pipe, prompt):
        return (pipe._encode_prompt(prompt, device_of(pipe), 1, True),)

    def guided(self, both):
        return {"encoder_hidden_states": None, "class_labels": both["prompt_embeds"]}

    def make(self, parts):
        return self.without_the_warning(diffusers.AudioLDMPipeline, parts)

    def without_the_warning(self, pipeline, parts):
        """The pipeline of these parts, with our own sentence in place of the library's."""
        _tell(self.name)
        with quiet():
            return pipeline(**parts)

    def random_text(self, recipe):
        tokenizer = byte_tokenizer()
        # No prompt is padded to as many tokens as the embedding is wide.
        config = random_parts.clap_text(recipe, tokenizer, longest=recipe.clap_width)
        return {"tokenizer": tokenizer, "text_encoder": ClapTextModelWithProjection(config)}

    def unet(self, recipe):
        return UNet2DConditionModel(
            **random_parts.unet_sizes(recipe),
            **BLOCKS_BELOW_FULL,
            cross_attention_dim=recipe.unet_channels,
            class_embed_type="simple_projection",
            class_embeddings_concat=True,
            projection_class_embeddings_input_dim=recipe.clap_width,
        )


@functools.cache
def _tell(name: str) -> None:
    _logger.warning(
        "diffusers keeps the pipeline of %s among its deprecated ones: it runs, and gets no fixes after diffusers 0.33",
        name,
    )
