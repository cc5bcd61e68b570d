"""Names of lines at their ends, right of the data, where no two overlap."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from focuslab.report.figures.style import Look, text_color


class End(NamedTuple):
    """The name of a line: its text, the line's last point in data, where the line would meet the right side, a look."""

    text: str
    x: float
    y: float
    onward: float
    look: Look


def onward(x: Sequence[float], y: Sequence[float], last: float) -> float:
    """Where a line that ends early would be at the longest length: only the order of the names depends on it, so that
    the thin leaders to them do not cross other lines."""
    if x[-1] == last or len(x) < 2:
        return y[-1]
    slope = math.log(y[-1] / y[-2]) / math.log(x[-1] / x[-2])
    return y[-1] * (last / x[-1]) ** slope


def name_ends(ax: Axes, lengths: Sequence[float], ends: Sequence[End]) -> None:
    """Names each line inside the axes, right of the data, moving the x limits to make room; no two names overlap."""
    size = FontProperties(size="small").get_size_in_points()
    figure = ax.get_figure(root=True)
    pixel = figure.dpi / 72  # of a point
    # The width of a name is known only when it is drawn, so each is drawn once off stage.
    boxes = []
    for end in ends:
        text = ax.text(0, 0, end.text, fontsize=size, linespacing=1.05, transform=None, parse_math=False)
        boxes.append(text.get_window_extent())
        text.remove()
    frame = ax.get_window_extent()
    leader, pad = 12 * pixel, 6 * pixel
    room = min(max(box.width for box in boxes) + leader, 0.65 * frame.width)
    span = math.log(lengths[-1] / lengths[0]) or math.log(4)
    per_pixel = span / (frame.width - room - 2 * pad)
    if len(lengths) == 1:  # in the middle of what the names leave free
        pad = (frame.width - room) / 2
        per_pixel = span / (frame.width - room)
    ax.set_xlim(lengths[0] / math.exp(pad * per_pixel), lengths[-1] * math.exp((pad + room) * per_pixel))

    data, back = ax.transData, ax.transData.inverted()
    gap = 2 * pixel
    lines = [Path(data.transform(line.get_xydata())) for line in ax.get_lines() if len(line.get_xydata())]
    text_style = {"va": "center", "fontsize": size, "linespacing": 1.05, "parse_math": False}
    right, taken = [], []
    # A line that ends early is named above its last point, where nothing is in the way. That is so for the slow
    # methods that a machine could not run at every length; the top one goes first, as it is the most likely to fit.
    for end, box in sorted(zip(ends, boxes, strict=True), key=lambda pair: -pair[0].y):
        x, y = data.transform((end.x, end.y))
        near = Bbox.from_bounds(max(x - box.width - 2 * gap, frame.x0 + gap), y + gap, box.width, box.height)
        clear = near.y1 <= frame.y1 and near.x1 <= x + box.width / 2 and not near.count_overlaps(taken)
        if end.x != lengths[-1] and clear and not any(line.intersects_bbox(near, filled=False) for line in lines):
            taken.append(near)
            place = back.transform((near.x0, (near.y0 + near.y1) / 2))
            ax.text(*place, end.text, color=text_color(end.look.color), **text_style)
        else:
            right.append((end, box))
    wanted = [data.transform((lengths[-1], end.onward))[1] for end, _ in right]
    middles = spread_out(wanted, [box.height + gap for _, box in right], frame.y0, frame.y1)
    x = lengths[-1] * math.exp(leader * per_pixel)
    for (end, _), middle in zip(right, middles, strict=True):
        early = end.x != lengths[-1]
        arrow = {
            "arrowstyle": "-",
            # A long leader must not look like data.
            "color": "#999999" if early else end.look.color,
            "linewidth": 0.5,
            "linestyle": ":" if early else "-",
            "shrinkA": 1,
            "shrinkB": 3,
            "relpos": (0, 0.5),
        }
        y = back.transform((frame.x0, middle))[1]
        ax.annotate(end.text, (end.x, end.y), (x, y), color=text_color(end.look.color), arrowprops=arrow, **text_style)


def spread_out(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Middles as near to the wanted ones as may be, in their order, no two overlapping, all within low..high.

    Neighbours that would overlap are joined into one block around the mean of where its members want to be.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[tuple[float, float, list[int]]] = []  # middle, height, members from the bottom
    for i in order:
        block = (wanted[i], heights[i], [i])
        while True:
            members = block[2]
            height = block[1]
            offset, starts = 0.0, []
            for k in members:
                starts.append(wanted[k] - offset - heights[k] / 2)
                offset += heights[k]
            start = max(low, min(sum(starts) / len(starts), high - height))
            block = (start + height / 2, height, members)
            if not blocks or blocks[-1][0] + blocks[-1][1] / 2 <= start:
                break
            below = blocks.pop()
            block = (0.0, below[1] + height, below[2] + members)
        blocks.append(block)
    middles = [0.0] * len(wanted)
    for middle, height, members in blocks:
        at = middle - height / 2
        for k in members:
            middles[k] = at + heights[k] / 2
            at += heights[k]
    return middles
