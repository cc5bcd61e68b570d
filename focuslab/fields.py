"""Checks of the fields of a file that someone else may have written; each error names the field."""

import reprlib
import sys
from collections.abc import Sequence
from typing import Any

from focuslab.errors import InputError

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxother = 4, 60
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 30


def check_fields(content: Any, where: str, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """`content` if it is an object with all the `required` fields and none but those and the `optional` ones."""
    if not isinstance(content, dict):
        raise InputError(f"{where} must be an object, not {shown(content)}")
    for name in required:
        if name not in content:
            raise InputError(f"{where} lacks the field {name!r}")
    for name in content:
        if name not in required and name not in optional:
            raise InputError(f"{where} can have no field {shown(name)}, only {', '.join((*required, *optional))}")
    return content


def check_text(where: str, value: Any) -> None:
    if not isinstance(value, str):
        raise InputError(f"{where} must be text, not {shown(value)}")
    if printable(value) != value:
        raise InputError(f"{where} must be text that UTF-8 can hold, not {shown(value)}")


def printable(text: str) -> str:
    """The text with half surrogate pairs, which no file or terminal takes, written out as `\\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode()


def check_whole(where: str, value: Any, least: int) -> None:
    # Above 2**53 it could not be reckoned with in floating point.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 2**53:
        raise InputError(f"{where} must be a whole number of at least {least}, not {shown(value)}")


def is_number(value: Any) -> bool:
    """Whether it is a finite number that floating point holds."""
    # Not math.isfinite: it fails for whole numbers beyond those of floating point.
    return not isinstance(value, bool) and isinstance(value, (int, float)) and abs(value) <= sys.float_info.max


def shown(value: Any) -> str:
    """A value in one short line, however large it is."""
    text = repr(value[:60]) if isinstance(value, str) else _SHORT.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
