"""Whether a pipeline can be worked with, by its kind and its configuration, before hours of work show it."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch

from focuslab.checks import is_number, shown
from focuslab.errors import InputError
from focuslab.models.checks import first_line

_STEPS = 10
_PROMPTS = ["rain on a tin roof", "a siren"]


def check_settings(pipe: Any) -> None:
    """Raises `InputError` naming the component and the field of a configuration that no generation could run with."""
    rates = getattr(pipe.vocoder.config, "upsample_rates", None)
    _check(pipe.unet, "unet", "sample_size", "a whole number from 1 to 100000, or null", _or_none(_whole(1, 100_000)))
    _check(pipe.vocoder, "vocoder", "sampling_rate", "a whole number of Hz up to 1000000", _whole(1, 10**6))
    _check(pipe.vocoder, "vocoder", "model_in_dim", "a whole number from 1 to 10000", _whole(1, 10_000))
    if not isinstance(rates, (list, tuple)) or not all(map(_whole(1, 10**6), rates)) or math.prod(rates) > 10**6:
        raise _wrong("vocoder", "upsample_rates", rates, "whole numbers whose product is at most 1000000")
    _check(pipe.vae, "vae", "scaling_factor", "a number other than 0", lambda value: is_number(value) and value != 0)
    if hasattr(pipe, "language_model"):
        expected = "a whole number from 1 to 10000"
        _check(pipe.language_model, "language_model", "max_new_tokens", expected, _whole(1, 10_000))
    try:
        check_scheduler(pipe.scheduler)
    except Exception as error:
        name = type(pipe.scheduler).__name__
        raise InputError(
            f"the {name} of this model cannot make {_STEPS} steps ({type(error).__name__}: {first_line(error)}): "
            "mend its scheduler_config.json, or use another scheduler"
        ) from None
    for number in ("", "_2"):
        if hasattr(pipe, f"tokenizer{number}"):
            encoder = getattr(pipe, f"text_encoder{number}")
            _check_tokenizer(getattr(pipe, f"tokenizer{number}"), f"tokenizer{number}", encoder)


def check_scheduler(scheduler: Any) -> None:
    """Raises whatever it raises where it cannot make its first step of several."""
    scheduler = copy.deepcopy(scheduler)
    latents = torch.zeros(1, 8, 2, 2, device="cpu")
    scheduler.set_timesteps(_STEPS)
    step = scheduler.timesteps[0]
    # Some add noise of torch's global generator.
    with torch.random.fork_rng(devices=[]):
        scheduler.step(scheduler.scale_model_input(latents, step), step, latents)


def _check_tokenizer(tokenizer: Any, name: str, encoder: Any) -> None:
    """As the pipeline uses it: it pads, tells prompts apart, and gives tokens that the text encoder knows."""
    # Of a CLAP it is the text half.
    encoder, is_clap = getattr(encoder, "text_model", encoder), hasattr(encoder, "text_model")
    try:
        # A call leaves its padding and truncation in the tokenizer, which would then be saved with it.
        tokenizer = copy.deepcopy(tokenizer)
        padding = "max_length" if is_clap else True
        made = tokenizer(_PROMPTS, padding=padding, truncation=True, max_length=tokenizer.model_max_length)
        first, second = made["input_ids"]
        if "attention_mask" not in made:
            raise ValueError("it gives no attention_mask")
        highest = max(*first, *second, *tokenizer.get_vocab().values())
        lowest = min(*first, *second, *tokenizer.get_vocab().values())
    except Exception as error:
        raise InputError(
            f"the {name} of this model cannot take a prompt ({type(error).__name__}: {first_line(error)}): copy or "
            "download its folder again"
        ) from None
    known = encoder.get_input_embeddings().num_embeddings
    if lowest < 0 or highest >= known:
        raise InputError(
            f"the {name} of this model has tokens from {lowest} to {highest}, and its text encoder those from 0 to "
            f"{known - 1}: copy or download both again"
        )
    if first == second:
        raise InputError(
            f"the {name} of this model gives all prompts the same tokens: copy or download its folder again"
        )


def _check(part: Any, component: str, field: str, expected: str, fits: Callable[[Any], bool]) -> None:
    value = getattr(part.config, field, None)
    if not fits(value):
        raise _wrong(component, field, value, expected)


def _wrong(component: str, field: str, value: Any, expected: str) -> InputError:
    return InputError(f"the configuration of the {component} has {field} {shown(value)}: expected {expected}")


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)
