"""Share of each kind of module in a step: of measured time, and beside it of FLOPs."""

from collections.abc import Iterable, Mapping

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from focuslab.errors import InputError
from focuslab.report.figures.layout import LENGTH_LABEL, axes, legend_above
from focuslab.report.figures.style import KIND_COLORS, QUIET_INK, kind_color, kind_label, shade
from focuslab.tables.profile import checked_rows, methods_of

SHARE_LABEL = "Share of a step [%]"
MEASURED = "time, measured (left bar)"
THEORETICAL = "FLOPs, theoretical (right bar)"

_BAR = 0.4


def plot_kind_share(rows: Iterable[Mapping], method: str, ax: Axes | None = None, *, legend: bool = True) -> Axes:
    """(b) Share of each kind of module in percent, stacked, against audio length, for one method.

    Two bars a length: the share of measured time, and hatched and paler the theoretical share of FLOPs. Where a share
    was not measured its place is left empty and says so. `legend` puts one above the axes.
    """
    rows = checked_rows(rows)
    own = [row for row in rows if row["method"] == method]
    if not own:
        raise InputError(f"the profile has no row of {method!r}, only of {', '.join(methods_of(rows))}")
    with axes(ax) as ax:
        kinds = _kinds(own)
        lengths = sorted({row["seconds"] for row in rows})
        at = {row["seconds"]: row for row in own}
        for key, shift, hatched in (("kind_share", -_BAR / 2, False), ("kind_flop_share", _BAR / 2, True)):
            shares = {i: at[s][key] for i, s in enumerate(lengths) if s in at and at[s].get(key)}
            below = [0.0] * len(shares)
            for kind in kinds:
                part = [100 * share.get(kind, 0.0) for share in shares.values()]
                places = [i + shift for i in shares]
                ax.bar(places, part, _BAR, bottom=below, label=f"{key}: {kind}", **_bar(kind_color(kind), hatched))
                below = [b + p for b, p in zip(below, part, strict=True)]
            for i, length in enumerate(lengths):
                if length in at and i not in shares:
                    _say(ax, i + shift, "not counted" if hatched else "not measured")
        # Every length has its place in every method's panel, so that panels can be read across.
        for i, length in enumerate(lengths):
            if length not in at:
                _say(ax, i, "not measured")
        ax.set_xticks(range(len(lengths)), [f"{length:g}" for length in lengths])
        side = 0.55 + max(0, 3 - len(lengths)) / 2  # the bars of one length are not as wide as the panel
        ax.set(xlim=(-side, len(lengths) - 1 + side), ylim=(0, 100), yticks=range(0, 101, 25))
        ax.set(xlabel=LENGTH_LABEL, ylabel=SHARE_LABEL)
        ax.tick_params(axis="x", length=0)
        if legend:
            legend_above(ax, kind_handles(own), ncols=2, handlelength=1.0)
    return ax


def _kinds(rows: Iterable[Mapping]) -> list[str]:
    """The known kinds in the order of the stack, then any that this version does not know."""
    there = {kind for row in rows for key in ("kind_share", "kind_flop_share") for kind in row.get(key) or {}}
    return list(KIND_COLORS) + sorted(there - set(KIND_COLORS))


def kind_handles(rows: Iterable[Mapping]) -> list[Patch]:
    """Handles of a legend of the kinds in these rows."""
    handles = [Patch(**_bar(kind_color(kind), False), label=kind_label(kind)) for kind in _kinds(rows)]
    grey = "#7F7F7F"
    return [*handles, Patch(**_bar(grey, False), label=MEASURED), Patch(**_bar(grey, True), label=THEORETICAL)]


def _bar(color: str, hatched: bool) -> dict:
    if hatched:
        return {"facecolor": shade(color, 0.6), "hatch": "//////", "edgecolor": shade(color, -0.15), "linewidth": 0.3}
    return {"facecolor": color, "edgecolor": "white", "linewidth": 0.3}


def _say(ax: Axes, x: float, words: str) -> None:
    ax.text(x, 50, words, rotation=90, ha="center", va="center", color=QUIET_INK, fontsize="small")
