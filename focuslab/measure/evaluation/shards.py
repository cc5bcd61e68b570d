"""Embeddings on disk: written a few items to a file, read one by one, never held."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from focuslab.errors import FocuslabError
from focuslab.runs.arrays import write_arrays

ITEMS = 64
"""Items in a shard: it is written anew with each of them, so that an item is on disk as soon as it is made."""
_OPEN = 256
"""Shards that are open at a time: neighbouring items are of different processes, and so in as many shards."""
_ENDS = "{kind}.ends"
"""Name of the array that holds, for each item of a shard, the row after its last one."""


def stack_items(items: Mapping[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of a shard, from the rows `[windows, dimension]` of each of its items, by kind."""
    ends = {_ENDS.format(kind=kind): np.cumsum([len(rows) for rows in of]) for kind, of in items.items()}
    return {kind: np.concatenate(of) for kind, of in items.items()} | ends


class ShardWriter:
    """Shards of one process. A new one is begun by every process, so that none ever changes what another has made."""

    def __init__(self, folder: Path, rank: int):
        self._folder = folder
        self._rank = rank
        self._number = 1 + max(
            (int(p.stem.split("-")[2]) for p in folder.glob(f"rank-{rank}-*.safetensors")), default=-1
        )
        self._items: dict[str, list[np.ndarray]] = {}
        self._count = 0

    def add(self, arrays: Mapping[str, np.ndarray]) -> tuple[str, int]:
        """Put an item's arrays on disk; the shard that holds them, and their place in it."""
        if self._count == ITEMS:
            self._items, self._count, self._number = {}, 0, self._number + 1
        for kind, array in arrays.items():
            self._items.setdefault(kind, []).append(array)
        self._count += 1
        name = f"rank-{self._rank}-{self._number:06d}"
        write_arrays(self._folder / f"{name}.safetensors", stack_items(self._items))
        return name, self._count - 1


class ShardReader:
    """What `ShardWriter`s have written."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._opened = lru_cache(maxsize=_OPEN)(self._open)

    def names(self) -> set[str]:
        """The shards that are there."""
        return {path.stem for path in self._folder.glob("*.safetensors")}

    def read(self, shard: str, place: int, kind: str) -> np.ndarray:
        """The rows of one item, float32. Raises `FocuslabError` naming the file where it is damaged."""
        from safetensors import SafetensorError

        try:
            file = self._opened(shard)
            ends = file.get_tensor(_ENDS.format(kind=kind))
            rows = file.get_slice(kind)[int(ends[place - 1]) if place else 0 : int(ends[place])]
        except (OSError, IndexError, SafetensorError) as error:
            path = self._folder / f"{shard}.safetensors"
            reason = str(error).splitlines()[0]
            raise FocuslabError(
                f"{path} cannot be read ({reason}): remove it, and the same command makes it anew"
            ) from None
        return rows.astype(np.float32, copy=False)

    def _open(self, shard: str):
        from safetensors import safe_open

        return safe_open(self._folder / f"{shard}.safetensors", framework="numpy")
