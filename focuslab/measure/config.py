"""What a measurement is asked for, as one frozen config; its public function takes the fields as keyword arguments."""

from dataclasses import fields
from typing import Any, TypeVar

from focuslab.errors import InputError, did_you_mean

Config = TypeVar("Config")

_RENAMED = {"prove": "validate", "proof_prompts": "validation_prompts", "quality": "metrics"}
"""Option of an earlier version -> what it is called today."""


def make_config(of: type[Config], options: dict[str, Any]) -> Config:
    """The config with these fields, and the defaults of the others.

    Raises
    ------
    InputError
        There is no such field, or its value is not what the config expects.
    """
    known = [field.name for field in fields(of)]
    for name in options:
        if name not in known:
            now = _RENAMED.get(name)
            hint = f"; it is called {now} now" if now in known else did_you_mean(name, known)
            raise InputError(f"there is no option {name!r}, only {', '.join(known)}{hint}")
    return of(**options)


def settle(config: Any, **checked: Any) -> None:
    """Put checked values in the place of those that were given; for `__post_init__` of a frozen config."""
    for name, value in checked.items():
        object.__setattr__(config, name, value)
