"""Draws figures for a page. One that cannot be drawn from odd numbers is a gap, and the rest of the page is there."""

from collections.abc import Callable
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from focuslab.checks import shown
from focuslab.report.html.parts import Figure, Group, Table
from focuslab.report.html.svg import inline_svg

T = TypeVar("T")


MOST_FIGURES = 60
"""Of a page."""


class Drawer:
    """Numbers the figures of a page, and keeps in `gaps` what could not be drawn or put into a table."""

    def __init__(self):
        self.gaps: list[str] = []
        self._drawn = 0

    def add(
        self,
        group: Group,
        title: str,
        draw: Callable[[], Axes | Drawing],
        caption: str,
        numbers: str = "",
        *,
        wide: bool = False,
        more: bool = False,
    ) -> None:
        """Draw a figure and add it to the group, to those that are shown at a click if `more`.

        caption: what is seen, in words. numbers: the most important ones, for those who do not see it.
        """
        if self._drawn >= MOST_FIGURES:
            self.gaps.append(f"“{title}” of {group.title} was not drawn: a page has at most {MOST_FIGURES} figures.")
            return
        alternative = f"{caption} {numbers}".strip()

        def drawn() -> Figure:
            made = draw()
            figure = made if isinstance(made, Drawing) else made.get_figure(root=True)
            return Figure(title, inline_svg(figure, f"figure-{self._drawn + 1}", title, alternative), caption, wide)

        # Whatever odd numbers make matplotlib raise, the other figures can be drawn.
        figure = self.attempt(f"The figure “{title}” of {group.title} could not be drawn from these records", drawn)
        if figure:
            self._drawn += 1
            (group.more_figures if more else group.figures).append(figure)

    def tables(self, group: Group, make: Callable[[], list[Table]], *, more: bool = False) -> None:
        """Add tables to the group, to those that are shown at a click if `more`."""
        made = self.attempt(f"A table of {group.title} could not be made from these records", make)
        (group.more if more else group.tables).extend(made or [])

    def attempt(self, otherwise: str, make: Callable[[], T]) -> T | None:
        """What `make` returns; None and a gap where odd numbers of a damaged run make it fail."""
        try:
            return make()
        except Exception as error:
            self.gaps.append(f"{otherwise} ({type(error).__name__}: {shown(str(error))}).")
        return None
