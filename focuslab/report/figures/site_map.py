"""The UNet as a map of its self-attention sites: how much of each stays in its own mel row, and what sparse saves."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from focuslab.report.figures.figure2 import shade_bar
from focuslab.report.figures.layout import TIMES, axes, page
from focuslab.report.figures.style import INK, intensity, save, style
from focuslab.runs.method_spec import brief
from focuslab.tables.choice import length_rows

LIFT, GAIN = "lift", "saved_share"
UNKNOWN: dict[str, Any] = {"facecolor": "white", "edgecolor": "#8C8C8C", "hatch": "////////"}
"""How a site is drawn of which nothing was recorded."""
ONE_LINE = 66
"""Characters of the blocks' names that stand side by side; with more the right one is a line higher."""
SLOWER: dict[str, Any] = {"facecolor": "white", "edgecolor": "#8C8C8C"}
"""How a site is drawn where sparse saves nothing."""


def plot_site_map(
    sites: Sequence[Mapping], of: str, ax: Axes | None = None, *, norm: Normalize | None = None, methods: bool = True
) -> Axes:
    """Every site as a square: the way down on the left, the way up on the right, fine blocks at the top.

    A site that the plan makes sparse has a thick frame and a dot.

    Parameters
    ----------
    sites : sequence of mapping
        Those of one length of a choice's summary.
    of : {"lift", "saved_share"}
        What shades them; "saved_share" is the share of a dense step that is saved there.
    ax : matplotlib axes, optional
    norm : matplotlib Normalize, optional
        The scale of shades, to share between panels.
    methods : bool
        Whether the name of a block is followed by what runs there.
    """
    blocks: dict[str, list[Mapping]] = {}
    for site in sites:
        blocks.setdefault(site["block"], []).append(site)
    places = _places(list(blocks))
    norm = norm or site_norm(sites, of)
    with axes(ax) as ax:
        down, up = (max((len(s) for b, s in blocks.items() if b.startswith(way)), default=0) for way in ("down", "up"))
        width = max(down + up + 1, *(len(s) for s in blocks.values()), 12)
        words = {block: _words(block, own, methods) for block, own in blocks.items()}
        for block, own in blocks.items():
            row = places[block]
            side_by_side = sum(len(words[other]) for other in blocks if places[other] == row)
            way = block.partition("_")[0]
            x = {"down": 0.0, "up": width - len(own)}.get(way, (width - len(own)) / 2)
            text_x, align = {"down": (x, "left"), "up": (width, "right")}.get(way, (width / 2, "center"))
            raised = 0.45 if align == "right" and side_by_side > ONE_LINE else 0.0
            y = row * 2 + 0.9 - raised
            ax.text(text_x, y, words[block], ha=align, va="bottom", fontsize=5.6, parse_math=False)
            for i, site in enumerate(own):
                _draw_site(ax, x + i, row * 2 + 1, site, site[of], norm, of)
        ax.set_xlim(-0.06, width + 0.06)
        ax.set_ylim(2 * max(places.values()) + 2.1, 0)
        ax.axis("off")
    return ax


def site_norm(sites: Sequence[Mapping], of: str) -> Normalize:
    """One scale of shades for all these sites: lifts logarithmic from chance on, shares linear from 0."""
    values = [site[of] for site in sites if site[of] is not None]
    if of == LIFT:
        return LogNorm(1.0, max([2.0, *values]), clip=True)
    return Normalize(0.0, max([1e-9, *values]), clip=True)


def site_map_figure(summary: Mapping) -> Figure:
    """The sites at every length of a choice: by lift on the left, by gain on the right.

    Raises `InputError` where the summary is none of a choice.
    """
    rows = length_rows(summary)
    every = [site for row in rows for site in row["sites"]]
    lift_norm, gain_norm = site_norm(every, LIFT), site_norm(every, GAIN)
    panels = []
    for row in rows:
        gain = f"{row['seconds']:g} s: what {brief(row['gain_method'])} would save"
        panels += [
            (f"{row['seconds']:g} s: lift", lambda ax, own=row["sites"]: plot_site_map(own, LIFT, ax, norm=lift_norm)),
            (gain, lambda ax, own=row["sites"]: plot_site_map(own, GAIN, ax, norm=gain_norm, methods=False)),
        ]
    frame: dict[str, Any] = {"marker": "s", "markersize": 6, "linestyle": "none", "color": "white"}
    handles = [
        Line2D([], [], label="sparse in the plan", markeredgecolor=INK, markeredgewidth=1.3, **frame),
        Patch(label="no time saved", linewidth=0.5, **SLOWER),
        Patch(label="not recorded", linewidth=0.5, **UNKNOWN),
    ]
    with style():
        deep = max(_places([site["block"] for site in every]).values()) + 1
        figure = page(panels, _note(rows), columns=2, height=0.3 + 0.44 * deep, handles=handles, beneath=0.4)
        maps = list(figure.axes)
        shade_bar(figure, maps[0::2], lift_norm, f"Lift [{TIMES} chance]", "min")
        _share_bar(figure, maps[1::2], gain_norm)
    return figure


def write_site_map(summary: Mapping, directory: str | os.PathLike, made: str | None = None) -> list[Path]:
    """Write DIRECTORY/site_map.svg and return its path. `made` says how, in the metadata of the file."""
    return save(site_map_figure(summary), Path(directory) / "site_map", made=made)


def _places(blocks: Sequence[str]) -> dict[str, int]:
    """Block -> how far down it is drawn; the finest of both ways at the top, the middle below all others."""
    ways = {way: sorted({b for b in blocks if b.startswith(way)}, reverse=way == "up") for way in ("down", "up")}
    places = {block: i for way in ways.values() for i, block in enumerate(way)}
    below = max(places.values(), default=-1) + 1
    return {block: places.get(block, below) for block in blocks}


def _words(block: str, own: Sequence[Mapping], methods: bool) -> str:
    rows = {site["mel_rows"] for site in own}
    words = block if None in rows else f"{block}, F = {', '.join(map(str, sorted(rows)))}"
    used = dict.fromkeys(brief(site["method"]) for site in own if site["method"])
    if not used or not methods:
        return words
    return f"{words}: {next(iter(used)) if len(used) == 1 else f'{len(used)} methods'}"


def _draw_site(ax: Axes, x: float, y: float, site: Mapping, value: float | None, norm: Normalize, of: str) -> None:
    nothing = of == GAIN and value is not None and value <= 0
    shade = UNKNOWN if value is None else SLOWER if nothing else {"edgecolor": "white"}
    if value is not None and not nothing:
        shade = {**shade, "facecolor": intensity()(norm(value))}
    ax.add_patch(Rectangle((x + 0.06, y + 0.04), 0.88, 0.92, linewidth=0.5, label=f"{site['name']}: {of}", **shade))
    if site["method"]:
        frame: dict[str, Any] = {"facecolor": "none", "edgecolor": INK, "linewidth": 1.3}
        ax.add_patch(Rectangle((x + 0.06, y + 0.04), 0.88, 0.92, label=f"{site['name']}: chosen", zorder=3, **frame))
        ax.plot(x + 0.5, y + 0.5, marker="o", markersize=2.6, color=INK, markeredgecolor="white", markeredgewidth=0.6)


def _share_bar(figure: Figure, maps: Sequence[Axes], norm: Normalize) -> None:
    shades = ScalarMappable(Normalize(0, 100 * (norm.vmax or 0.0)), intensity())
    bar = figure.colorbar(shades, ax=maps, location="bottom", shrink=0.6, aspect=30)
    bar.set_label("Saved at this site [% of a dense step]", fontsize=7)
    bar.outline.set_linewidth(0.4)


def _note(rows: Sequence[Mapping]) -> str:
    text = (
        "Squares: self-attention sites in the order of the UNet; F: number of mel rows, the most a lift can be. On the "
        "left, what the plan runs; on the right, one method at all sites."
    )
    lacking = [f"{row['seconds']:g}" for row in rows if all(site["lift"] is None for site in row["sites"])]
    return f"{text} Lift was not recorded at {', '.join(lacking)} s." if lacking else text
