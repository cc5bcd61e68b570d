"""What a measurement is asked for, as one frozen config; its public function takes the fields as keyword arguments."""

from dataclasses import fields
from typing import Any, TypeVar, cast

from focuslab.errors import InputError, did_you_mean

Config = TypeVar("Config")


def make_config(of: type[Config], options: dict[str, Any]) -> Config:
    """The config with these fields, and the defaults of the others.

    Raises
    ------
    InputError
        There is no such field, or its value is not what the config expects.
    """
    known = [field.name for field in fields(cast(Any, of))]
    for name in options:
        if name not in known:
            raise InputError(f"there is no option {name!r}, only {', '.join(known)}{did_you_mean(name, known)}")
    return of(**options)


def settle(config: Any, **checked: Any) -> None:
    """Put checked values in the place of those that were given; for `__post_init__` of a frozen config."""
    for name, value in checked.items():
        object.__setattr__(config, name, value)
