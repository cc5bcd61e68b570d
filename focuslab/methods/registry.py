"""The names of methods in text: `litefocus`, `litefocus:cross_fraction=0.2:cross_weight=unbiased`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from focuslab.errors import InputError, did_you_mean
from focuslab.methods.base import Method
from focuslab.methods.litefocus import LiteFocus
from focuslab.methods.log_n_scaling import LengthScale
from focuslab.methods.pooling import PooledFocus
from focuslab.methods.references import Bound, Dense, Naive
from focuslab.methods.token_merging import TokenMerging

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
