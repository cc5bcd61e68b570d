"""Checks of arguments and of the fields of files; each error names what was given and what was expected.

Arguments may be numpy's numbers, and one value may stand in place of several. A measurement is asked for as one frozen
config, whose fields its public function takes as keyword arguments (`make_config`).
"""

import math
import numbers
import os
import reprlib
import sys
from collections.abc import Iterable, Mapping
from inspect import signature
from typing import Any, TypeVar

from focuslab.errors import InputError, did_you_mean

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxother = 4, 60
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 30


def check_text(where: str, value: Any) -> None:
    if not isinstance(value, str):
        raise InputError(f"{where} must be text, not {shown(value)}")
    if printable(value) != value:
        raise InputError(f"{where} must be text that UTF-8 can hold, not {shown(value)}")


def printable(text: str) -> str:
    """The text with half surrogate pairs, which no file or terminal takes, written out as `\\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_number(value: Any) -> bool:
    """Whether it is a finite number that floating point holds."""
    # Not math.isfinite: it fails for whole numbers beyond those of floating point.
    return not isinstance(value, bool) and isinstance(value, (int, float)) and abs(value) <= sys.float_info.max


def shown(value: Any) -> str:
    """A value in one short line, however large it is."""
    text = repr(value[:60]) if isinstance(value, str) else _SHORT.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def several(value: Any) -> tuple:
    """The values of an iterable, or the one value that is given in its place. Text and paths are one value."""
    is_one = isinstance(value, (str, bytes, os.PathLike)) or not isinstance(value, Iterable) or _is_scalar(value)
    return (value,) if is_one else tuple(value)


def plain(value: Any) -> Any:
    """The value with Python's own numbers in place of numpy's, in objects and lists too; arrays become lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    return value.tolist() if hasattr(value, "tolist") else value


def number(what: str, value: Any, expected: str = "a number", low: float = -math.inf, high: float = math.inf):
    """The value as Python's int or float.

    Raises `InputError` for NaN, a bool, what is no number, and a number that is not from `low` to `high`; it says that
    `what` must be `expected`.
    """
    found = value.item() if _is_scalar(value) else value
    if isinstance(found, bool) or not isinstance(found, numbers.Real):
        found = math.nan
    elif not isinstance(found, (int, float)):
        found = int(found) if isinstance(found, numbers.Integral) else float(found)
    if not low <= found <= high:
        raise InputError(f"{what} must be {expected}, not {shown(value)}")
    return found


def whole(what: str, value: Any, expected: str = "a whole number", low: float = -math.inf, high: float = math.inf):
    """The value as Python's int. Raises `InputError` as `number` does, and for a float."""
    found = number(what, value, expected, low, high)
    if not isinstance(found, int):
        raise InputError(f"{what} must be {expected}, not {shown(value)}")
    return found


def switch(what: str, value: Any) -> bool:
    """The value as Python's bool. Raises `InputError` for anything but a bool, Python's or numpy's."""
    found = value.item() if _is_scalar(value) else value
    if not isinstance(found, bool):
        raise InputError(f"{what} must be True or False, not {shown(value)}")
    return found


def text(what: str, value: Any) -> str:
    """The value as text. Raises `InputError` for what is no text, text of white space, and half surrogate pairs."""
    check_text(what, value)
    if not value.strip():
        raise InputError(f"{what} must be text, not {shown(value)}")
    return str(value)


def _is_scalar(value: Any) -> bool:
    """Whether it is one of numpy's numbers, or an array or tensor of one number and no dimension."""
    return getattr(value, "ndim", None) == 0 and hasattr(value, "item")


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
    known = list(signature(of).parameters)
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
