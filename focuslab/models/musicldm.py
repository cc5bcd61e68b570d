"""MusicLDM: AudioLDM's UNet, trained on music at 10.24 s, and a whole CLAP in place of its text half.

Its pipeline in diffusers takes what CLAP returned before transformers 5 and cannot encode a prompt today;
`MusicLDMPipeline` here can. Source of the sizes: diffusers' conversion script.
"""

from dataclasses import replace
from typing import ClassVar

import diffusers
import torch
from torch import Tensor

from focuslab.models import random_parts
from focuslab.models.audioldm import BASE, SMALL, AudioLDM
from focuslab.models.placement import device_of
from focuslab.models.tokenizers import byte_tokenizer


class MusicLDMPipeline(diffusers.MusicLDMPipeline):
    """The pipeline of diffusers, which encodes prompts under today's transformers too."""

    def _encode_prompt(
        self,
        prompt,
        device,
        num_waveforms_per_prompt,
        do_classifier_free_guidance,
        negative_prompt=None,
        prompt_embeds=None,
        negative_prompt_embeds=None,
    ):
        if prompt_embeds is None:
            prompt_embeds = clap_embeds(self, prompt, self.tokenizer.model_max_length)
        if do_classifier_free_guidance and negative_prompt_embeds is None:
            nothing = negative_prompt or [""] * len(prompt_embeds)
            # As many tokens as the embedding is wide, as the pipeline has it.
            negative_prompt_embeds = clap_embeds(self, nothing, prompt_embeds.shape[1])
        given = device, num_waveforms_per_prompt, do_classifier_free_guidance, None
        return super()._encode_prompt(None, *given, prompt_embeds, negative_prompt_embeds)


def clap_embeds(pipe, prompts: str | list[str], longest: int) -> Tensor:
    """The CLAP embeddings `[B, C]` of prompts that are padded and cut to `longest` tokens."""
    given = {"padding": "max_length", "max_length": longest, "truncation": True, "return_tensors": "pt"}
    tokens = pipe.tokenizer(prompts, **given).to(device_of(pipe))
    found = pipe.text_encoder.get_text_features(tokens.input_ids, attention_mask=tokens.attention_mask)
    # Before version 5 transformers gave the tensor itself.
    return getattr(found, "pooler_output", found)


class MusicLDM(AudioLDM):
    name = "MusicLDM"
    pipeline = "MusicLDMPipeline"
    recipes: ClassVar = {
        "random:tiny-musicldm": replace(SMALL, training_frames=256),
        "random:musicldm": replace(BASE, training_frames=256),
    }
    classes: ClassVar = {
        **AudioLDM.classes,
        "text_encoder": ("ClapModel",),
        "feature_extractor": ("ClapFeatureExtractor",),
    }
    guidance_scale = 2.0

    def encode(self, pipe, prompt):
        with torch.no_grad():
            conditional = clap_embeds(pipe, prompt, pipe.tokenizer.model_max_length)
            unconditional = clap_embeds(pipe, "", conditional.shape[1])
        return (torch.cat([unconditional, conditional]).to(pipe.text_encoder.text_model.dtype),)

    def make(self, parts):
        return self.without_the_warning(MusicLDMPipeline, parts)

    def random_text(self, recipe):
        tokenizer = byte_tokenizer()
        return {
            "tokenizer": tokenizer,
            "text_encoder": random_parts.clap(recipe, tokenizer, longest=recipe.clap_width),
            "feature_extractor": random_parts.clap_extractor(),
        }
