"""Locks of the system on files and directories, which end with the process that holds them."""

import os
import weakref
from pathlib import Path

from focuslab.errors import InputError


def lock(descriptor: int, *, wait: bool = False, shared: bool = False) -> bool:
    """Lock what is open for as long as it is open: whether no other process keeps it from that.

    The system lets go of it when the process ends, however it does. Where there are no such locks, as on Windows and
    some network file systems, that passes for locked.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


class DirectoryLock:
    """A directory in the hands of one process, to use in a `with`; no file is left behind.

    shared: let in others that share it too. Raises `InputError` where another process, or another part of this one, is
    at work there.
    """

    def __init__(self, directory: Path, *, shared: bool = False):
        # Windows opens no directories.
        descriptor = os.open(directory, os.O_RDONLY) if os.name == "posix" else None
        self._close = weakref.finalize(self, os.close, descriptor) if descriptor is not None else lambda: None
        if descriptor is not None and not lock(descriptor, shared=shared):
            self.release()
            raise InputError(f"another process is at work in {directory}: wait for it, or give another --out")

    def release(self) -> None:
        self._close()

    def __enter__(self) -> "DirectoryLock":
        return self

    def __exit__(self, *_exception) -> None:
        self.release()
