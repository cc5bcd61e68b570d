"""The work as a list: every caption at every length by every method with every seed, each item for itself."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from focuslab.io.captions import Caption
from focuslab.runs import RunInfo

DENSE = "dense"
"""The label of the method that others are compared with."""


@dataclass(frozen=True)
class Group:
    """The items of one caption, length and seed: one noise, by all methods. `number` is its place among all groups."""

    number: int
    prompt: int
    seconds: float
    seed: int


@dataclass(frozen=True)
class Work:
    """All items in order: by length, seed and caption, and within a group by method, dense first.

    An item has a number and is never held: what is known of it are entries of arrays at its number.
    """

    captions: tuple[Caption, ...]
    seconds: tuple[float, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def groups(self) -> "Groups":
        return Groups(self)

    @property
    def total(self) -> int:
        return len(self.groups) * len(self.methods)

    @property
    def in_group(self) -> tuple[str, ...]:
        """The methods in the order in which a group is done."""
        return tuple(sorted(self.methods, key=lambda label: label != DENSE))

    def number(self, group: Group, method: str) -> int:
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

    def numbers(self, seconds: float, method: str) -> np.ndarray:
        """The items of one length and method, `[seeds * captions]`, by seed and caption."""
        cell = len(self.seeds) * len(self.captions)
        first = self.seconds.index(seconds) * cell
        return (first + np.arange(cell)) * len(self.methods) + self.methods.index(method)


@dataclass(frozen=True)
class Groups(Sequence):
    """The groups of the work, made when they are asked for."""

    work: Work

    def __len__(self) -> int:
        return len(self.work.seconds) * len(self.work.seeds) * len(self.work.captions)

    def __getitem__(self, place):
        if isinstance(place, slice):
            return [self._group(number) for number in range(*place.indices(len(self)))]
        return self._group(range(len(self))[place])

    def __iter__(self) -> Iterator[Group]:
        return map(self._group, range(len(self)))

    def _group(self, number: int) -> Group:
        block, prompt = divmod(number, len(self.work.captions))
        length, seed = divmod(block, len(self.work.seeds))
        return Group(number, prompt, self.work.seconds[length], self.work.seeds[seed])


def noise_seeds(captions: Sequence[Caption], seed: int) -> list[int]:
    """The seed of the first noise for each caption: its own, the same for every method and length.

    It depends on the text, and for a text that is there several times on which of them it is. So a caption sounds the
    same wherever it stands in the file, and whatever else is in it.
    """
    before = Counter()
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
