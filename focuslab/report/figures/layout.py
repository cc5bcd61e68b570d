"""Panels on a page, legends, ticks of lengths, and small print beneath.

Places are matplotlib's constrained layout: it makes room for labels, legends and small print.
"""

import string
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from focuslab.report.figures.style import COLUMN_INCHES, PAGE_INCHES, QUIET_INK, new_figure, style

LENGTH_LABEL = "Audio length [s]"
TIMES = "\N{MULTIPLICATION SIGN}"
LEGEND = {"handlelength": 2.0, "handleheight": 0.9, "handletextpad": 0.4}
LEGEND |= {"columnspacing": 0.9, "labelspacing": 0.25, "borderpad": 0.0}
_NOTE = {"fontsize": 6.2, "color": QUIET_INK, "parse_math": False, "linespacing": 1.25}
_NOTE_CHARACTERS, _NOTE_LINES = 155, 2
LINE_INCHES = 0.14
"""The height of a line in a legend."""

Panel = tuple[str, Callable[[Axes], object]]
"""A title, and what draws on the axes."""


@contextmanager
def axes(ax: Axes | None, height: float = 2.6) -> Iterator[Axes]:
    """The axes given, in the user's style; or new ones of column width and that many inches in focuslab's style."""
    with style() if ax is None else nullcontext():
        yield new_figure(COLUMN_INCHES, height).subplots() if ax is None else ax


def page(
    panels: Sequence[Panel],
    note: str,
    *,
    columns: int,
    height: float,
    handles: Sequence = (),
    lettered: bool = True,
    widths: Sequence[float] | None = None,
    beneath: float = 0.0,
) -> Figure:
    """Panels side by side at page width, under one legend and above small print.

    Parameters
    ----------
    panels : sequence of (str, callable)
        Title and drawing function of each, line by line.
    note : str
        What the marks mean. Two lines of it are shown.
    columns : int
        Panels in a line.
    height : float
        Of a panel with its labels, in inches.
    handles : sequence
        Of the legend.
    lettered : bool
        Whether titles begin with (a), (b), ...
    widths : sequence of float, optional
        Of the columns, in proportion.
    beneath : float
        Inches for what the caller adds below the panels.
    """
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    longest = max((len(handle.get_label()) for handle in handles), default=0)
    legend_columns = max(1, int((PAGE_INCHES - 0.1) / (0.4 + 0.055 * longest)))
    legend_height = LINE_INCHES * -(-len(handles) // legend_columns)
    figure = new_figure(PAGE_INCHES, lines * height + legend_height + 0.35 + beneath)
    places = list(figure.subplots(lines, columns, squeeze=False, width_ratios=widths if len(panels) > 1 else None).flat)
    for letter, ax, (title, draw) in zip(string.ascii_lowercase, places, panels, strict=False):
        draw(ax)
        ax.set_title(f"({letter}) {title}" if lettered else title)
    for ax in places[len(panels) :]:
        ax.remove()
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=legend_columns, **LEGEND)
    small_print(figure, note)
    return figure


def small_print(figure: Figure, note: str) -> None:
    """Put at most two lines beneath everything; the metadata of the file says how the figure was made."""
    lines = textwrap.wrap(note, _NOTE_CHARACTERS, max_lines=_NOTE_LINES, placeholder=" ...")
    figure.supxlabel("\n".join(lines), x=0.008, ha="left", **_NOTE)


def legend_above(ax: Axes, handles: Sequence, ncols: int, **more) -> Legend:
    """A legend above the axes, as wide as it needs to be."""
    return ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.02), ncols=ncols, borderaxespad=0, **LEGEND | more
    )


def outer_labels(places: Sequence[Axes], columns: int) -> None:
    """Names of axes at the left and where no panel is beneath alone."""
    for i, ax in enumerate(places):
        if i % columns:
            ax.set_ylabel("")
        if i + columns < len(places):
            ax.set_xlabel("")


def error_bars(
    values: Iterable[float], lows: Iterable[float | None], highs: Iterable[float | None]
) -> list[list[float]]:
    """How far the ends of intervals are below and above their values, as matplotlib wants them.

    It is 0 where there is no interval, or where its end is on the other side: that of skewed values may be.
    """
    values = list(values)
    return [
        [0.0 if end is None else max(0.0, sign * (end - value)) for value, end in zip(values, ends, strict=True)]
        for sign, ends in ((-1, lows), (1, highs))
    ]


def length_ticks(ax: Axes, lengths: Sequence[float]) -> None:
    """A tick at each measured length, and its number where there is room for it."""
    low, high = ax.transData.transform([(lengths[0], 1), (lengths[-1], 1)])[:, 0]
    shown: list[float] = []
    for length in reversed(lengths):
        at = ax.transData.transform((length, 1))[0]
        digits = len(f"{length:g}") + len(f"{shown[-1]:g}") if shown else 0  # half of each stands between the two
        if not shown or ax.transData.transform((shown[-1], 1))[0] - at >= (0.015 + 0.011 * digits) * (high - low):
            shown.append(length)
    ax.xaxis.set_major_locator(FixedLocator(list(lengths)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value in shown else ""))
    ax.xaxis.set_minor_locator(NullLocator())
