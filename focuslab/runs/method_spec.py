"""What names a method in text, `litefocus:cross_fraction=0.2:sites=up_blocks.2`, as a value. Needs no torch."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

PLAN = "plan:"
"""What stands before the path of a plan where methods are named."""
BOUND = "bound:"
"""What stands before the label of a plan or composition in the label of its bound."""
PAPER_FRACTION = 0.1
"""The paper's r: what LiteFocus samples where nothing else is asked for."""
UNBIASED = "unbiased"
"""The weight with which sampled keys stand for all the others: 1/r."""
_FRACTIONS = {"litefocus": PAPER_FRACTION, "same-frequency": 0.0, "cross-frequency": PAPER_FRACTION}
"""Names of LiteFocus -> the share of keys that they sample unless a parameter says otherwise."""
_NAMED = re.compile(r"[a-z][\w-]*(:.*)?", re.DOTALL)
"""A name with parameters."""
_SYMBOLS = {"cross_fraction": "r", "cross_weight": "w"}


@dataclass(frozen=True, eq=False)
class MethodSpec:
    """A method by name and parameters: the key of records, plans and choices, with neither torch nor the method.

    Whether the method exists and takes the parameters is for `focuslab.methods`. Two specs are equal where their text
    is, in whatever order their parameters were given.
    """

    name: str  # as on the command line; of a plan the whole `plan:FILE`, of a composition its whole label
    parameters: Mapping[str, Any] = field(default_factory=dict)  # without the sites
    sites: tuple[str, ...] | None = None  # names, blocks or shell patterns; None where the method says where it is

    @classmethod
    def parse(cls, label: str) -> "MethodSpec":
        """The method that a label names. Text that is no JSON stays text."""
        parts = split_label(label)
        label = "+".join(parts)
        bound_of_label = label.startswith(BOUND) and not label.startswith(f"{BOUND}sites=")
        if label.startswith(PLAN) or bound_of_label or len(parts) > 1:
            return cls(label)
        name, *rest = label.split(":")
        given = {key: value for key, _, value in (parameter.partition("=") for parameter in rest)}
        sites = given.pop("sites", None)
        return cls(
            name,
            {key: _value(text) for key, text in given.items()},
            tuple(sites.split("+")) if sites is not None else None,
        )

    @classmethod
    def of_site(cls, given: Mapping[str, Any]) -> "MethodSpec":
        """The method of one site of a plan: {"method": name, parameter: value, ...}."""
        return cls(given["method"], {key: value for key, value in given.items() if key != "method"})

    def to_site(self) -> dict[str, Any]:
        """As a plan has it for one site."""
        return {"method": self.name, **self.parameters}

    def at(self, sites: Iterable[str]) -> "MethodSpec":
        """The same method at these sites."""
        return replace(self, sites=tuple(sites))

    def without_sites(self) -> "MethodSpec":
        """The same method at no sites in particular."""
        return replace(self, sites=None)

    @property
    def is_plan(self) -> bool:
        return self.name.startswith(PLAN)

    @property
    def cross_fraction(self) -> float | None:
        """The share of all keys that LiteFocus samples; None for other methods."""
        default = _FRACTIONS.get(self.name)
        return None if default is None else self.parameters.get("cross_fraction", default)

    @property
    def brief(self) -> str:
        """As short as tables and figures have room for: "litefocus r=0.02 w=1/r"; of a plan file, "plan mine"."""
        if self.name.startswith(BOUND):
            return f"bound of {brief(self.name.removeprefix(BOUND))}"
        parts = split_label(self.name)
        if len(parts) > 1:
            return " + ".join(map(brief, parts))
        if self.is_plan:
            stem = PurePath(self.name.removeprefix(PLAN)).stem
            return stem if stem == "plan" else f"plan {stem}"
        short = {key: "1/r" if value == UNBIASED else _text(value) for key, value in self.parameters.items()}
        short |= {"sites": "+".join(self.sites)} if self.sites else {}
        return " ".join([self.name, *(f"{_SYMBOLS.get(key, key)}={text}" for key, text in short.items())])

    @cached_property
    def _label(self) -> str:
        parameters = (f"{key}={_text(self.parameters[key])}" for key in sorted(self.parameters))
        return ":".join([self.name, *parameters, *(["sites=" + "+".join(self.sites)] if self.sites else [])])

    def __str__(self) -> str:
        """The canonical label: parameters in alphabetical order, then the sites."""
        return self._label

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MethodSpec) and self._label == other._label

    def __lt__(self, other: "MethodSpec") -> bool:
        return self._label < other._label

    def __hash__(self) -> int:
        return hash(self._label)


DENSE = MethodSpec("dense")
PAPER = MethodSpec("litefocus")
"""The paper's fixed choice: r = 0.1, every key with the weight of one, at its own blocks."""


def split_label(label: str) -> list[str]:
    """The labels of the methods that "+" joins in a label.

    Within `sites=` it joins sites, a plan's file may hold any, and what is no list of names is one label as it is.
    """
    parts: list[str] = []
    for piece in label.strip().split("+"):
        in_sites = parts and parts[-1].rpartition(":")[2].startswith("sites=")
        if parts and (in_sites or parts[-1].startswith(PLAN)):
            parts[-1] += f"+{piece}"
        else:
            parts.append(piece.strip())
    return parts if all(map(_NAMED.fullmatch, parts)) else [label.strip()]


def brief(label: str) -> str:
    """The short name of a label, for tables and figures."""
    return MethodSpec.parse(label).brief


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text
