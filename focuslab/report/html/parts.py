"""The parts of a page. All text is plain text; the template escapes it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from focuslab.tables.table import Table

MOST_ROWS = 300
"""A table on the page has at most this many rows."""


@dataclass
class Figure:
    """A picture as a data URI, and in words (`alt`). `wide`: a phone scrolls it sideways."""

    title: str
    image: str
    alt: str
    caption: str
    wide: bool = False


@dataclass
class Made:
    """How numbers were made: (what, value) in the order to be read."""

    title: str
    facts: list[tuple[str, str]]


class Clip(NamedTuple):
    """A clip: what made it, as a data URI, as a picture, and what is known of it."""

    method: str
    audio: str
    picture: Figure | None
    facts: list[tuple[str, str]]
    made: Made


@dataclass
class Comparison:
    """Clips of the same prompt, length and seed, dense first."""

    prompt: str
    said: str
    clips: list[Clip]


@dataclass
class Group:
    """The answer of some runs of one model to the question of a section.

    `missed` are the predictions that a validation missed, `more` tables that are shown at a click, and `made` says how
    the runs were made.
    """

    title: str
    lead: str = ""
    missed: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    more: list[Table] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)


@dataclass
class Section:
    """`gaps`: what belongs here and was not measured or could not be shown."""

    name: str
    title: str
    lead: str = ""
    side_by_side: Table | None = None
    groups: list[Group] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
