"""Arguments of the Python interface: numpy's numbers, and one value in place of several, are taken everywhere."""

import math
import numbers
import os
from collections.abc import Iterable, Mapping
from typing import Any

from focuslab.errors import InputError
from focuslab.fields import check_text, shown


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
