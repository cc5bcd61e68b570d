"""Prompts: checked, and some to choose and validate a plan with where none are given."""

from collections.abc import Iterable

from focuslab.checks import several, text
from focuslab.errors import InputError

CHOICE_PROMPTS = (
    "falling rain",
    "a ringing church bell",
    "slow chords on a grand piano",
    "a fast emergency siren in the distance",
)
VALIDATION_PROMPTS = (
    "ocean waves",
    "a fast drum loop",
    "a rising melody on a solo violin",
    "a passing train",
)
"""Of the words that the bundled model knows, and of sounds that any model for sound knows."""


def check_prompts(prompts: Iterable[str] | str) -> list[str]:
    """The prompts as a list. Raises `InputError` for none, one that is no text, and one that is there twice."""
    prompts = [text("a prompt", prompt) for prompt in several(prompts)]
    if not prompts:
        raise InputError("no prompt given: expected one or more, each a text")
    if len(set(prompts)) < len(prompts):
        again = next(prompt for i, prompt in enumerate(prompts) if prompt in prompts[:i])
        raise InputError(f"the prompt {again!r} was given twice: with one seed it is the same clip")
    return prompts
