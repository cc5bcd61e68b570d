"""Tables as text: columns and notes, for a terminal, in markdown and in LaTeX. Needs the standard library only."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

WIDTH = 120
"""Widest line of the terminal table, in characters, for labels and numbers of ordinary size."""
NOTHING = "-"
NOT_MEASURED = "not measured"


class Column(NamedTuple):
    head: tuple[str, str]  # two lines; the second says the unit
    cells: list[str]
    left: bool = False
    words: bool = False  # of prose, no name that is shown as code


class Table(NamedTuple):
    title: str
    columns: list[Column]
    notes: list[str]


def in_terminal(tables: Iterable[Table]) -> str:
    """Aligned plain text, at most `WIDTH` columns wide, no newline at the end."""
    parts = []
    for table in tables:
        parts += [_terminal(table), "\n".join(_wrapped(table.notes))]
    return "\n\n".join(part for part in parts if part)


def in_markdown(tables: Iterable[Table]) -> str:
    parts = []
    for table in tables:
        parts += [_markdown(table), "\n".join(f"- {_escaped(note)}" for note in table.notes)]
    return "\n\n".join(part for part in parts if part)


def in_latex(tables: Iterable[Table]) -> str:
    """A `table` float a table, its title as caption and its notes beneath; needs the packages booktabs and graphicx."""
    return "\n\n".join(map(_latex, tables))


def targets(at_least: Iterable[tuple[str, float, float]], at_most: Iterable[tuple[str, float, float]]) -> str:
    """A table in markdown of (what, target, measured), and whether each target was met."""
    lines = ["| what | target | measured | |", "| --- | --- | --- | --- |"]
    for sign, rows in (("at least", at_least), ("at most", at_most)):
        for what, target, measured in rows:
            met = measured >= target if sign == "at least" else measured <= target
            lines.append(f"| {what} | {sign} {target:g} | {_measured(measured)} | {'met' if met else 'missed'} |")
    return "\n".join(lines)


def _measured(value: float) -> str:
    return f"{value:.1e}" if 0 < abs(value) < 5e-4 else f"{value:.3f}"


def formatter(units: Sequence[tuple[float, str]], values: Iterable[float | None]):
    """A function value -> text and the unit, one for a whole column.

    The unit is the largest in which the column's smallest value is at least 1; decimals are as many as give that
    value three digits. So every cell has the same precision, and none has fewer than three digits.
    """
    smallest = min((value for value in values if value), default=units[0][0])
    size, unit = next(((size, unit) for size, unit in units if smallest >= size), units[-1])
    decimals = 2 if smallest / size < 10 else 1 if smallest / size < 100 else 0
    return lambda value: NOTHING if value is None else f"{value / size:.{decimals}f}", unit


def times(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}x"


def percent(value: float | None, decimals: int, sign: str = "") -> str:
    return NOTHING if value is None else f"{100 * value:.{decimals}f}{sign}"


def at_lengths(pairs: Iterable[tuple[str, float]]) -> str:
    """Names and lengths in words: "dense at 10, 20 s; naive at 80 s"; names with the same lengths stand together."""
    lengths: dict[str, list[float]] = {}
    for name, seconds in pairs:
        lengths.setdefault(name, []).append(seconds)
    names: dict[tuple[float, ...], list[str]] = {}
    for name, seconds in lengths.items():
        names.setdefault(tuple(sorted(set(seconds))), []).append(name)
    return "; ".join(f"{', '.join(n)} at {', '.join(f'{s:g}' for s in at)} s" for at, n in names.items())


def _wrapped(notes: Iterable[str]) -> list[str]:
    return [line for note in notes for line in textwrap.wrap(note, WIDTH, subsequent_indent="  ")]


def _terminal(table: Table) -> str:
    """Columns two spaces apart. A long label goes on in lines of its own, one parameter a line, so that the numbers
    of a row stay on its first line and a line stays within `WIDTH`."""
    widths = [max(map(len, (*column.head, *column.cells))) for column in table.columns]
    labels = next(i for i, column in enumerate(table.columns) if column.left)
    room = WIDTH - sum(widths) - 2 * (len(widths) - 1) + widths[labels]
    pieces = [_folded(cell, room) for cell in table.columns[labels].cells]
    widths[labels] = max(map(len, (*table.columns[labels].head, *(line for lines in pieces for line in lines))))

    def line(cells: Iterable[str]) -> str:
        placed = (
            cell.ljust(width) if column.left else cell.rjust(width)
            for cell, width, column in zip(cells, widths, table.columns, strict=True)
        )
        return "  ".join(placed).rstrip()

    lines = [table.title]
    lines += [line(column.head[i] for column in table.columns) for i in (0, 1)]
    lines.append("  ".join("-" * width for width in widths))
    for i, label in enumerate(pieces):
        for j, piece in enumerate(label):
            row = (piece if k == labels else "" if j else c.cells[i] for k, c in enumerate(table.columns))
            lines.append(line(row))
    return "\n".join(lines)


def _folded(label: str, width: int) -> list[str]:
    width = max(width, 12)
    if len(label) <= width:
        return [label]
    name, *parameters = label.split(":")
    lines = textwrap.wrap(name, width) or [name]
    for parameter in parameters:
        lines += textwrap.wrap(parameter, width, initial_indent="  ", subsequent_indent="    ")
    return lines


def _markdown(table: Table) -> str:
    heads = [" ".join(part for part in column.head if part) for column in table.columns]
    lines = [f"**{table.title}**", "", _pipes(heads), _pipes(":--" if c.left else "--:" for c in table.columns)]
    for cells in zip(*([_cell(c, cell) for cell in c.cells] for c in table.columns), strict=True):
        lines.append(_pipes(cells))
    return "\n".join(lines)


def _cell(column: Column, cell: str) -> str:
    # "~" twice in a line would strike out what stands between.
    return f"`{cell.replace('|', chr(92) + '|')}`" if column.left and not column.words else _escaped(cell)


def _escaped(text: str) -> str:
    for mark in "\\|*_~<`":
        text = text.replace(mark, f"\\{mark}")
    return text


def _latex(table: Table) -> str:
    places = "".join("l" if column.left else "r" for column in table.columns)
    lines = [
        r"\begin{table}",
        rf"\caption{{{in_tex(table.title)}}}",
        # Shrunk where it is wider than the page, never stretched.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{places}}}",
        r"\toprule",
    ]
    lines += [_ampersands(column.head[i] for column in table.columns) for i in (0, 1)]
    lines.append(r"\midrule")
    lines += [_ampersands(cells) for cells in zip(*(column.cells for column in table.columns), strict=True)]
    lines += [r"\bottomrule", r"\end{tabular}}"]
    lines += [rf"\par\footnotesize {in_tex(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"])


def in_tex(text: str) -> str:
    """Plain text with what LaTeX would read as commands written out."""
    return "".join(_TEX.get(mark, mark) for mark in text)


def _ampersands(cells: Iterable[str]) -> str:
    return " & ".join(map(in_tex, cells)) + r" \\"


_TEX = {mark: rf"\{mark}" for mark in "&%$#_{}"} | {
    # At the beginning of a line it would be an argument of the end of the line before.
    "[": "{[}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
