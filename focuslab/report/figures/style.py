"""One look for every figure: safe for colour-blind readers and in grey, the same file for the same numbers.

Colours of methods are Okabe and Ito's, and each method also has a marker and dashes of its own. Colours of kinds are
from Paul Tol's muted set, ordered from dark to light, so that a stack reads in grey; two different sets, because a
colour that means a method in one panel must not mean a kind in the next.
"""

import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, to_hex, to_rgb
from matplotlib.figure import Figure

from focuslab.methods.catalogue import catalogue
from focuslab.report.figures.compact import smaller_png, smaller_svg
from focuslab.runs.directory import write_atomically

COLUMN_INCHES = 3.4
"""Width of one column of a two-column paper."""
PAGE_INCHES = 7.2
"""Width of both columns."""
INK = "#262626"
QUIET_INK = "#595959"
BOUND = "bound"
"""The label of the reference that is no method: the attention core of the chosen sites costs nothing."""

FORMATS = ("svg",)
"""The formats of a figure, where nothing else is asked for."""
_METADATA = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}

RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    # matplotlib ships DejaVu Sans, so layout is the same on every machine. SVG text stays text, and a viewer without
    # DejaVu takes the next name: Verdana is as wide and the others narrower, so nothing that fitted starts to overlap.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    # Names come from checkpoints and captions: a dollar sign is a dollar sign.
    "text.parse_math": False,
    "font.size": 8,
    "axes.titlesize": 7.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.color": "#E2E2E2",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "figure.dpi": 250,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.h_pad": 0.04,
    "savefig.dpi": "figure",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    # Without a salt matplotlib puts random ids into each SVG, and a committed figure would differ at every run.
    "svg.hashsalt": "focuslab",
}


class Look(NamedTuple):
    """How a method is drawn: hex colour, marker (or "none"), and matplotlib's dashes."""

    color: str
    marker: str
    dashes: str | tuple


_METHODS = {name: Look(entry.color, entry.marker or "", "-") for name, entry in catalogue().items() if entry.color} | {
    "plan": Look("#5E3C99", "*", "-"),
    BOUND: Look(catalogue()[BOUND].color or "", "none", (0, (4, 2))),
}
_OTHER_COLORS = ("#56B4E9", "#8C6D31", "#5E3C99", "#4D4D4D")
_VARIANT_SHADES = (-0.35, 0.3, 0.0)
MARKERS = ("P", "h", "<", ">", "p", "d", "*", "8")
_VARIANT_DASHES = ((0, (5, 1.2)), (0, (1.5, 1)), (0, (5, 1, 1.2, 1)))

_WAYS = {
    "down_blocks": Look("#0072B2", "v", "-"),
    "mid_block": Look("#000000", "o", "-"),
    "up_blocks": Look("#D55E00", "^", (0, (4, 1.5))),
}
_PLACES = (("v", "^"), ("s", "D"), ("P", "X"), ("<", ">"))
"""Markers of the first, second, ... block down and up."""

KIND_COLORS = {
    "self_attention": "#332288",
    "cross_attention": "#AA4499",
    "feed_forward": "#44AA99",
    "resnet": "#DDCC77",
    "other": "#E8E8E8",
}
"""Kind of module -> colour, in the order of a stack from the bottom; in grey 0.18, 0.42, 0.54, 0.77, 0.91."""


@contextmanager
def style() -> Iterator[None]:
    """The rcParams of focuslab's figures while the block runs; afterwards the user's are back as they were.

    Starts from matplotlib's own defaults, so that a user's style file does not leak into a report.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches on an Agg canvas, unknown to pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def method_look(method: str) -> Look:
    """The look of a method's label. It depends on the label alone, so it is the same whatever else is shown.

    `name:parameter=value` has the hue of `name`, in another shade and with another marker and other dashes.
    """
    name, *parameters = method.split(":")
    known = _METHODS.get(name)
    look = known or Look(_pick(name, _OTHER_COLORS), _pick(name, MARKERS), "-")
    if not parameters or name == BOUND:
        return look
    number = zlib.crc32(":".join(sorted(parameters)).encode())
    marker = MARKERS[number % len(MARKERS)]
    dashes = _VARIANT_DASHES[number // 8 % len(_VARIANT_DASHES)]
    return Look(shade(look.color, _VARIANT_SHADES[number // 24 % len(_VARIANT_SHADES)]), marker, dashes)


def block_look(block: str) -> Look:
    """The look of a block of a UNet, or of a site in it; it depends on the name alone."""
    way, _, rest = block.partition(".")
    look = _WAYS.get(way) or Look(_pick(way, _OTHER_COLORS), "o", "-")
    place = int(number) if (number := rest.partition(".")[0]).isdigit() else 0
    if way == "mid_block":
        return look
    marker = _PLACES[place % len(_PLACES)][way == "up_blocks"]
    return Look(shade(look.color, (-0.4, 0.0, 0.35, 0.6)[place % 4]), marker, look.dashes)


def intensity() -> Colormap:
    """Light to dark."""
    import seaborn  # it imports pyplot and pandas, which not every figure needs

    return seaborn.color_palette("rocket_r", as_cmap=True)


def shade(color: str, amount: float) -> str:
    """A colour moved towards white (amount 0..1) or black (amount -1..0), as hex."""
    target = 1.0 if amount > 0 else 0.0
    r, g, b = (c + (target - c) * abs(amount) for c in to_rgb(color))
    return to_hex((r, g, b))


def kind_color(kind: str) -> str:
    """The colour of a kind of module; grey for one that this version does not know."""
    return KIND_COLORS.get(kind, "#BBBBBB")


def kind_label(kind: str) -> str:
    """`self_attention` -> `self-attention`."""
    return kind.replace("_", "-")


def save(
    figure: Figure, path_without_suffix: str | os.PathLike, formats: Sequence[str] = FORMATS, made: str | None = None
) -> list[Path]:
    """Write a figure as files. The same figure gives the same bytes, since no date is written.

    Parameters
    ----------
    figure : matplotlib figure
    path_without_suffix : path
        Its folder is made if need be. Each file is complete or not there.
    formats : sequence of {"svg", "png"}
    made : str, optional
        How the figure was made, which machine and versions among it. It becomes the description in the metadata.

    Returns
    -------
    list of Path
    """
    base = Path(path_without_suffix)
    base.parent.mkdir(parents=True, exist_ok=True)
    # All are drawn before any is written, so that a figure that cannot be drawn leaves the old files together.
    files = {base.with_name(f"{base.name}.{name}"): drawn(figure, name, made) for name in formats}
    for path, content in files.items():
        write_atomically(path, content)
    return list(files)


def drawn(figure: Figure, form: str, made: str | None = None, **how) -> bytes:
    """The figure as a file of the format "svg" or "png"; `how` is for matplotlib's `savefig`."""
    buffer = io.BytesIO()
    metadata = _METADATA[form] | ({"Description": made} if made else {})
    with style():
        figure.savefig(buffer, format=form, metadata=metadata, **how)
    content = buffer.getvalue()
    return smaller_svg(content.decode()).encode() if form == "svg" else smaller_png(content)


def _pick(text: str, choices: Sequence[str]) -> str:
    # zlib.crc32, not hash(): Python's hash of a string differs from one process to the next.
    return choices[zlib.crc32(text.encode()) % len(choices)]
