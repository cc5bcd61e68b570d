"""Figure 2 of the paper: (a) where two tokens attend, (b) crops of attention maps of each block.

Shades are probability over that of uniform attention, on a logarithmic scale that all panels share.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, NullLocator

from focuslab.analysis.maps import CropMap, QueryMap, maps_of, pick, strongest_site
from focuslab.errors import InputError
from focuslab.report.figures.layout import TIMES, axes, outer_labels, small_print
from focuslab.report.figures.style import INK, PAGE_INCHES, intensity, new_figure, style
from focuslab.runs import RunInfo
from focuslab.tables.attention import at_length, attention_rows, times

SHADE_LABEL = f"Attention [{TIMES} uniform]"
TIME_LABEL, MEL_LABEL = "Time [s]", "Mel row"
COLUMNS = 3
"""Crops side by side."""
_TITLE = {"x": 0.01, "ha": "left", "fontsize": 8}


def plot_query(query: QueryMap, ax: Axes | None = None, *, head: int | None = None, norm: LogNorm | None = None):
    """(a) Attention of one token over time in seconds and mel rows, the token itself in a square.

    `head` is one head; None is the mean over all. `norm` is the scale of shades, to share between panels.
    """
    at = query.place
    with axes(ax) as ax:
        extent = (0, at.seconds, -0.5, at.mel_rows - 0.5)
        ax.imshow(_one(query, head).T, origin="lower", extent=extent, **_shades(norm, _one(query, head)))
        square: dict[str, Any] = {
            "linestyle": "none",
            "marker": "s",
            "markersize": 5.5,
            "markerfacecolor": "none",
            "clip_on": False,
        }
        # White around black can be seen on any shade.
        for color, width in (("white", 1.6), (INK, 0.8)):
            edge = square | {"markeredgecolor": color, "markeredgewidth": width}
            ax.plot([query.middle_seconds], [query.f], label="query", **edge)
        rows = sorted({0, at.mel_rows // 2, at.mel_rows - 1})
        ax.set(xlim=(0, at.seconds), yticks=rows, xlabel=TIME_LABEL, ylabel=MEL_LABEL)
        ax.spines[:].set_visible(True)
    return ax


def plot_crop(crop: CropMap, ax: Axes | None = None, *, norm: LogNorm | None = None) -> Axes:
    """(b) A crop of an attention map, mean over heads: queries down, keys to the right, both by time in seconds, which
    stands at the keys alone where both are the same tokens.

    Tokens of one time step stand together, so attention to the own mel row shows as stripes F tokens apart; the bar
    above the map is F tokens long.
    """
    at = crop.place
    with axes(ax) as ax:
        first_row, last_row, first_key, last_key = *crop.rows, *crop.keys
        extent = (first_key - 0.5, last_key + 0.5, last_row + 0.5, first_row - 0.5)
        ax.imshow(_one(crop, None), extent=extent, **_shades(norm, _one(crop, None)))
        for axis, (first, last) in ((ax.xaxis, crop.keys), (ax.yaxis, crop.rows)):
            axis.set_ticks([first - 0.5, last + 0.5])
            axis.set_major_formatter(
                FuncFormatter(lambda token, _: f"{(token + 0.5) / at.mel_rows * at.step_seconds:.2f}")
            )
        left, right = ax.get_xticklabels()
        left.set_horizontalalignment("left")
        right.set_horizontalalignment("right")
        top, bottom = ax.get_yticklabels()
        top.set_verticalalignment("top")
        bottom.set_verticalalignment("bottom")
        if crop.rows == crop.keys:
            ax.tick_params(axis="y", left=False, labelleft=False)
        above: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "color": INK}
        ax.plot([first_key - 0.5, first_key - 0.5 + at.mel_rows], [1.04, 1.04], linewidth=1.6, label="period", **above)
        ax.set(xlabel="Key [s]", ylabel="Query [s]")
        ax.spines[:].set_visible(True)
    return ax


def map_norm(maps: Sequence[np.ndarray]) -> LogNorm:
    """One scale of shades for several maps: from a quarter of uniform to what one token in 500 passes."""
    most = max(float(np.quantile(values, 0.998)) for values in maps)
    return LogNorm(0.25, max(4.0, most), clip=True)


def figure2(info: RunInfo, summary: Mapping, arrays: Mapping[str, Any]) -> Figure:
    """The paper's Figure 2 from the kept pieces of a capture, at page width.

    Shown are the first prompt, shortest length and last recorded step of which there are pieces, in the conditional
    half; (a) at the site with the highest lift that kept tokens, as the mean over heads and for its best head, and
    (b) of each block the site with the highest lift that kept a crop. Raises `InputError` where nothing was kept.
    """
    queries, crops = maps_of(info, arrays)
    if not (queries or crops):
        raise InputError("the capture kept no piece of a map: ask for queries or crops")
    sites = attention_rows(summary, "sites")
    queries, crops = (_shown(pieces) for pieces in (queries, crops))
    if queries:
        site = strongest_site(at_length(sites, queries[0].place.seconds), dict.fromkeys(q.place.site for q in queries))
        queries = pick(queries, site=site)
    crops = [crop for block in dict.fromkeys(c.place.block for c in crops) for crop in _of_block(crops, block, sites)]
    rows = {(row["seconds"], row["name"]): row for row in sites}
    panels = [(query, head) for query in queries for head in dict.fromkeys((None, _best_head(query, rows)))]
    norm = map_norm([_one(query, head) for query, head in panels] + [_one(crop, None) for crop in crops])
    with style():
        lines = -(-len(crops) // COLUMNS)
        figure = new_figure(PAGE_INCHES, 0.9 + max(0.95 * len(panels), 1.5 * lines))
        both = [kind for kind in (panels, crops) if kind]
        parts = iter(figure.subfigures(1, len(both), squeeze=False, width_ratios=(5, 6)[: len(both)]).flat)
        if panels:
            _draw_queries(next(parts), panels, norm)
        if crops:
            part = next(parts)
            shade_bar(part, _draw_crops(part, crops, rows, norm), norm, SHADE_LABEL)
        else:
            shade_bar(figure.subfigs[0], figure.axes, norm, SHADE_LABEL)
        small_print(figure, _note(queries, crops))
    return figure


def _draw_queries(part: SubFigure, panels: Sequence[tuple[QueryMap, int | None]], norm: LogNorm) -> None:
    places = part.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    part.suptitle(f"(a) Attention of single tokens, {panels[0][0].place.block}", **_TITLE)
    for ax, (query, head) in zip(places, panels, strict=True):
        plot_query(query, ax, head=head, norm=norm)
        heads = f"mean of {len(query.values)} heads" if head is None else f"head {head}"
        ax.set_title(f"token at {query.middle_seconds:.1f} s, mel row {query.f}: {heads}", fontsize=6.6)
        ax.label_outer()


def _draw_crops(part: SubFigure, crops: Sequence[CropMap], rows: Mapping, norm: LogNorm) -> list[Axes]:
    columns = min(COLUMNS, len(crops))
    places = list(part.subplots(-(-len(crops) // columns), columns, squeeze=False).flat)
    part.suptitle("(b) Crops of attention maps, by block", **_TITLE)
    for ax, crop in zip(places, crops, strict=False):
        plot_crop(crop, ax, norm=norm)
        lift = rows.get((crop.place.seconds, crop.place.site), {}).get("lift")
        said = "" if lift is None else f", lift {times(lift)}"
        ax.set_title(f"{crop.place.block}\nF = {crop.place.mel_rows}{said}", fontsize=6.6, pad=6)
        ax.set_box_aspect(1)
        ax.tick_params(labelsize=5.5)
    for ax in places[len(crops) :]:
        ax.remove()
    outer_labels(places[: len(crops)], columns)
    return places[: len(crops)]


def _shown(pieces: list) -> list:
    """The pieces of the first prompt, shortest length and last step, in the conditional half where there is one."""
    if not pieces:
        return []
    first = pieces[0].place
    own = pick(pieces, prompt=first.prompt, seconds=first.seconds)
    own = pick(own, step=max(piece.place.step for piece in own))
    return pick(own, half="conditional") or own


def _of_block(crops: Sequence[CropMap], block: str, sites: Sequence[Mapping]) -> list[CropMap]:
    own = pick(crops, block=block)
    site = strongest_site(at_length(sites, own[0].place.seconds), dict.fromkeys(crop.place.site for crop in own))
    return pick(own, site=site)[:1]


def _best_head(query: QueryMap, rows: Mapping) -> int | None:
    """The head with the highest lift of the site."""
    best = rows.get((query.place.seconds, query.place.site), {}).get("best_head")
    return best and best["head"]


def _note(queries: Sequence[QueryMap], crops: Sequence[CropMap]) -> str:
    at = (queries[0] if queries else crops[0]).place
    parts = [f"Prompt {at.prompt + 1}, {at.seconds:g} s, step {at.step}, {at.half} half of the guidance batch."]
    if queries:
        parts.append("(a) The site with the highest lift; the token is in the square.")
    if crops:
        parts.append(
            "(b) The site with the highest lift of each block, mean over heads; the bar above is F tokens long."
        )
    return " ".join(parts)


def shade_bar(
    figure: Figure | SubFigure, places: Sequence[Axes], norm: Normalize, label: str, extend: str = "both"
) -> None:
    """A horizontal bar of shades beneath axes, with ticks at powers of two, every other one where they are many."""
    how: dict[str, Any] = {"location": "bottom", "shrink": 0.6, "aspect": 30, "extend": extend, "extendfrac": 0.03}
    bar = figure.colorbar(ScalarMappable(norm, intensity()), ax=places, **how)
    least, most = norm.vmin or 0.0, norm.vmax or 0.0
    powers = [2.0**i for i in range(-6, 16) if least <= 2.0**i <= most]
    axis = bar.ax.xaxis
    axis.set_ticks(powers[powers.index(1.0) % 2 :: 2] if len(powers) > 7 else powers)
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
    bar.set_label(label, fontsize=7)
    bar.outline.set_linewidth(0.4)


def _one(piece: QueryMap | CropMap, head: int | None) -> np.ndarray:
    return piece.values.mean(axis=0) if head is None else piece.values[head]


def _shades(norm: LogNorm | None, values: np.ndarray) -> dict[str, Any]:
    """How a map is drawn, on this scale or on one of its own."""
    return {"aspect": "auto", "interpolation": "nearest", "cmap": intensity(), "norm": norm or map_norm([values])}
