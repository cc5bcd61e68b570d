"""A directory that somebody else may have written: nothing outside of it is read, whatever its files and names say."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from focuslab.errors import InputError
from focuslab.io.files import MOST_BYTES, read_bytes
from focuslab.io.json_text import Room, parse_json

_ENTRIES = 20_000
# On Windows a backslash divides a path, and what stands before a colon is a drive or a file with streams of its own.
_DIVIDERS, _NOT_IN_NAMES = (r"[/\\]", frozenset("\0:")) if os.name == "nt" else ("/", frozenset("\0"))
_UNSHOWN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@contextmanager
def or_gap(gaps: list[str] | None) -> Iterator[None]:
    """Take note of an `InputError` in `gaps`, where there are any, and go on."""
    try:
        yield
    except InputError as error:
        if gaps is None:
            raise
        gaps.append(str(error))


class Folder:
    """Access to what lies in a directory, by names relative to it.

    Every method raises `InputError` that names the file and says what is wrong with it.

    Parameters
    ----------
    root : str or Path
        The directory. It may be a link itself, and nothing inside may.
    room : Room, optional
        What all JSON in here may take together. By default every file has the same room for itself.
    """

    def __init__(self, root: str | Path, room: Room | None = None):
        self.root = Path(root)
        self.shown = clean_text(str(root))
        self._room = room

    @property
    def room(self) -> Room:
        """What the next file may take."""
        return self._room or Room()

    def name(self, relative: str) -> str:
        """What a file is called in messages."""
        return clean_text(f"{self.shown}/{relative}")

    def has(self, relative: str) -> bool:
        """Whether there is something of this name, a link that is refused when read included."""
        return os.path.lexists(self.root / relative)

    def read(self, relative: str, most: int = MOST_BYTES) -> bytes:
        """The content of a regular file of at most so many bytes."""
        return read_bytes(self._inside(relative), most=most)

    def read_json(self, relative: str, most: int = MOST_BYTES) -> Any:
        return parse_json(self.read(relative, most), self.name(relative), self.room)

    def entries(self) -> Iterator[tuple[str, bool]]:
        """(name, whether it is a directory) of what lies in here, sorted; links and hidden names are left out."""
        try:
            with os.scandir(self.root) as found:
                some = [e for e, _ in zip(found, range(_ENTRIES), strict=False)]
                rows = [(e.name, e.is_dir(follow_symlinks=False)) for e in some if not e.is_symlink()]
        except OSError as error:
            raise InputError(f"{self.shown} cannot be read ({error.strerror})") from None
        yield from sorted(row for row in rows if not row[0].startswith("."))

    def within(self, name: str) -> "Folder":
        self._inside(name)
        return Folder(self.root / name, self._room)

    def _inside(self, relative: str) -> Path:
        path = self.root
        parts = re.split(_DIVIDERS, relative)
        if any(part in ("", ".", "..") or _NOT_IN_NAMES.intersection(part) for part in parts):
            raise InputError(f"{clean_text(relative)!r} is no name inside of {self.shown}: not read")
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise InputError(f"{self.name(relative)} is or lies behind a link: links are not followed")
        return path


def clean_text(text: str) -> str:
    """The text without what no HTML may hold: control characters and halves of characters become U+FFFD."""
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text)


def cleaned(value: Any) -> Any:
    """JSON with text that can be shown."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): cleaned(item) for key, item in value.items()}
    return value
