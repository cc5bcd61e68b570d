"""The exact pieces of attention maps that a capture kept: the attention of single tokens, and crops."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from focuslab.errors import InputError
from focuslab.runs import RunInfo


@dataclass(frozen=True)
class Place:
    """Where in a capture a piece is from, and the grid there."""

    prompt: int
    seconds: float
    step: int
    half: str
    site: str
    block: str
    time: int
    mel_rows: int

    @property
    def step_seconds(self) -> float:
        """Audio in one time step of the grid."""
        return self.seconds / self.time


@dataclass(frozen=True)
class QueryMap:
    """Attention of the token (t, f): probability times the number of tokens as `[H, T, F]`, 1 where uniform."""

    place: Place
    t: int
    f: int
    values: np.ndarray

    @property
    def middle_seconds(self) -> float:
        """Where on the time axis the token is."""
        return (self.t + 0.5) * self.place.step_seconds


@dataclass(frozen=True)
class CropMap:
    """Attention of the tokens `rows` to the tokens `keys` (first, last): as `[H, rows, keys]`, 1 where uniform."""

    place: Place
    rows: tuple[int, int]
    keys: tuple[int, int]
    values: np.ndarray


def maps_of(info: RunInfo, arrays: Mapping[str, Any]) -> tuple[list[QueryMap], list[CropMap]]:
    """All pieces of a capture, in the order of prompts, lengths, steps, halves, the UNet and tokens.

    Raises `InputError` for a name that is none of a piece.
    """
    blocks = {site["name"]: (i, site["block"]) for i, site in enumerate(info.parameters["sites"])}
    queries, crops = [], []
    for name, array in arrays.items():
        try:
            kind, prompt, seconds, step, half, site, label = name.split("/")
            grid = info.grids[seconds][site]
            place = Place(int(prompt), float(seconds), int(step), half, site, blocks[site][1], *grid)
            values = np.asarray(array, dtype=float) * place.time * place.mel_rows
            if kind == "query":
                t, f = map(int, label.split(":"))
                queries.append(QueryMap(place, t, f, values))
            elif kind == "crop":
                rows, _, keys = label.partition(":")
                crops.append(CropMap(place, _range(rows), _range(keys or rows), values))
            else:
                raise ValueError
        except (ValueError, KeyError):
            raise InputError(f"an array of the capture is named {name!r}: expected a query or a crop of it") from None

    def order(piece: QueryMap | CropMap):
        p = piece.place
        token = (piece.t, piece.f) if isinstance(piece, QueryMap) else (*piece.rows, *piece.keys)
        return p.prompt, p.seconds, p.step, p.half, blocks[p.site][0], token

    return sorted(queries, key=order), sorted(crops, key=order)


def pick(pieces: Iterable[Any], **wanted: Any) -> list[Any]:
    """The pieces whose place has these values: `pick(crops, half="conditional", step=10)`."""
    return [piece for piece in pieces if all(getattr(piece.place, key) == value for key, value in wanted.items())]


def strongest_site(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> str:
    """Of the named sites the one with the highest lift, by rows of a summary; the first one where none has any."""
    names = list(names)
    lifts = {row["name"]: row["lift"] for row in rows if row["lift"] is not None}
    return max(names, key=lambda name: lifts.get(name, -1.0))


def _range(text: str) -> tuple[int, int]:
    first, last = text.split("-")
    return int(first), int(last)
