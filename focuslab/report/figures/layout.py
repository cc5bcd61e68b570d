"""What figures are put together from: axes in a place, a legend above them, ticks of lengths, a note beneath."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from focuslab.report.figures.style import COLUMN_INCHES, PAGE_INCHES, QUIET_INK, new_figure, style

LENGTH_LABEL = "Audio length [s]"
TIMES = "\N{MULTIPLICATION SIGN}"
LEGEND = {
    "handlelength": 1.0,
    "handleheight": 0.9,
    "handletextpad": 0.4,
    "columnspacing": 0.9,
    "labelspacing": 0.25,
    "borderpad": 0.0,
    "borderaxespad": 0.0,
}
MARGIN_INCHES = 0.06
"""Of the page, left and right of what has no margin of its own."""

_FOOTNOTE_SIZE = 6.2
_FOOTNOTE_LINE_INCHES = 0.112


@contextmanager
def axes(ax: Axes | None, top: float = 0.93) -> Iterator[Axes]:
    """The axes given, in the user's style; or new axes of column width in focuslab's style."""
    with style() if ax is None else nullcontext():
        yield new_figure(COLUMN_INCHES, 2.6).add_axes((0.15, 0.15, 0.83, top - 0.15)) if ax is None else ax


def place(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """New axes, in inches from the left and from the top: a layout engine would move them with their labels."""
    whole_width, whole_height = figure.get_size_inches()
    return figure.add_axes(
        (x / whole_width, 1 - (y + height) / whole_height, width / whole_width, height / whole_height)
    )


def panel_title(figure: Figure, letter: str, title: str, x: float, y: float = MARGIN_INCHES) -> None:
    """ "(a)" and what it shows, in inches from the left and from the top."""
    width, height = figure.get_size_inches()
    figure.text(x / width, 1 - y / height, letter, va="top", weight="bold")
    figure.text((x + 0.24) / width, 1 - y / height, title, va="top")


def legend_above(ax: Axes, handles: Sequence, ncols: int, **more) -> Legend:
    return ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.05), ncols=ncols, **LEGEND | more)


def length_ticks(ax: Axes, lengths: Sequence[float]) -> None:
    """A tick at each measured length, and its number where there is room for it."""
    pixel = ax.get_figure(root=True).dpi / 72
    shown: list[float] = []
    for length in reversed(lengths):
        at = ax.transData.transform((length, 1))[0]
        digits = len(f"{length:g}") + len(f"{shown[-1]:g}") if shown else 0  # half of each stands between the two
        if not shown or ax.transData.transform((shown[-1], 1))[0] - at >= (3 + 2.25 * digits) * pixel:
            shown.append(length)
    ax.xaxis.set_major_locator(FixedLocator(list(lengths)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value in shown else ""))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


def footnote(paragraphs: Sequence[str]) -> tuple[list[str], float]:
    """The lines of a footnote as wide as the page, and how many inches high it is."""
    lines = [line for paragraph in paragraphs for line in _wrapped(paragraph)]
    return lines, _FOOTNOTE_LINE_INCHES * len(lines) + 0.05


def draw_footnote(figure: Figure, lines: Sequence[str], y: float) -> None:
    """Draw them from `y` inches below the top."""
    width, height = figure.get_size_inches()
    figure.text(
        MARGIN_INCHES / width,
        1 - y / height,
        "\n".join(lines),
        va="top",
        fontsize=_FOOTNOTE_SIZE,
        linespacing=1.25,
        color=QUIET_INK,
        parse_math=False,
    )


def _wrapped(paragraph: str) -> list[str]:
    """The lines of a paragraph, as long as the page allows; letters differ in width, so it measures."""
    scratch = new_figure(PAGE_INCHES, 1)
    text = scratch.text(0, 0, "", fontsize=_FOOTNOTE_SIZE, parse_math=False)
    for width in range(180, 60, -4):
        lines = textwrap.wrap(paragraph, width)
        text.set_text("\n".join(lines))
        if text.get_window_extent().width <= (PAGE_INCHES - 2 * MARGIN_INCHES) * scratch.dpi:
            break
    return lines
