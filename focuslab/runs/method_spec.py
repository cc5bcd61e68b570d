"""The text that names a method, `litefocus:cross_fraction=0.2:sites=up_blocks.2`, taken apart without the method."""

import json
from pathlib import PurePath
from typing import Any

PLAN = "plan:"
"""What stands before the path of a plan where methods are named."""


def split_label(label: str) -> tuple[str, dict[str, Any]]:
    """Name and parameters: ("litefocus", {"cross_fraction": 0.2}); several `sites` are a tuple.

    Text that is no JSON stays text. Whether the method exists and takes the parameters is for `focuslab.methods`.
    """
    name, *parameters = label.strip().split(":")
    pairs = (parameter.partition("=") for parameter in parameters)
    return name, {key: tuple(value.split("+")) if key == "sites" else _value(value) for key, _, value in pairs}


def join_label(name: str, parameters: dict[str, Any]) -> str:
    """The one text of a method without its sites: parameters in alphabetical order."""
    texts = _texts(parameters)
    return ":".join([name, *(f"{key}={texts[key]}" for key in sorted(texts) if key != "sites")])


def without_sites(label: str) -> str:
    """The label of the same method at no sites in particular; labels that differ in order alone come out equal."""
    return join_label(*split_label(label))


def brief(label: str) -> str:
    """The label as short as a picture has room for: "litefocus r=0.02 w=1/r"; of a plan file, "plan mine"."""
    if label.startswith(PLAN):
        stem = PurePath(label.removeprefix(PLAN)).stem
        return stem if stem == "plan" else f"plan {stem}"
    name, parameters = split_label(label)
    texts = _texts({key: "1/r" if value == "unbiased" else value for key, value in parameters.items()})
    return " ".join([name, *(f"{_SYMBOLS.get(key, key)}={text}" for key, text in texts.items())])


_SYMBOLS = {"cross_fraction": "r", "cross_weight": "w"}


def _texts(parameters: dict[str, Any]) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else "+".join(value) if isinstance(value, tuple) else json.dumps(value)
        for key, value in parameters.items()
    }


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text
