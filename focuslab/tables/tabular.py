"""Runs in a notebook: as tables in HTML, and as data frames."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from focuslab.tables.table import Table
from focuslab.tables.text import in_terminal

if TYPE_CHECKING:
    import pandas


def frame(rows: Iterable[Mapping[str, Any]]) -> "pandas.DataFrame":
    """A data frame of rows.

    Nested numbers get columns of their own: `{"kind_share": {"resnet": 0.1}}` is the column "kind_share.resnet".
    Lists, such as all raw values, are left out: the records of the run have them.
    """
    import pandas  # takes as long as all else together, and only a notebook asks for it

    found = pandas.json_normalize(list(rows))
    return found.loc[:, [not found[name].map(lambda value: isinstance(value, list)).any() for name in found]]


def plan_rows(plan) -> list[dict[str, Any]]:
    """A row a length range and sparse site of a plan; a range without one has a row with no site."""
    rows = []
    for entry in plan.entries:
        place = {"min_seconds": entry.min_seconds, "max_seconds": entry.max_seconds}
        rows += [{**place, "site": site, **given} for site, given in entry.sites.items()] or [{**place, "site": None}]
    return rows


def in_html(tables: Iterable[Table]) -> str:
    """Tables without style sheet or script of their own; all text is escaped."""
    return str(Markup('<div class="focuslab">\n{}\n</div>').format(Markup("\n").join(map(_table, tables))))


def _table(table: Table) -> Markup:
    def row(tag: str, texts: Iterable[object]) -> Markup:
        sides = ("left" if column.is_text else "right" for column in table.columns)
        cell = Markup(f'<{tag} style="text-align: {{}}">{{}}</{tag}>')
        return Markup("<tr>{}</tr>").format(Markup("").join(map(cell.format, sides, map(str, texts))))

    head = row("th", (column.head_text for column in table.columns))
    title = Markup('<caption style="text-align: left; caption-side: top; font-weight: bold">{}</caption>')
    notes = (Markup('<p style="font-size: smaller; margin: 0">{}</p>').format(note) for note in table.notes)
    body = Markup("\n").join(row("td", cells) for cells in table.rows)
    shown = Markup("<table>{}\n<thead>{}</thead>\n<tbody>{}</tbody></table>").format(
        title.format(table.title), head, body
    )
    return Markup("\n").join([shown, *notes])


class Tabular:
    """A result that shows itself as tables, in HTML in a notebook, and gives its rows as a data frame.

    A subclass has `_tables()`, the tables of the terminal, and `_rows()`, its rows as dicts.
    """

    _tables: Callable[[], Iterable[Table]]
    _rows: Callable[[], Iterable[Mapping[str, Any]]]

    def __repr__(self) -> str:
        return in_terminal(self._tables())

    def _repr_html_(self) -> str:
        return in_html(self._tables())

    def to_pandas(self):
        """The rows as a `pandas.DataFrame`, nested numbers in columns such as "kind_share.resnet"."""
        return frame(self._rows())
