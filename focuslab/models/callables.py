"""Functions as part of what a run is: those that somebody put in the place of a library's own, or gave as an option."""

import functools
import hashlib
import inspect
from types import CellType, CodeType
from typing import Any

import torch
from torch import Tensor, nn

from focuslab.models.fingerprint import fingerprint

_LIBRARIES = ("accelerate", "builtins", "diffusers", "focuslab", "peft", "torch", "transformers")
"""Packages whose hooks move weights and watch calls; what they change of the result is recorded elsewhere."""
_DEPTH = 4


def is_foreign(function: Any) -> bool:
    """Whether a function is neither of a library nor of focuslab."""
    module = getattr(_innermost(function), "__globals__", {}).get("__name__")
    module = module or getattr(type(function), "__module__", "") or ""
    return module.split(".")[0] not in _LIBRARIES


def what_it_does(function: Any) -> str:
    """The name of a function, and a digest of its code and of all values that it holds on to.

    Functions of equal code and values have the same text. Values are those of its closure, its defaults, the global
    numbers that it names, and the object that it is a method of.
    """
    name = getattr(_innermost(function), "__qualname__", type(function).__qualname__)
    return f"{name} {hashlib.blake2b(repr(_facts(function, _DEPTH)).encode(), digest_size=8).hexdigest()}"


def as_recorded(method: Any) -> str:
    """A method as a run records it: its `repr`, and for a class that is not focuslab's own what else it holds."""
    return f"{method!r} ({what_it_does(method)})" if is_foreign(method) else repr(method)


def _innermost(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__func__", function)


def _facts(value: Any, depth: int) -> Any:
    if isinstance(value, nn.Module):
        return type(value).__qualname__, fingerprint(value)
    if isinstance(value, Tensor):
        holder = nn.Module()
        holder.register_buffer("value", value.detach())
        return fingerprint(holder)
    if isinstance(value, torch.dtype | torch.device | str | bytes | int | float | complex | None):
        return repr(value)
    if depth == 0:
        return type(value).__qualname__
    if isinstance(value, functools.partial):
        return [_facts(part, depth - 1) for part in (value.func, list(value.args), value.keywords)]
    if inspect.ismethod(value):
        return _facts(value.__func__, depth - 1), _facts(value.__self__, depth - 1)
    if inspect.isfunction(value):
        named = {name: value.__globals__.get(name) for name in value.__code__.co_names}
        numbers = {name: x for name, x in named.items() if isinstance(x, (int, float, str, tuple))}
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        parts = [cells, numbers, value.__defaults__, value.__kwdefaults__]
        return _code(value.__code__), [_facts(part, depth - 1) for part in parts]
    if isinstance(value, dict):
        return [(repr(key), _facts(item, depth - 1)) for key, item in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value).__name__, [_facts(item, depth - 1) for item in value]
    kinds = [kind for kind in type(value).__mro__ if kind.__module__.split(".")[0] not in _LIBRARIES]
    functions = {name: x for kind in reversed(kinds) for name, x in vars(kind).items() if inspect.isfunction(x)}
    own = [(name, _code(function.__code__)) for name, function in sorted(functions.items())]
    return type(value).__qualname__, own, _facts(getattr(value, "__dict__", {}), depth - 1)


def _code(code: CodeType) -> Any:
    constants = [_code(constant) if isinstance(constant, CodeType) else repr(constant) for constant in code.co_consts]
    return code.co_code.hex(), constants, code.co_names
