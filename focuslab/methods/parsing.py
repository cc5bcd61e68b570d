"""Methods and plans from what a user gives for them."""

import json
import os
from collections.abc import Iterable, Mapping

from focuslab.checks import check_text, several, shown, text
from focuslab.errors import InputError, did_you_mean
from focuslab.methods.base import Attachable, make, method_class, parameters_of
from focuslab.methods.catalogue import catalogue
from focuslab.methods.composition import Composition
from focuslab.methods.plan import Plan
from focuslab.runs.method_spec import split_label
from focuslab.runs.plan import PlanSpec

AnyMethod = Attachable | PlanSpec | str | os.PathLike[str]
"""What a method can be given as."""


def as_method(given: AnyMethod) -> Attachable:
    """A method from whatever may be given for one.

    Parameters
    ----------
    given : method, plan, str or path
        A method or plan itself, the name of a method with parameters, or the path of a plan.

    Returns
    -------
    Attachable

    Raises
    ------
    InputError
        It is none of these, or as `parse_method` and `Plan.load` do.
    """
    if isinstance(given, str):
        return parse_method(given)
    if isinstance(given, os.PathLike):
        return Plan.load(os.fspath(given))
    if isinstance(given, PlanSpec) and not isinstance(given, Plan):
        return Plan.of(given)
    if not isinstance(given, Attachable):
        raise InputError(f"expected a method such as LiteFocus(), the name of one, or a plan, not {shown(given)}")
    return given


def as_methods(given: Iterable[str] | str | Mapping[str, AnyMethod]) -> dict[str, Attachable]:
    """Methods by label, from whatever may be given for several.

    Parameters
    ----------
    given : str, iterable of str, or mapping
        One or several names with parameters, or label -> what `as_method` takes.

    Returns
    -------
    dict
        Methods by label, as they were given.

    Raises
    ------
    InputError
        As `as_method` and `parse_methods` do, for a label that is no text, and for an empty mapping.
    """
    if not isinstance(given, Mapping) or not given:
        if isinstance(given, (Attachable, PlanSpec)):
            raise InputError(f"methods need labels: give a mapping such as {{'mine': {shown(given)}}}")
        return parse_methods(given)
    methods = {text("the label of a method", label): as_method(method) for label, method in given.items()}
    for label, method in methods.items():
        if not label.isprintable():
            raise InputError(f"the label of a method must be of one line, not {shown(label)}")
        # Others would be compared with it, or be drawn, as what it is not.
        if label in catalogue() and not isinstance(method, method_class(label)):
            raise InputError(
                f"{label!r} is the name of {catalogue()[label].method}: give {shown(method)} another label"
            )
    return methods


def parse_method(label: str) -> Attachable:
    """A method from its name with parameters.

    Parameters
    ----------
    label : str
        `name` or `name:parameter=value:parameter=value`, several sites joined by "+", or `plan:FILE`; several of these
        joined by "+" are a `Composition`. A "+" within `sites=` joins sites, and a plan stands last.

    Returns
    -------
    Attachable

    Raises
    ------
    InputError
        For an unknown name or parameter, or a value that the method refuses.
    """
    check_text("the name of a method", label)
    parts = split_label(label)
    return _parse_one(label.strip()) if len(parts) == 1 else Composition(tuple(map(_parse_one, parts)))


def _parse_one(label: str) -> Attachable:
    name, *parameters = label.split(":")
    if name == "plan":
        file = label.removeprefix("plan").removeprefix(":")
        if not file:
            raise InputError("a plan is named by its file: write plan:FILE, such as plan:plan.json")
        return Plan.load(file)
    if name not in catalogue():
        names = ", ".join([*catalogue(), "plan:FILE"])
        raise InputError(f"there is no method {name!r}, only {names}{did_you_mean(name, catalogue())}")
    known = parameters_of(name)
    given = {}
    for parameter in parameters:
        key, equals, value = parameter.partition("=")
        if key not in known or not equals:
            expected = ", ".join(known) if name != "dense" else "none"
            raise InputError(
                f"{name} has no parameter {parameter!r}: write {name}:parameter=value with one of {expected}"
            )
        if key in given:
            raise InputError(f"{name} was given {key} twice")
        given[key] = tuple(value.split("+")) if key == "sites" else _literal(value)
        for piece in given[key] if key == "sites" else ():
            if piece in catalogue():
                raise InputError(
                    f"after sites= a + joins sites, and {piece!r} is a method: name the sites of {name} before another "
                    f"parameter of it, or put {piece} first"
                )
    return make(name, given)


def parse_methods(texts: Iterable[str] | str) -> dict[str, Attachable]:
    """Methods from their names with parameters.

    Parameters
    ----------
    texts : str or iterable of str
        As `parse_method` takes them.

    Returns
    -------
    dict
        Label -> method, in the order given.

    Raises
    ------
    InputError
        As `parse_method` does, for none, and for one named twice.
    """
    methods: dict[str, Attachable] = {}
    for given in several(texts):
        check_text("the name of a method", given)
        label = given.strip()
        if label in methods:
            raise InputError(f"the method {label!r} was named twice")
        methods[label] = parse_method(label)
    if not methods:
        raise InputError(f"no method was named: expected some of {', '.join(catalogue())}")
    return methods


def _literal(value: str):
    try:
        return json.loads(value.lower() if value in ("True", "False") else value)
    except ValueError:
        return value
