"""Tables in HTML, for a notebook that shows a run."""

from collections.abc import Iterable

from markupsafe import Markup

from focuslab.tables.table import Table


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
