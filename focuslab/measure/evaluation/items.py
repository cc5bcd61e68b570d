"""The work as a list, each item for itself, and how the work of an evaluation grows."""

import hashlib
import itertools
import json
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from focuslab.io.captions import Caption
from focuslab.runs import RunInfo

DENSE = "dense"
"""The label of the method that others are compared with."""


@dataclass(frozen=True)
class NoiseGroup:
    """The items of one caption, length and seed, which all methods make from one noise. number: its place."""

    number: int
    prompt: int
    seconds: float
    seed: int


@dataclass(frozen=True)
class Work:
    """All items in order: by length, seed and caption, and within a group by method, dense first.

    Its place in this order is the number of an item.
    """

    captions: tuple[Caption, ...]
    seconds: tuple[float, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]

    @cached_property
    def groups(self) -> tuple[NoiseGroup, ...]:
        """By length, seed and caption."""
        places = itertools.product(self.seconds, self.seeds, range(len(self.captions)))
        return tuple(NoiseGroup(number, prompt, s, seed) for number, (s, seed, prompt) in enumerate(places))

    @property
    def total(self) -> int:
        return len(self.groups) * len(self.methods)

    @property
    def in_group(self) -> tuple[str, ...]:
        """The methods in the order in which a group is done."""
        return tuple(sorted(self.methods, key=lambda label: label != DENSE))

    def number(self, group: NoiseGroup, method: str) -> int:
        return group.number * len(self.methods) + self.methods.index(method)

    @classmethod
    def of(cls, info: RunInfo) -> "Work":
        """The work that a run describes; its captions name no recordings."""
        of = info.parameters
        return cls(tuple(map(Caption, info.prompts)), tuple(of["seconds"]), tuple(of["methods"]), tuple(of["seeds"]))

    def number_of(self, record: dict[str, Any]) -> int:
        """The item that a record is of; it must be of this work."""
        at = self.seconds.index(record["seconds"])
        block = at * len(self.seeds) + self.seeds.index(record["seed"])
        group = block * len(self.captions) + record["prompt"]
        return group * len(self.methods) + self.methods.index(record["method"])

    def holds(self, record: dict[str, Any], noise: Mapping[int, Sequence[int]]) -> bool:
        """Whether a record is of an item of this work. noise: seed -> `noise_seeds` of the captions."""
        return (
            record["seconds"] in self.seconds
            and record["method"] in self.methods
            and record["prompt"] < len(self.captions)
            # It is made of the caption's text.
            and record["noise_seed"] in noise.get(record["seed"], ())[record["prompt"] :][:1]
        )


def noise_seeds(captions: Sequence[Caption], seed: int) -> list[int]:
    """The seed of the first noise for each caption: its own, the same for every method and length.

    It depends on the text, and for a text that is there several times on which of them it is. So a caption sounds the
    same wherever it stands in the file, and whatever else is in it.
    """
    before: Counter[str] = Counter()
    seeds = []
    for caption in captions:
        content = json.dumps([seed, caption.text, before[caption.text]]).encode()
        seeds.append(int.from_bytes(hashlib.blake2b(content, digest_size=6).digest(), "big"))
        before[caption.text] += 1
    return seeds


def sitting_of(methods: Mapping[str, str]) -> str:
    """A name for the methods of one call, which are timed one after the other; by their content, not by their labels.

    Only times of one sitting are divided by each other: a machine is not equally fast every day.
    """
    return hashlib.blake2b(json.dumps(sorted(methods.values())).encode(), digest_size=4).hexdigest()


def agree(found: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether clips that both parameters ask for are the same, whichever they are."""
    may_differ = {"methods": _methods_agree, "reference": _same_recordings}
    may_differ |= dict.fromkeys(("seconds", "seeds"), lambda *_: True)
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
