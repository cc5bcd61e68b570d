"""The names of methods in text: `litefocus`, `litefocus:cross_fraction=0.2:cross_weight=unbiased`."""

import difflib
import json
from collections.abc import Iterable
from dataclasses import fields

from focuslab.errors import InputError
from focuslab.methods.base import Method
from focuslab.methods.litefocus import LiteFocus
from focuslab.methods.references import Bound, Dense, Naive
from focuslab.methods.tome import TokenMerging

METHODS: dict[str, tuple[type[Method], dict]] = {
    "dense": (Dense, {}),
    "naive": (Naive, {}),
    "litefocus": (LiteFocus, {}),
    "same-frequency": (LiteFocus, {"cross_fraction": 0}),
    "cross-frequency": (LiteFocus, {"same_frequency": False}),
    "tome": (TokenMerging, {}),
    "bound": (Bound, {}),
}
"""Name -> the method's class and the parameters that the name stands for."""


def parse_method(text: str) -> Method:
    """A method from `name` or `name:parameter=value:parameter=value`; several sites are joined by "+".

    Raises `InputError` for an unknown name or parameter, or a value that the method refuses.
    """
    name, *parameters = text.strip().split(":")
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"there is no method {name!r}, only {', '.join(METHODS)}{hint}")
    method, preset = METHODS[name]
    known = [f.name for f in fields(method) if f.name not in preset]
    given = {}
    for parameter in parameters:
        key, equals, value = parameter.partition("=")
        if key not in known or not equals:
            expected = ", ".join(known) if method is not Dense else "none"
            raise InputError(
                f"{name} has no parameter {parameter!r}: write {name}:parameter=value with one of {expected}"
            )
        if key in given:
            raise InputError(f"{name} was given {key} twice")
        given[key] = tuple(value.split("+")) if key == "sites" else _literal(value)
    return method(**preset, **given)


def parse_methods(texts: Iterable[str]) -> dict[str, Method]:
    """Label -> method, in the order given. Raises `InputError` for none, or for one named twice."""
    methods: dict[str, Method] = {}
    for text in texts:
        label = text.strip()
        if label in methods:
            raise InputError(f"the method {label!r} was named twice")
        methods[label] = parse_method(label)
    if not methods:
        raise InputError(f"no method was named: expected some of {', '.join(METHODS)}")
    return methods


def _literal(value: str):
    try:
        return json.loads(value.lower() if value in ("True", "False") else value)
    except ValueError:
        return value
