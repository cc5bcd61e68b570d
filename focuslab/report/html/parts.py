"""What a page is put together from. All text is plain text; markup is only what `Markup` says is."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from markupsafe import Markup

from focuslab.tables import text
from focuslab.tables.verdict import counted

MOST_ROWS = 300
"""Of a table on the page."""


class Cell(NamedTuple):
    """What is shown, and what is sorted by and copied: a number unrounded, or None where nothing was measured."""

    shown: str
    value: Any = None


NOTHING = Cell(text.NOTHING)


class Column(NamedTuple):
    """`unit` is that of the cells shown, `copied` that of their values where it differs."""

    head: str
    unit: str = ""
    copied: str = ""
    words: bool = False


@dataclass
class Table:
    """`caption` says in words what the rows are. `cut` rows were left out at the end."""

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)
    cut: int = 0

    def __post_init__(self):
        self.cut = max(0, len(self.rows) - MOST_ROWS)
        self.rows = self.rows[:MOST_ROWS]


@dataclass
class Figure:
    """`wide`: too much to be read on a phone without being moved sideways."""

    title: str
    svg: Markup
    caption: str
    wide: bool = False


class Clip(NamedTuple):
    """A clip: what made it, as a data URI, as a picture, and what is known of it."""

    method: str
    audio: Markup
    picture: Figure | None
    facts: list[tuple[str, str]]
    made: "Made"


@dataclass
class Comparison:
    """Clips of the same prompt, length and seed, dense first."""

    prompt: str
    said: str
    clips: list[Clip]


@dataclass
class Made:
    """How numbers were made: (what, value) in the order to be read."""

    title: str
    facts: list[tuple[str, str]]


@dataclass
class Section:
    """`gaps`: what belongs here and was not measured or could not be shown."""

    name: str
    title: str
    lead: str = ""
    side_by_side: Table | None = None
    groups: list["Group"] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)


@dataclass
class Group:
    """What runs of one model show of a section's question, and how those runs were made.

    missed: what a validation missed of its prediction. more, more_figures: what is shown at a click.
    """

    title: str
    lead: str = ""
    missed: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    more: list[Table] = field(default_factory=list)
    more_figures: list[Figure] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)

    @property
    def more_said(self) -> str:
        """What there is at a click, in words."""
        figures = [counted(len(self.more_figures), "more figure")] if self.more_figures else []
        return "; ".join([*figures, *(table.caption for table in self.more)])


def numbers(
    head: str,
    values: Sequence[float | None],
    units: Sequence[tuple[float, str]],
    copied: str,
) -> tuple[Column, list[Cell]]:
    """A column of amounts, shown in the unit that suits the smallest one."""
    shown, unit = text.formatter(units, values)
    return Column(head, unit, copied), [_cell(value, shown) for value in values]


def plain(head: str, values: Sequence[float | None], form: str, unit: str = "", factor: float = 1.0):
    """A column of numbers in one `form`, shown times `factor`."""
    cells = [_cell(value, lambda v: format(v if factor == 1.0 else factor * v, form)) for value in values]
    return Column(head, unit, "" if factor == 1.0 else "1"), cells


def words(head: str, values: Iterable[str | None]) -> tuple[Column, list[Cell]]:
    return Column(head, words=True), [NOTHING if value is None else Cell(value, value) for value in values]


def table(caption: str, columns: Iterable[tuple[Column, list[Cell]]], notes: Iterable[str] = ()) -> Table:
    """A table of columns; one in which nothing was measured is left out."""
    columns = [(column, cells) for column, cells in columns if any(cell.value is not None for cell in cells)]
    heads = [column for column, _ in columns]
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    return Table(caption, heads, rows, list(notes))


_INTERVAL = re.compile(r"^(?P<value>\S+) \((?P<low>\S+?)(?:\.\.| to )(?P<high>\S+?)\)(?P<rest>.*)$")


def from_text(source: text.Table) -> Table:
    """A table of the terminal as one of the page; "1.2 (1.1..1.3)" becomes a value and its interval."""
    columns, before = [], ""
    for column in source.columns:
        # A head of one line goes with the column before it.
        first, second = column.head
        before = first or before
        head, unit = _head(f"{first} {second}" if first else f"{before}, {second}")
        if column.left:
            columns.append(words(head, column.cells))
            continue
        found = [_INTERVAL.match(cell) for cell in column.cells]
        values = [m["value"] + m["rest"] if m else cell for m, cell in zip(found, column.cells, strict=True)]
        columns.append((Column(head, unit), [Cell(value, _number(value)) for value in values]))
        for end in ("low", "high") if any(found) else ():
            ends = [m[end] if m else text.NOTHING for m in found]
            columns.append((Column(f"{head}, {end}", unit), [Cell(value, _number(value)) for value in ends]))
    return table(source.title, columns, source.notes)


def _head(both: str) -> tuple[str, str]:
    """Head and unit: the unit is what stands in brackets."""
    unit = re.search(r"\[([^\]]*)\]", both)
    head = re.sub(r"\s*\[[^\]]*\]", "", both).strip()
    return head[:1].upper() + head[1:], unit[1] if unit else ""


def _number(shown: str) -> Any:
    match = re.match(r"[+-]?\d+(\.\d+)?", shown)
    return float(match[0]) if match else None if shown == text.NOTHING else shown


def _cell(value: float | None, form) -> Cell:
    return NOTHING if value is None else Cell(form(value), value)
