"""Lines of blocks with their intervals, and their legend."""

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from focuslab.report.figures.layout import error_bars
from focuslab.report.figures.style import QUIET_INK, block_look

Point = tuple[float, float, float | None, float | None]
"""x, y, and the ends of y's interval, None where there is none."""

UNIFORM: dict[str, Any] = {"color": QUIET_INK, "linestyle": (0, (1, 1.5)), "linewidth": 0.9, "zorder": 1.5}
"""How uniform attention is drawn beside them."""


def draw_block(ax: Axes, name: str, points: Sequence[Point]) -> None:
    """A line through the points of a block, with a bar for each interval."""
    x, y, lows, highs = zip(*points, strict=True)
    ax.errorbar(
        x, y, yerr=error_bars(y, lows, highs), label=name, elinewidth=0.7, capsize=1.5, capthick=0.7, **_marks(name)
    )


def block_handles(names: Iterable[str]) -> list[Line2D]:
    """Handles of a legend."""
    return [Line2D([], [], label=name, **_marks(name)) for name in names]


def _marks(name: str) -> dict:
    look = block_look(name)
    return {"color": look.color, "linestyle": look.dashes, "marker": look.marker, "markersize": 3.4, "linewidth": 1.0}
