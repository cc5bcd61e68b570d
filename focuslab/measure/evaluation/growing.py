"""How an evaluation grows: by more captions of the same list, lengths, methods and seeds."""

import operator
from dataclasses import replace
from typing import Any

from focuslab.runs import RunInfo


def agree(found: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether clips that both parameters ask for are the same, whichever they are."""
    may_differ = {
        "seconds": lambda *_: True,
        "seeds": lambda *_: True,
        "methods": _methods_agree,
        "reference": _same_recordings,
    }
    return found.keys() == asked.keys() and all(
        may_differ.get(key, operator.eq)(value, asked[key]) for key, value in found.items()
    )


def _methods_agree(found: dict[str, str], asked: dict[str, str]) -> bool:
    return all(found[label] == asked[label] for label in found.keys() & asked.keys())


def _same_recordings(found: dict[str, Any] | None, asked: dict[str, Any] | None) -> bool:
    if found is None or asked is None:
        return found == asked
    # What is left out of the directory makes no number.
    rest = [{**recordings, "paired": None, "unreadable": None} for recordings in (found, asked)]
    return rest[0] == rest[1] and one_begins_the_other(found.get("paired") or [], asked["paired"])


def one_begins_the_other(one: list, other: list) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def joined(found: RunInfo, asked: RunInfo) -> RunInfo:
    """How a run of all that both ask for is made."""
    old, new = found.parameters, asked.parameters
    more: dict[str, Any] = {name: _both(old[name], new[name]) for name in ("seconds", "seeds")}
    methods = {**old["methods"], **new["methods"]}
    more["methods"] = {label: methods[label] for label in _both(list(old["methods"]), list(new["methods"]))}
    # They name a recording, or none, for each caption.
    larger = max((found, asked), key=lambda info: len(info.prompts))
    more["reference"] = larger.parameters["reference"]
    return replace(found, prompts=larger.prompts, parameters={**old, **more})


def _both(found: list, asked: list) -> list:
    """All of both, in the order of the one that holds the other."""
    first, then = (asked, found) if set(found) < set(asked) else (found, asked)
    return [*first, *(value for value in then if value not in first)]
