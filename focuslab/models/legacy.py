"""Mending language models in the layout of the first AudioLDM2 release, which load today but cannot run.

That layout names `GPT2Model`. The pipeline asks it for what only generating models have by now, and prompt encoding
ends in an AttributeError (huggingface/diffusers#12630). The pipeline reads nothing but hidden states, so the same
transformer inside a `GPT2LMHeadModel` gives the very same sound.
"""

import functools
import logging

import torch
from transformers import GPT2LMHeadModel, GPT2Model

_logger = logging.getLogger("focuslab")


def mend(model: GPT2LMHeadModel | GPT2Model) -> GPT2LMHeadModel:
    """`model` itself, or the `GPT2LMHeadModel` around it that shares its weights. Warns once in a process."""
    if isinstance(model, GPT2LMHeadModel):
        return model
    with torch.device("meta"):
        wrapped = GPT2LMHeadModel(model.config)
    wrapped.transformer = model
    # Nothing reads the head. Sharing the token embeddings it takes no memory, and no weight is left without a value.
    wrapped.lm_head.weight = model.wte.weight
    _tell()
    return wrapped.train(model.training)


@functools.cache
def _tell() -> None:
    _logger.warning(
        "this model is in AudioLDM2's older layout (language_model: GPT2Model), which today's transformers cannot "
        "run: the same weights were put in a GPT2LMHeadModel, and the sound is unchanged"
    )
