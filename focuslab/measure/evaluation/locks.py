"""Files that one process at a time holds, and that are there only while they are held or hold something."""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from focuslab.io.files import lock, open_to_change


def acquire(path: Path, *, wait: bool) -> BinaryIO | None:
    """Lock a file, making it and its folder where they are not there; None where another process holds it.

    Raises `OSError` where it is a link or no file.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(open_to_change(path), "r+b")
        except FileNotFoundError:
            continue  # another process has removed the folder since
        if not lock(file.fileno(), wait=wait):
            file.close()
            return None
        if _is_at(file, path):
            return file
        # Whoever held it before has removed or replaced it: nobody else would find this one locked.
        file.close()


def release(file: BinaryIO | None, path: Path) -> None:
    """Let go of what `acquire` gave for this path; the file and its folder are removed where they are empty."""
    if file is None:
        return
    with file, suppress(OSError):
        if _is_at(file, path) and not os.fstat(file.fileno()).st_size:
            path.unlink()
        path.parent.rmdir()


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False
