"""AudioLDM2: CLAP and T5 encode a prompt, a GPT-2 makes of both what the UNet attends to beside the T5's states.

Source of the sizes: haoheliu/AudioLDM2 `audioldm2/utils.py` and diffusers' conversion script. Counted by diffusers the
UNets have 347 M and 718 M parameters (the AudioLDM 2 paper says 346 M and 712 M).
"""

from dataclasses import replace
from typing import ClassVar

from diffusers import AudioLDM2Pipeline, AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel

from focuslab.models import random_parts
from focuslab.models.family import BLOCKS_BELOW_FULL, MEL_CLASSES, ROBERTA, T5, Family
from focuslab.models.legacy import mend
from focuslab.models.placement import device_of
from focuslab.models.recipes import FULL, TINY, Recipe
from focuslab.models.tokenizers import byte_tokenizer, character_tokenizer

_BASE = Recipe(
    **FULL,
    unet_channels=(128, 256, 384, 640),
    unet_heads=(4, 8, 12, 20),
    unet_contexts=(None, 768, 1024),
    clap_width=512,
    t5_width=1024,
    gpt2_width=768,
)


class AudioLDM2(Family):
    name = "AudioLDM2"
    pipeline = "AudioLDM2Pipeline"
    recipes: ClassVar = {
        "random:tiny": Recipe(
            **TINY,
            unet_channels=(32, 32, 64, 64),
            unet_heads=(2, 2, 4, 4),
            unet_contexts=(None, 32, 48),
            clap_width=16,
            t5_width=48,
            gpt2_width=32,
        ),
        "random:audioldm2": _BASE,
        "random:audioldm2-large": replace(_BASE, unet_contexts=(None, 768, 1024, None), unet_depth=2),
    }
    classes: ClassVar = {
        "vae": MEL_CLASSES["vae"],
        "text_encoder": ("ClapModel",),
        "text_encoder_2": ("T5EncoderModel",),
        "projection_model": ("AudioLDM2ProjectionModel",),
        "language_model": ("GPT2LMHeadModel", "GPT2Model"),  # the latter is the older layout (legacy.py)
        "unet": ("AudioLDM2UNet2DConditionModel",),
        "vocoder": MEL_CLASSES["vocoder"],
        "tokenizer": ROBERTA,
        "tokenizer_2": T5,
        "feature_extractor": ("ClapFeatureExtractor",),
        "scheduler": MEL_CLASSES["scheduler"],
    }
    encoders = ("text_encoder", "text_encoder_2", "projection_model", "language_model")
    guidance_scale = 3.5
    embeds = ("prompt_embeds", "attention_mask", "generated_prompt_embeds")

    def encode(self, pipe, prompt):
        return pipe.encode_prompt(prompt, device_of(pipe), 1, do_classifier_free_guidance=True)

    def guided(self, both):
        return {
            "encoder_hidden_states": both["generated_prompt_embeds"],
            "encoder_hidden_states_1": both["prompt_embeds"],
            "encoder_attention_mask_1": both["attention_mask"],
        }

    def make(self, parts):
        return AudioLDM2Pipeline(**{**parts, "language_model": mend(parts["language_model"])})

    def random_text(self, recipe):
        tokenizer, tokenizer_2 = byte_tokenizer(), character_tokenizer()
        return {
            "tokenizer": tokenizer,
            "tokenizer_2": tokenizer_2,
            "text_encoder": random_parts.clap(recipe, tokenizer),
            "text_encoder_2": random_parts.t5(recipe, tokenizer_2),
            "language_model": random_parts.gpt2(recipe),
            "feature_extractor": random_parts.clap_extractor(),
        }

    def random_rest(self, recipe):
        return {"projection_model": AudioLDM2ProjectionModel(recipe.clap_width, recipe.t5_width, recipe.gpt2_width)}

    def unet(self, recipe):
        contexts = (recipe.unet_contexts,) * 4
        return AudioLDM2UNet2DConditionModel(
            **random_parts.unet_sizes(recipe), **BLOCKS_BELOW_FULL, cross_attention_dim=contexts
        )
