"""Draws figures for a page. One that cannot be drawn from odd numbers is a gap, and the rest of the page is there."""

import base64
import warnings
from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from focuslab.checks import shown
from focuslab.report.figures.style import COLUMN_INCHES, drawn
from focuslab.report.html.parts import Figure, Group
from focuslab.tables.table import Table

T = TypeVar("T")

MOST_FIGURES = 60
"""A page has at most this many figures."""


class Drawer:
    """Counts the figures of a page, and keeps in `gaps` what could not be drawn or put into a table."""

    def __init__(self):
        self.gaps: list[str] = []
        self._drawn = 0

    def add(
        self, group: Group, title: str, draw: Callable[[], Axes | Drawing], numbers: str = "", caption: str = ""
    ) -> None:
        """Draw a figure and add it to a group.

        Parameters
        ----------
        group : Group
        title : str
        draw : callable
            Makes the figure, or axes in it. Its small print becomes the caption.
        numbers : str
            The most important ones, for those who do not see the figure.
        caption : str
            What is seen, in words, where the figure has no small print.
        """
        if self._drawn >= MOST_FIGURES:
            self.gaps.append(f"“{title}” of {group.title} was not drawn: a page has at most {MOST_FIGURES} figures.")
            return
        # Whatever odd numbers make matplotlib raise, the other figures can be drawn.
        found = self.attempt(
            f"The figure “{title}” of {group.title} could not be drawn from these records", lambda: _drawn(draw())
        )
        if found:
            self._drawn += 1
            image, note, inches = found
            alt = f"{title}. {note or caption} {numbers}".strip()
            group.figures.append(Figure(title, image, alt, note or caption, inches > COLUMN_INCHES))

    def tables(self, group: Group, make: Callable[[], Iterable[Table]], *, more: bool = False) -> None:
        """Add tables to the group, to those that are shown at a click if `more`."""
        made = self.attempt(f"A table of {group.title} could not be made from these records", lambda: list(make()))
        (group.more if more else group.tables).extend(made or [])

    def attempt(self, otherwise: str, make: Callable[[], T]) -> T | None:
        """Return what `make` returns, or None and note a gap where odd numbers of a damaged run make it fail."""
        try:
            return make()
        except Exception as error:
            self.gaps.append(f"{otherwise} ({type(error).__name__}: {shown(str(error))}).")
        return None


def _drawn(made: Axes | Drawing) -> tuple[str, str, float]:
    """The picture as a data URI, its small print, and its width in inches."""
    figure = made if isinstance(made, Drawing) else cast(Drawing, made.get_figure(root=True))
    note = " ".join(figure.get_supxlabel().split())
    if note:
        figure.supxlabel("")
    with warnings.catch_warnings():
        # Letters that the font of the layout has not are drawn by the browser.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        content = drawn(figure, "svg", bbox_inches="tight", pad_inches=0.04)
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}", note, figure.get_figwidth()
