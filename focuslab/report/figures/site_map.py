"""The UNet as a map of its self-attention sites: how much of each stays in its own mel row, and what sparse saves."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from focuslab.report.figures.figure2 import shade_bar
from focuslab.report.figures.layout import LEGEND, TIMES, axes, draw_footnote, footnote, panel_title, place
from focuslab.report.figures.style import INK, PAGE_INCHES, intensity, new_figure, save, style
from focuslab.runs.method_spec import brief
from focuslab.tables.choice import length_rows

LIFT, GAIN = "lift", "saved_share"
UNKNOWN = {"facecolor": "white", "edgecolor": "#8C8C8C", "hatch": "////////"}
"""How a site is drawn of which nothing was recorded."""
ONE_LINE = 66
"""Characters of the blocks' names that stand side by side; with more the right one is a line higher."""
SLOWER = {"facecolor": "white", "edgecolor": "#8C8C8C"}
"""How a site is drawn where sparse saves nothing."""


def plot_site_map(
    sites: Sequence[Mapping], of: str, ax: Axes | None = None, *, norm: Normalize | None = None, methods: bool = True
) -> Axes:
    """Every site as a square, shaded by `of`: "lift", or "saved_share", the share of a dense step that is saved there.

    sites: those of one length of a choice's summary. The way down is on the left, the way up on the right, the middle
    beneath; fine blocks are at the top. A site that the plan makes sparse has a thick frame and a dot; with `methods`
    its block's name is followed by what runs there. norm: the scale of shades, to share between panels.
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


def site_map_figure(summary: Mapping, caption: str | None = None) -> Figure:
    """At page width, for every length of a choice's summary: the sites by lift on the left, by gain on the right.

    `caption` says how it was made. Raises `InputError` where the summary is none of a choice.
    """
    rows = length_rows(summary)
    every = [site for row in rows for site in row["sites"]]
    lift_norm, gain_norm = site_norm(every, LIFT), site_norm(every, GAIN)
    with style():
        notes, note_height = footnote([_said(rows), *(caption or "").splitlines()])
        deep = max(_places([site["block"] for site in every]).values()) + 1
        top, panel = 0.56, 0.44 * deep
        bar_top = top + len(rows) * (panel + 0.3) - 0.02
        note_top = bar_top + 0.5
        figure = new_figure(PAGE_INCHES, note_top + note_height)
        height = figure.get_size_inches()[1]
        width = (PAGE_INCHES - 0.3) / 2
        left, right = 0.06, PAGE_INCHES / 2 + 0.09
        for i, row in enumerate(rows):
            y = top + i * (panel + 0.3)
            words = f"{row['seconds']:g} s: lift"
            gain = f"{row['seconds']:g} s: what {brief(row['gain_method'])} would save"
            panel_title(figure, f"({chr(97 + 2 * i)})", words, left, y - 0.16)
            panel_title(figure, f"({chr(98 + 2 * i)})", gain, right, y - 0.16)
            plot_site_map(row["sites"], LIFT, place(figure, left, y, width, panel), norm=lift_norm)
            plot_site_map(row["sites"], GAIN, place(figure, right, y, width, panel), norm=gain_norm, methods=False)
        shade_bar(figure, place(figure, left + 0.5, bar_top, 2.3, 0.09), lift_norm, f"Lift [{TIMES} chance]", "min")
        _share_bar(figure, place(figure, right + 0.5, bar_top, 2.3, 0.09), gain_norm)
        handles = [
            Line2D([], [], label="sparse in the plan", **_chosen_marker()),
            Patch(label="no time saved", linewidth=0.5, **SLOWER),
            Patch(label="not recorded", linewidth=0.5, **UNKNOWN),
        ]
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0.01, 1 - 0.06 / height), ncols=len(handles), **LEGEND
        )
        draw_footnote(figure, notes, note_top)
    return figure


def write_site_map(summary: Mapping, directory: str | os.PathLike, caption: str | None = None) -> list[Path]:
    """Write DIRECTORY/site_map.svg and return its path."""
    return save(site_map_figure(summary, caption), Path(directory) / "site_map")


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
        frame = {"facecolor": "none", "edgecolor": INK, "linewidth": 1.3}
        ax.add_patch(Rectangle((x + 0.06, y + 0.04), 0.88, 0.92, label=f"{site['name']}: chosen", zorder=3, **frame))
        ax.plot(x + 0.5, y + 0.5, marker="o", markersize=2.6, color=INK, markeredgecolor="white", markeredgewidth=0.6)


def _chosen_marker() -> dict:
    return {"marker": "s", "markersize": 6, "linestyle": "none", "color": "white", "markeredgecolor": INK} | {
        "markeredgewidth": 1.3
    }


def _share_bar(figure: Figure, cax: Axes, norm: Normalize) -> None:
    bar = figure.colorbar(ScalarMappable(Normalize(0, 100 * norm.vmax), intensity()), cax=cax, orientation="horizontal")
    bar.set_label("Saved at this site [% of a dense step]", fontsize=7, labelpad=1)
    bar.outline.set_linewidth(0.4)


def _said(rows: Sequence[Mapping]) -> str:
    text = (
        "Squares: self-attention sites in the order in which the UNet runs them; F: number of mel rows, which is the "
        "most a lift can be. Gain: one method at all sites, so that sites can be compared; what the plan runs where is "
        "written beside the block's name on the left."
    )
    lacking = [f"{row['seconds']:g}" for row in rows if all(site["lift"] is None for site in row["sites"])]
    return f"{text} Lift was not recorded at {', '.join(lacking)} s." if lacking else text
