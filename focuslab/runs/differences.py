"""In what two runs differ, in words."""

import json
from collections.abc import Sequence
from typing import Any

LONGEST = 48
"""Characters of a value that is shown."""
MOST = 3
"""Differences that are shown."""
_OF_COMPONENTS = {"weights": "weights", "settings": "settings", "dtypes": "dtype", "adapters": "adapters"}
"""Parts of a model that hold something of each component."""
_DIGESTS = ("weights", "settings", "noise_levels", "layers", "content")
"""What is too long a number to say anything when shown."""


def differences(found: Any, asked: Any, *path: str) -> list[str]:
    """Where two parts of an identity differ.

    Parameters
    ----------
    found, asked : Any
        Of the run that is there and of the one that is asked for, in JSON's types.
    *path : str
        Where in an identity they are.

    Returns
    -------
    list of str
        For instance "seed: 0 there, 1 here" and "weights of unet"; values only where they are short.
    """
    if found == asked:
        return []
    if path[-1:] == ("scheduler",) and _class(found) != _class(asked):
        # Every other field would differ as well.
        found, asked = _class(found), _class(asked)
    if isinstance(found, dict) and isinstance(asked, dict):
        keys = sorted(found.keys() | asked.keys())
        return [line for key in keys for line in differences(found.get(key), asked.get(key), *path, key)]
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in (found, asked)]
    if not set(_DIGESTS).isdisjoint(path) or max(map(len, texts)) > LONGEST:
        return [_place(path)]
    there, here = ("none" if text == "null" else text for text in texts)
    return [f"{_place(path)}: {there} there, {here} here"]


def first_few(lines: Sequence[str]) -> str:
    """The first few differences in one line, and how many more there are."""
    more = len(lines) - MOST
    return "; ".join(lines[:MOST]) + (f"; and {more} more" if more > 0 else "")


def _class(scheduler: Any) -> Any:
    return scheduler.get("class") if isinstance(scheduler, dict) else None


def _place(path: tuple[str, ...]) -> str:
    if path[0] != "model" or len(path) == 1:
        return ".".join(path)
    what, *rest = path[1:]
    if what in _OF_COMPONENTS and rest:
        return ".".join([f"{_OF_COMPONENTS[what]} of {rest[0]}", *rest[1:]])
    return ".".join([what.replace("_", " "), *rest])
