"""The one model of a table: cells that carry a value and its text. Writers for each format are in `text` and `html`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

NOTHING = "-"
SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
LONG_SECONDS = ((60.0, "min"), *SECONDS[:2])
BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
FLOPS = ((1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1.0, "FLOP"))


@dataclass(frozen=True)
class Cell:
    """A value and its text.

    Parameters
    ----------
    shown : str
        What is printed, in the unit of the column.
    value : Any
        What is sorted by and copied: unrounded, in the base unit of the column. None where nothing was measured.
    low, high : Cell, optional
        The ends of the interval.
    mark : str
        What follows the number and its interval, such as the sign of a significant difference.
    """

    shown: str = NOTHING
    value: Any = None
    low: Cell | None = None
    high: Cell | None = None
    mark: str = ""

    def __str__(self) -> str:
        interval = f" ({self.low.shown}..{self.high.shown})" if self.low and self.high else ""
        return f"{self.shown}{interval}{self.mark}"


@dataclass(frozen=True)
class Column:
    """Cells under a head.

    Parameters
    ----------
    head : str
        A line break in it is where text tables break it; other formats put a space there.
    cells : sequence of Cell
    unit : str
        Of what is shown.
    base : str
        Unit of the values, where it is another one.
    kind : {"number", "label", "words"}
        Labels are shown as code, and text tables break long ones after each parameter.
    ends : (str, str)
        What the ends of intervals are called.
    """

    head: str
    cells: Sequence[Cell]
    unit: str = ""
    base: str = ""
    kind: str = "number"
    ends: tuple[str, str] = ("low", "high")

    @property
    def is_text(self) -> bool:
        return self.kind != "number"

    @property
    def has_intervals(self) -> bool:
        return any(cell.low for cell in self.cells)

    @property
    def head_lines(self) -> tuple[str, str]:
        """The head for text tables; the unit is in brackets where it takes the least room."""
        lines = self.head.split("\n")
        if len(lines) == 1 and self.has_intervals:
            lines.append("({}..{})".format(*self.ends))
        if self.unit and len(lines) == 1:
            lines.append(f"[{self.unit}]")
        elif self.unit:
            shorter = lines.index(min(lines, key=len))
            lines[shorter] += f" [{self.unit}]"
        return lines[0], lines[1] if len(lines) > 1 else ""

    @property
    def head_text(self) -> str:
        """The head on one line, the unit at its end."""
        parts = [*self.head.split(), *["({}..{})".format(*self.ends)] * self.has_intervals]
        return " ".join([*parts, *[f"[{self.unit}]"] * bool(self.unit)])

    def single(self) -> list[Column]:
        """The column, and the ends of its intervals as columns of their own."""
        head = " ".join(self.head.split())
        columns = [
            replace(self, head=head[:1].upper() + head[1:], cells=[replace(c, low=None, high=None) for c in self.cells])
        ]
        for i, end in enumerate(self.ends if self.has_intervals else ()):
            found = [(cell.low, cell.high)[i] or Cell() for cell in self.cells]
            columns.append(replace(columns[0], head=f"{columns[0].head}, {end}", cells=found))
        return columns


@dataclass(frozen=True)
class Table:
    """Columns with a title and notes. The first `keys` columns say what a row is of."""

    title: str
    columns: Sequence[Column]
    notes: list[str] = field(default_factory=list)
    keys: int = 2

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        return list(zip(*(column.cells for column in self.columns), strict=True))

    def single(self) -> Table:
        """The same table with one value in each cell, without columns in which nothing was measured."""
        columns = [one for column in self.columns for one in column.single()]
        return replace(self, columns=[c for c in columns if any(cell.shown != NOTHING for cell in c.cells)])


def numbers(
    head: str,
    values: Sequence[float | None],
    form: str | Callable[[float], str] = ".2f",
    unit: str = "",
    *,
    factor: float = 1.0,
    low: Sequence[float | None] | None = None,
    high: Sequence[float | None] | None = None,
    marks: Sequence[str] | None = None,
) -> Column:
    """A column of numbers.

    Parameters
    ----------
    head, unit : str
        As of `Column`.
    values : sequence of float or None
        None is shown as `NOTHING`.
    form : str or callable
        A format such as ".2f", or a function from a number to its text.
    factor : float
        What is shown is the value times this one.
    low, high : sequence of float or None, optional
        Ends of intervals; one that lacks either end is left out.
    marks : sequence of str, optional
        As of `Cell`.
    """
    show = form if callable(form) else (lambda value: format(value, form))

    def cell(value: float | None) -> Cell:
        return Cell() if value is None else Cell(show(value if factor == 1.0 else factor * value), value)

    cells = [cell(value) for value in values]
    if low is not None and high is not None:
        ends = zip(cells, low, high, strict=True)
        cells = [c if None in (c.value, a, b) else replace(c, low=cell(a), high=cell(b)) for c, a, b in ends]
    if marks is not None:
        cells = [replace(c, mark=mark) for c, mark in zip(cells, marks, strict=True)]
    return Column(head, cells, unit, "" if factor == 1.0 else "1")


def amounts(
    head: str,
    values: Sequence[float | None],
    units: Sequence[tuple[float, str]],
    *,
    low: Sequence[float | None] | None = None,
    high: Sequence[float | None] | None = None,
    ends: tuple[str, str] = ("low", "high"),
    predicted: Sequence[float | None] | None = None,
) -> Column:
    """A column of seconds, bytes or FLOPs, all of them in the unit that suits the smallest one.

    Parameters
    ----------
    head, values, low, high
        As of `numbers`.
    units : sequence of (float, str)
        Size and name of each unit, the largest first; values are in that of size 1.
    ends : (str, str)
        As of `Column`.
    predicted : sequence of float or None, optional
        Shown after a "~" where nothing was measured.
    """
    others = [*(low or ()), *(high or ()), *(predicted or ())]
    show, unit = formatter(units, [*values, *others])
    base = next((name for size, name in units if size == 1.0), "bytes")
    column = numbers(head, values, show, unit, low=low, high=high)
    cells = [
        Cell(f"~{show(guess)}") if cell.value is None and guess is not None else cell
        for cell, guess in zip(column.cells, predicted or [None] * len(values), strict=True)
    ]
    return replace(column, cells=cells, base=base, ends=ends)


def words(head: str, texts: Iterable[str | None]) -> Column:
    """A column of prose or names."""
    return Column(head, [Cell() if text is None else Cell(text, text) for text in texts], kind="words")


def labels(head: str, texts: Iterable[str | None]) -> Column:
    """A column of labels of methods or names of modules."""
    return replace(words(head, texts), kind="label")


def seconds_of(rows: Iterable) -> Column:
    """The audio length of each row in seconds."""
    return numbers("length", [row["seconds"] for row in rows], "g", "s")


def speedups(head: str, values: Sequence[float | None]) -> Column:
    """Ratios of dense time to another one."""
    return numbers(head, values, times)


def formatter(units: Sequence[tuple[float, str]], values: Iterable[float | None]) -> tuple[Callable[..., str], str]:
    """A function from a value to its text, and the unit, one for a whole column.

    The unit is the largest in which the smallest value is at least 1. Decimals are as many as give that value three
    digits, so every cell has the same precision and at least three digits.
    """
    smallest = min((value for value in values if value), default=units[0][0])
    size, unit = next(((size, unit) for size, unit in units if smallest >= size), units[-1])
    decimals = 2 if smallest / size < 10 else 1 if smallest / size < 100 else 0
    return lambda value: NOTHING if value is None else f"{value / size:.{decimals}f}", unit


def times(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}x"


def percent(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else f"{100 * value:.{decimals}f}"
