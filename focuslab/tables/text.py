"""Tables as text: for a terminal, in Markdown and in LaTeX."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace

from focuslab.tables.table import Cell, Column, Table

WIDTH = 120
"""Widest line of a terminal table, in characters, for labels and numbers of ordinary size."""
_LABEL = 16
"""Characters that a label needs at least where a table is parted; the rest of it is folded."""


def in_terminal(tables: Iterable[Table]) -> str:
    """Aligned plain text without a newline at the end.

    A table that is wider than `WIDTH` is printed in parts, each with the columns that say what a row is of.
    """
    blocks: list[str] = []
    for table in tables:
        blocks += map(_terminal, _parts(table))
        blocks.append("\n".join(line for note in table.notes for line in _wrapped(note)))
    return "\n\n".join(filter(None, blocks))


def in_markdown(tables: Iterable[Table]) -> str:
    """Pipe tables of GitHub's Markdown, the notes of each as a list beneath it."""
    blocks = []
    for table in tables:
        heads = _pipes(column.head_text for column in table.columns)
        sides = _pipes(":--" if column.is_text else "--:" for column in table.columns)
        body = [_pipes(map(_markdown, row, table.columns)) for row in table.rows]
        blocks.append("\n".join([f"**{table.title}**", "", heads, sides, *body]))
        blocks.append("\n".join(f"- {_escaped(note)}" for note in table.notes))
    return "\n\n".join(filter(None, blocks))


def in_latex(tables: Iterable[Table]) -> str:
    """A `table` float each, the title as caption and the notes beneath; needs the packages booktabs and graphicx."""
    return "\n\n".join(map(_latex, tables))


def at_lengths(pairs: Iterable[tuple[str, float]]) -> str:
    """Names and lengths in words: "dense at 10, 20 s; naive at 80 s"; names with the same lengths stand together."""
    lengths: dict[str, list[float]] = {}
    for name, seconds in pairs:
        lengths.setdefault(name, []).append(seconds)
    names: dict[tuple[float, ...], list[str]] = {}
    for name, own in lengths.items():
        names.setdefault(tuple(sorted(set(own))), []).append(name)
    return "; ".join(f"{', '.join(n)} at {', '.join(f'{s:g}' for s in at)} s" for at, n in names.items())


def _wrapped(note: str) -> list[str]:
    return textwrap.wrap(note, WIDTH, subsequent_indent="  ")


def _natural(column: Column) -> int:
    return max(map(len, (*column.head_lines, *map(str, column.cells))))


def _parts(table: Table) -> list[Table]:
    def width(columns: Sequence[Column]) -> int:
        own = [min(_natural(c), _LABEL) if c.kind == "label" else _natural(c) for c in columns]
        return sum(own) + 2 * (len(own) - 1)

    keys = list(table.columns[: table.keys])
    parts: list[list[Column]] = [[]]
    for column in table.columns[table.keys :]:
        if parts[-1] and not column.is_text and width([*keys, *parts[-1], column]) > WIDTH:
            parts.append([])
        parts[-1].append(column)
    return [
        replace(table, title=f"{table.title}, continued" if i else table.title, columns=[*keys, *part])
        for i, part in enumerate(parts)
    ]


def _terminal(table: Table) -> str:
    """Columns two spaces apart. Long labels are folded, so that a line stays within `WIDTH`."""
    widths = [_natural(column) for column in table.columns]
    label = next((i for i, column in enumerate(table.columns) if column.is_text), 0)
    room = WIDTH - sum(widths) - 2 * (len(widths) - 1) + widths[label]
    folded = [_folded(str(cell), max(room, 12)) for cell in table.columns[label].cells]
    widths[label] = max(map(len, (*table.columns[label].head_lines, *(line for lines in folded for line in lines))))

    def line(cells: Iterable[str]) -> str:
        placed = zip(cells, widths, table.columns, strict=True)
        return "  ".join(f"{cell:{'<' if column.is_text else '>'}{width}}" for cell, width, column in placed).rstrip()

    lines = [table.title, *(line(column.head_lines[i] for column in table.columns) for i in (0, 1))]
    lines.append("  ".join("-" * width for width in widths))
    for row, pieces in zip(table.rows, folded, strict=True):
        lines.append(line(pieces[0] if i == label else str(cell) for i, cell in enumerate(row)))
        lines += [" " * (sum(widths[:label]) + 2 * label) + piece for piece in pieces[1:]]
    return "\n".join(lines)


def _folded(label: str, width: int) -> list[str]:
    if len(label) <= width:
        return [label]
    name, *parameters = label.split(":")
    lines = textwrap.wrap(name, width) or [name]
    for parameter in parameters:
        # A long parameter is broken after its name.
        pieces = textwrap.wrap(parameter.replace("=", "= "), width, initial_indent="  ", subsequent_indent="    ")
        lines += [piece.replace("= ", "=") for piece in pieces]
    return lines


def _markdown(cell: Cell, column: Column) -> str:
    return "`{}`".format(str(cell).replace("|", r"\|")) if column.kind == "label" else _escaped(str(cell))


def _escaped(text: str) -> str:
    # "~" twice in a line would strike out what stands between.
    for mark in "\\|*_~<`":
        text = text.replace(mark, f"\\{mark}")
    return text


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _latex(table: Table) -> str:
    def row(cells: Iterable[object]) -> str:
        return " & ".join(in_tex(str(cell)) for cell in cells) + r" \\"

    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{in_tex(table.title)}}}",
            # Shrunk where it is wider than the page, never enlarged.
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{''.join('l' if column.is_text else 'r' for column in table.columns)}}}",
            r"\toprule",
            *(row(column.head_lines[i] for column in table.columns) for i in (0, 1)),
            r"\midrule",
            *map(row, table.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            *(rf"\par\footnotesize {in_tex(note)}" for note in table.notes),
            r"\end{table}",
        ]
    )


def in_tex(text: str) -> str:
    """Plain text with what LaTeX would read as commands written out."""
    return "".join(_TEX.get(mark, mark) for mark in text)


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
