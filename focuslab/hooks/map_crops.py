"""Exact pieces of attention maps that are kept whole: the attention of chosen tokens, and crops."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from focuslab.attention.grid import Grid
from focuslab.checks import several, whole
from focuslab.errors import InputError
from focuslab.models.sites import Site, select_sites


@dataclass(frozen=True)
class MapCrop:
    """Attention of the queries `rows` on the keys `keys` (token ranges) of one site, kept as `[H, *shape]`.

    kind: "query" or "crop". label: what was asked for, "t:f" or the first and last token.
    """

    kind: str
    label: str
    rows: range
    keys: range
    shape: tuple[int, int]

    def bytes_for(self, site: Site) -> int:
        """Bytes of one piece in float32: one half of the guidance batch at one step."""
        return 4 * site.heads * self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class Crop:
    """A crop of the maps of the sites that `site` names: queries first..last against the keys of the same tokens, or
    of `keys` (first, last). Token n is time step n // F and mel row n % F."""

    site: str
    rows: tuple[int, int]
    keys: tuple[int, int]

    def __str__(self) -> str:
        rows, keys = ("-".join(map(str, tokens)) for tokens in (self.rows, self.keys))
        return f"{self.site}:{rows}" if rows == keys else f"{self.site}:{rows}:{keys}"


def parse_query(query: str | Sequence[int]) -> tuple[int, int]:
    """A token `(t, f)` from "t:f", or from the pair itself. Raises `InputError` for anything else."""
    if isinstance(query, str) and re.fullmatch(r"\d+:\d+", query.strip()):
        t, f = map(int, query.split(":"))
        return t, f
    pair = () if isinstance(query, str) else several(query)
    if len(pair) != 2:
        raise InputError(f"a query is a time step and a mel row such as 40:3, not {query!r}")
    return whole("the time step of a query", pair[0]), whole("the mel row of a query", pair[1])


def parse_queries(queries: Iterable[str | Sequence[int]] | str) -> list[tuple[int, int]]:
    """Tokens `(t, f)` from several queries or one, which may be a pair of numbers. Raises `InputError`."""
    given = several(queries)
    is_pair = len(given) == 2 and not any(isinstance(part, (str, Iterable)) for part in given)
    return [parse_query(query) for query in ([given] if is_pair else given)]


def parse_crop(text: "str | Crop") -> Crop:
    """A crop from "SITE:first-last" or "SITE:first-last:first-last" (queries, keys). Raises `InputError`."""
    if isinstance(text, Crop):
        return text
    found = re.fullmatch(r"([^:]+):(\d+)-(\d+)(?::(\d+)-(\d+))?", str(text).strip())
    if not found:
        raise InputError(
            f"a crop is SITE:first-last, queries and keys first to last, or SITE:first-last:first-last with the keys "
            f"apart, not {text!r}"
        )
    site, *numbers = found.groups()
    rows = int(numbers[0]), int(numbers[1])
    keys = rows if numbers[2] is None else (int(numbers[2]), int(numbers[3]))
    return Crop(site, rows, keys)


def map_crops_at(
    sites: Sequence[Site], grids: dict[str, Grid], queries: Sequence[tuple[int, int]], crops: Sequence[Crop]
) -> dict[str, list[MapCrop]]:
    """What is kept of each site, by name, where the sites have these grids.

    A query is a token of the finest grid there is, and kept at the sites that have it: a coarser grid has no token that
    is that one. Raises `InputError` naming the grid for a token outside of it.
    """
    pieces: dict[str, list[MapCrop]] = {site.name: [] for site in sites}
    finest = max((grids[site.name] for site in sites), key=lambda grid: grid.tokens)
    for t, f in queries:
        token = finest.token(t, f)
        for site in sites:
            if grids[site.name] == finest:
                shape = finest.time, finest.mel_rows
                piece = MapCrop("query", f"{t}:{f}", range(token, token + 1), range(finest.tokens), shape)
                pieces[site.name].append(piece)
    for crop in crops:
        for site in select_sites(sites, crop.site):
            rows, keys = (_tokens(tokens, grids[site.name], site, crop) for tokens in (crop.rows, crop.keys))
            label = str(crop).partition(":")[2]
            pieces[site.name].append(MapCrop("crop", label, rows, keys, (len(rows), len(keys))))
    return pieces


def _tokens(first_and_last: tuple[int, int], grid: Grid, site: Site, crop: Crop) -> range:
    first, last = first_and_last
    if not 0 <= first <= last < grid.tokens:
        raise InputError(
            f"crop {crop} is outside the map of {site.name}: its grid of {grid.time} time steps x {grid.mel_rows} mel "
            f"rows has tokens 0 to {grid.tokens - 1}"
        )
    return range(first, last + 1)
