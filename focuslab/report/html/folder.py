"""A directory that somebody else may have written: nothing outside of it is read, whatever its files and names say."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from focuslab.errors import InputError
from focuslab.io.files import MOST_BYTES, read_bytes
from focuslab.io.json_text import Room, parse_json

MOST_JSON = 2**30
"""Bytes of memory that all JSON of a page may take, one file after another; what comes after is a gap."""
_ENTRIES = 20_000
# On Windows a backslash divides a path, and what stands before a colon is a drive or a file with streams of its own.
_DIVIDERS, _NOT_IN_NAMES = (r"[/\\]", frozenset("\0:")) if os.name == "nt" else ("/", frozenset("\0"))
_UNSHOWN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Folder:
    """Access to what lies in `root`, by names relative to it. `root` itself may be a link, nothing inside may.

    room: for JSON, shared by all that lies in here.

    Every method raises `InputError` that names the file and says what is wrong with it.
    """

    def __init__(self, root: str | Path, room: Room | None = None):
        self.root = Path(root)
        self.shown = clean_text(str(root))
        self.room = room or Room(MOST_JSON)

    def name(self, relative: str) -> str:
        """What a file is called in messages."""
        return clean_text(f"{self.shown}/{relative}")

    def has(self, relative: str) -> bool:
        """Whether there is something of this name, a link that is refused when read included."""
        return os.path.lexists(self.root / relative)

    def read(self, relative: str, most: int = MOST_BYTES) -> bytes:
        """The content of a regular file of at most so many bytes."""
        return read_bytes(self._inside(relative), "it among the files of a run", most=most)

    def read_json(self, relative: str, most: int = MOST_BYTES) -> Any:
        return parse_clean_json(self.read(relative, most), self.name(relative), self.room)

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
        return Folder(self.root / name, self.room)

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


def parse_clean_json(content: bytes, source: str, room: Room | None = None) -> Any:
    """JSON with text that can be shown."""
    return _cleaned(parse_json(content, source, room))


def clean_text(text: str) -> str:
    """The text without what no HTML may hold: control characters and halves of characters become U+FFFD."""
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): _cleaned(item) for key, item in value.items()}
    return value
