"""Reading and writing of single files, safe where somebody else may have put something else in their place."""

import os
import secrets
import stat
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from focuslab.errors import FocuslabError, InputError
from focuslab.io.locks import lock

PARTIAL = ".partial-"
"""How the names of files begin that are being written; what a kill leaves of them is never read."""
MOST_BYTES = 2**28
"""Of one file that is read as a whole; a larger one is refused before it is read."""
_NAME_BYTES = 255
"""The longest name that the usual file systems hold, where the system does not say."""
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_WRITE = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_regular(path: Path, *, links: bool = True) -> int:
    """A descriptor to read a regular file; opening never waits, as it would for a pipe that nobody writes to.

    links: whether `path` may be a symbolic link to such a file. Raises `OSError`, and `InputError` for a directory, a
    pipe or a device.
    """
    descriptor = os.open(path, _READ | (0 if links else _NO_LINK))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise InputError(f"{path} is no regular file: it is not read")


def read_bytes(
    path: Path, expected: str = "a run directory of focuslab", *, most: int = MOST_BYTES, links: bool = False
) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises `InputError` naming the file, and what was `expected`, where it is missing, something else, larger, or a
    symbolic link that `links` does not allow.
    """
    try:
        with open(open_regular(path, links=links), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise InputError(f"{path} has {size} bytes: expected at most {most}")
            return file.read(most)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: expected {expected}") from None
    except OSError as error:
        reason = "it is a link, which is not followed" if path.is_symlink() and not links else error.strerror
        raise InputError(f"{path} cannot be read ({reason})") from None


def checksum(path: Path) -> int:
    """The CRC-32 of the bytes of a regular file of any size. Raises `OSError`."""
    value = 0
    with open(open_regular(path), "rb") as file:
        while block := file.read(2**20):
            value = zlib.crc32(block, value)
    return value


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is seen either as it was or whole, also after a crash.

    A link at `path` is replaced; what it points to stays as it is.
    """
    write_together({path: content})


def write_file(path: Path, content: bytes) -> None:
    """`write_atomically`, in a folder that is made where there is none. Raises `FocuslabError` naming the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise failed(path, error) from None


def write_new(contents: Mapping[Path, bytes], *, force: bool) -> None:
    """`write_together`, in a folder that is made where there is none.

    Raises `InputError` where a file is there already, unless `force`, and `FocuslabError` where one cannot be written.
    """
    first = next(iter(contents))
    try:
        first.parent.mkdir(parents=True, exist_ok=True)
        write_together(contents, replace=force)
    except FileExistsError as error:
        raise already_there(error.filename2 or error.filename) from None
    except OSError as error:
        raise failed(first, error) from None


def write_together(contents: Mapping[Path, bytes], *, replace: bool = True) -> None:
    """Write all of these files, or none where one cannot be written; each is whole as soon as it is seen.

    A kill in between leaves the first file with the others that belong to it, or not at all. Raises `OSError`; without
    `replace`, `FileExistsError` where a file is there already.
    """
    partials: dict[Path, Path] = {}
    written: list[Path] = []
    try:
        for path, content in contents.items():
            partials[path] = _write_new(path.parent, content)
        if replace:
            _replace_together(partials)
        else:
            for path in reversed(partials):
                _link(partials[path], path)
                written.append(path)
    except BaseException:
        for path in reversed(written):
            path.unlink(missing_ok=True)
        raise
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)


def _replace_together(partials: dict[Path, Path]) -> None:
    """Put files in the place of others, so that what is there at any moment is of one writer."""
    first, *rest = partials
    with _turn(first):
        if rest:
            first.unlink(missing_ok=True)
        for path in reversed(partials):
            os.replace(partials[path], path)


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """One process at a time; others wait, and a kill ends its turn."""
    file = path.with_name(f"{PARTIAL}turn-{zlib.crc32(os.fsencode(path.name)):08x}")
    while True:
        descriptor = os.open(file, _WRITE | os.O_CREAT | _NO_LINK, 0o600)
        lock(descriptor, wait=True)
        # Whoever had it before has removed the file: a lock on what nobody else can open is none.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                break
        os.close(descriptor)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what kills have left of files that were being written, in a folder and in all below it."""
    for rest in folder.rglob(f".*{PARTIAL[1:]}*"):
        rest.unlink(missing_ok=True)


def _write_new(folder: Path, content: bytes) -> Path:
    """Put the content into a new file that nobody can have foreseen, and onto the disk."""
    path = folder / f"{PARTIAL}{secrets.token_hex(8)}"
    descriptor = os.open(path, _WRITE | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _link(partial: Path, path: Path) -> None:
    """Give the written file its name, which nothing may have yet."""
    try:
        os.link(partial, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no second names. Another process could then come in between, but no link is followed.
        if os.path.lexists(path):
            raise FileExistsError(17, "File exists", str(path)) from None
        os.replace(partial, path)


def open_to_change(path: Path, *, append: bool = False) -> int:
    """A descriptor to change a regular file, made where there is none. Raises `OSError` for a link or anything else."""
    flags = (_WRITE | os.O_APPEND) if append else (_WRITE & ~os.O_WRONLY | os.O_RDWR)
    descriptor = os.open(path, flags | os.O_CREAT | _NO_LINK, 0o666)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(0, "it is no regular file", str(path))


def append_bytes(path: Path, content: bytes) -> None:
    """Add to the end of a regular file; it is on disk when this returns. Raises `OSError`, also for a link."""
    with open(open_to_change(path, append=True), "ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def check_place(path: Path, instead: str = "give another name") -> None:
    """Raise `InputError` where no file or directory of this name can be made: seen now rather than after the work."""
    place = path.absolute()
    missing = []
    with suppress(OSError):
        while not os.path.lexists(place) and place != place.parent:
            missing.append(place.name)
            place = place.parent
    limit = _longest_name(place)
    longest = max((len(os.fsencode(name)) for name in missing), default=0)
    if longest > limit:
        raise InputError(f"a name of {longest} bytes cannot be written, {limit} is the most: {instead}")
    if "\0" in str(path):
        raise InputError(f"{path} cannot be written (it holds a zero byte): {instead}")
    if ".." in missing:
        raise InputError(f"{path} cannot be written: what stands before .. in it does not exist; {instead}")
    if missing and not place.is_dir():
        raise InputError(f"{path} cannot be written: {place} is a file, not a directory; {instead}")
    folder = place if place.is_dir() else place.parent
    try:
        # Rights say nothing of places such as /proc, or of a disk that is mounted to be read only.
        with tempfile.TemporaryFile(dir=folder, prefix=PARTIAL):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be written: {folder} takes no files ({error.strerror}); {instead}") from None


def _longest_name(place: Path) -> int:
    try:
        return os.pathconf(place, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return _NAME_BYTES


def failed(path: Path, error: OSError) -> FocuslabError:
    """The error in one line for a file that could not be written."""
    return FocuslabError(f"{path} cannot be written ({error.strerror})")


def already_there(path: str | os.PathLike) -> InputError:
    """The error in one line for a file that is not to be replaced."""
    return InputError(f"{path} exists already: give another name, or --force to replace it")
