"""Methods by their names: `litefocus`, `same-frequency`."""

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

from focuslab.errors import InputError, did_you_mean
from focuslab.methods.base import Method
from focuslab.methods.catalogue import catalogue


def method_class(name: str) -> type[Method]:
    """The class behind a name of the catalogue."""
    entry = catalogue()[name]
    return getattr(import_module(f"focuslab.methods.{entry.module}"), entry.method)


def parameters_of(name: str) -> list[str]:
    """The parameters that may follow a name."""
    return [field.name for field in fields(method_class(name)) if field.name not in catalogue()[name].parameters]


def make(name: str, parameters: Mapping[str, Any]) -> Method:
    """The method of a name with these parameters. Raises `InputError` for a value that the method refuses."""
    return method_class(name)(**catalogue()[name].parameters, **parameters)


def site_method(site: str, given: Mapping[str, Any]) -> Method:
    """The method of one site from {"method": name, parameter: value, ...}, as a plan has it.

    Raises `InputError` for an unknown name or parameter, or a value that the method refuses.
    """
    name = given["method"]
    possible = [other for other in catalogue() if method_class(other).for_sites]
    if name not in possible:
        why = ": a site that stays dense is left out" if name == "dense" else did_you_mean(name, possible)
        raise InputError(f"there is no method {name!r} for a site, only {', '.join(possible)}{why}")
    known = [parameter for parameter in parameters_of(name) if parameter != "sites"]
    parameters = {key: value for key, value in given.items() if key != "method"}
    for key in parameters:
        if key not in known:
            expected = ", ".join(known) or "none"
            raise InputError(f"{name} has no parameter {key!r}, only {expected}{did_you_mean(key, known)}")
    return make(name, {**parameters, "sites": site})
