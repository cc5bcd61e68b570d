"""The methods, one frozen dataclass a file, and their names on the command line.

Importing this module imports no torch: each public name is loaded when it is first used.
"""

from importlib import import_module

from focuslab.methods.catalogue import catalogue

_HOME = {entry.method: entry.module for entry in catalogue().values()}
_HOME |= {"Attachable": "base", "Composition": "composition", "Method": "base", "Plan": "plan"}
_HOME |= dict.fromkeys(("AnyMethod", "as_method", "as_methods", "parse_method", "parse_methods"), "parsing")

__all__ = list(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"focuslab.methods.{_HOME[name]}"), name)
    raise AttributeError(f"module 'focuslab.methods' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
