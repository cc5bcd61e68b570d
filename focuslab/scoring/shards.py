"""Embeddings on disk: written a few items to a file, read one by one, never held."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from focuslab.errors import FocuslabError
from focuslab.store import write_arrays

ITEMS = 64
"""Items in a shard: it is written anew with each of them, so that an item is on disk as soon as it is made."""
_OPEN = 256
"""Shards that are open at a time: neighbouring items are of different processes, and so in as many shards."""


class ShardWriter:
    """Shards of one process. A new one is begun by every process, so that none ever changes what another has made."""

    def __init__(self, folder: Path, rank: int):
        self._folder = folder
        self._rank = rank
        self._number = 1 + max(
            (int(p.stem.split("-")[2]) for p in folder.glob(f"rank-{rank}-*.safetensors")), default=-1
        )
        self._arrays: dict[str, np.ndarray] = {}
        self._items = 0

    def add(self, item: str, arrays: Mapping[str, np.ndarray]) -> str:
        """Put an item's arrays on disk; the name of the shard that holds them."""
        if self._items == ITEMS:
            self._arrays, self._items, self._number = {}, 0, self._number + 1
        self._arrays |= {f"{kind}/{item}": array for kind, array in arrays.items()}
        self._items += 1
        name = f"rank-{self._rank}-{self._number:06d}"
        write_arrays(self._folder / f"{name}.safetensors", self._arrays)
        return name


class ShardReader:
    """What `ShardWriter`s have written."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._opened = lru_cache(maxsize=_OPEN)(self._open)

    def names(self) -> set[str]:
        """The shards that are there."""
        return {path.stem for path in self._folder.glob("*.safetensors")}

    def read(self, shard: str, kind: str, item: str) -> np.ndarray:
        """Raises `FocuslabError` naming the file where it is damaged."""
        from safetensors import SafetensorError

        try:
            return self._opened(shard).get_tensor(f"{kind}/{item}")
        except (OSError, SafetensorError) as error:
            path = self._folder / f"{shard}.safetensors"
            reason = str(error).splitlines()[0]
            raise FocuslabError(
                f"{path} cannot be read ({reason}): remove it, and the same command makes it anew"
            ) from None

    def _open(self, shard: str):
        from safetensors import safe_open

        return safe_open(self._folder / f"{shard}.safetensors", framework="numpy")
