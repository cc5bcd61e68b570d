"""Runs as pieces of HTML, for a notebook that shows them."""

from collections.abc import Iterable

from focuslab.report.page.parts import from_text
from focuslab.report.page.template import render_template
from focuslab.report.text import Table


def tables_html(tables: Iterable[Table]) -> str:
    """Tables of the terminal as HTML, without style or script of their own; all text is escaped."""
    return render_template("notebook.html.jinja", tables=[from_text(table) for table in tables])
