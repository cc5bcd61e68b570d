"""Tables as pieces of HTML, for a notebook that shows a run."""

from collections.abc import Iterable

from markupsafe import Markup

from focuslab.tables.text import Column, Table


def in_html(tables: Iterable[Table]) -> str:
    """Tables without style sheet or script of their own; all text is escaped."""
    parts = [Markup('<div class="focuslab">')]
    for table in tables:
        parts.append(_table(table))
        parts += [Markup('<p style="font-size: smaller; margin: 0">{}</p>').format(note) for note in table.notes]
    return "\n".join([*parts, "</div>"])


def _table(table: Table) -> Markup:
    caption = Markup('<caption style="text-align: left; caption-side: top; font-weight: bold">{}</caption>')
    head = _row("th", table.columns, (" ".join(filter(None, column.head)) for column in table.columns))
    body = [_row("td", table.columns, cells) for cells in zip(*(column.cells for column in table.columns), strict=True)]
    return Markup("\n").join(
        [
            Markup("<table>") + caption.format(table.title),
            Markup("<thead>{}</thead>").format(head),
            Markup("<tbody>{}</tbody></table>").format(Markup("\n").join(body)),
        ]
    )


def _row(tag: str, columns: Iterable[Column], cells: Iterable[str]) -> Markup:
    one = Markup(f'<{tag} style="text-align: {{}}">{{}}</{tag}>')
    pairs = zip(columns, cells, strict=True)
    return Markup("<tr>{}</tr>").format(Markup("").join(one.format("left" if c.left else "right", t) for c, t in pairs))
