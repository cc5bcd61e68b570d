"""Embeddings on disk: a few items to a file, which holds for each kind one array of all rows."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from focuslab.errors import FocuslabError
from focuslab.runs.arrays import write_arrays

ITEMS = 64
"""Items in a shard: it is written anew with each of them, so that an item is on disk as soon as it is made."""
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

    def names(self) -> set[str]:
        """The shards that are there."""
        return {path.stem for path in self._folder.glob("*.safetensors")}

    def read(self, places: Iterable[tuple[str, int]], kind: str) -> list[np.ndarray]:
        """The rows of several items, float32 `[windows, dimension]` each.

        Parameters
        ----------
        places : iterable of (str, int)
            Shard of each item, and its place in it.
        kind : str
            Name of the embedder.

        Raises
        ------
        FocuslabError
            A file is missing or damaged; it is named.
        """
        places = list(places)
        found = {shard: self._items(shard, kind) for shard in dict.fromkeys(shard for shard, _ in places)}
        return [found[shard][place] for shard, place in places]

    def _items(self, shard: str, kind: str) -> list[np.ndarray]:
        from safetensors import SafetensorError, safe_open

        path = self._folder / f"{shard}.safetensors"
        try:
            with safe_open(path, framework="numpy") as file:
                rows, ends = file.get_tensor(kind), file.get_tensor(_ENDS.format(kind=kind))
        except (OSError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise FocuslabError(
                f"{path} cannot be read ({reason}): remove it, and the same command makes it anew"
            ) from None
        return np.split(rows.astype(np.float32, copy=False), ends[:-1])
