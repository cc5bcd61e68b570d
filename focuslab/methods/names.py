"""The names of methods in text: `litefocus`, `litefocus:cross_fraction=0.2:cross_weight=unbiased`, `plan:plan.json`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from focuslab.arguments import several
from focuslab.errors import InputError, did_you_mean
from focuslab.fields import check_text
from focuslab.methods.base import Attachable, Method
from focuslab.methods.length_scale import LengthScale
from focuslab.methods.litefocus import LiteFocus
from focuslab.methods.pooled import PooledFocus
from focuslab.methods.references import Bound, Dense, Naive
from focuslab.methods.tome import TokenMerging
from focuslab.records import Plan

METHODS: dict[str, tuple[type[Method], dict]] = {
    "dense": (Dense, {}),
    "naive": (Naive, {}),
    "litefocus": (LiteFocus, {}),
    "same-frequency": (LiteFocus, {"cross_fraction": 0}),
    "cross-frequency": (LiteFocus, {"same_frequency": False}),
    "pooled": (PooledFocus, {}),
    "tome": (TokenMerging, {}),
    "length-scale": (LengthScale, {}),
    "bound": (Bound, {}),
}
"""Name -> the method's class and the parameters that the name stands for."""


def parse_method(label: str) -> Attachable:
    """A method from `name` or `name:parameter=value:parameter=value`, several sites joined by "+", or from `plan:FILE`.

    Raises `InputError` for an unknown name or parameter, or a value that the method refuses.
    """
    check_text("the name of a method", label)
    label = label.strip()
    name, *parameters = label.split(":")
    if name == "plan":
        return _planned(label.removeprefix("plan").removeprefix(":"))
    if name not in METHODS:
        known = ", ".join([*METHODS, "plan:FILE"])
        raise InputError(f"there is no method {name!r}, only {known}{did_you_mean(name, METHODS)}")
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


def site_method(site: str, given: Mapping[str, Any]) -> Method:
    """The method of one site from {"method": name, parameter: value, ...}, as a plan has it.

    Raises `InputError` for an unknown name or parameter, or a value that the method refuses.
    """
    name = given["method"]
    possible = [other for other, (method, _) in METHODS.items() if method not in (Dense, Bound)]
    if name not in possible:
        why = ": a site that stays dense is left out" if name == "dense" else did_you_mean(name, possible)
        raise InputError(f"there is no method {name!r} for a site, only {', '.join(possible)}{why}")
    method, preset = METHODS[name]
    known = [f.name for f in fields(method) if f.name not in preset and f.name != "sites"]
    parameters = {key: value for key, value in given.items() if key != "method"}
    for key in parameters:
        if key not in known:
            expected = ", ".join(known) or "none"
            raise InputError(f"{name} has no parameter {key!r}, only {expected}{did_you_mean(key, known)}")
    return method(**preset, **parameters, sites=site)


def _planned(file: str) -> Attachable:
    # It makes its methods with `site_method`.
    from focuslab.methods.planned import Planned

    if not file:
        raise InputError("a plan is named by its file: write plan:FILE, such as plan:plan.json")
    plan = Plan.load(file)
    try:
        return Planned(plan)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def parse_methods(texts: Iterable[str] | str) -> dict[str, Attachable]:
    """Label -> method, in the order given. Raises `InputError` for none, or for one named twice."""
    methods: dict[str, Attachable] = {}
    for given in several(texts):
        check_text("the name of a method", given)
        label = given.strip()
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
