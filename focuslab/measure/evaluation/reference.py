"""A directory of recordings that generated clips are compared with."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from focuslab.checks import check_text, printable
from focuslab.errors import InputError
from focuslab.io.audio import probe_audio
from focuslab.io.captions import Caption
from focuslab.io.files import checksum

MOST_HOURS = 200.0
"""Most audio of all recordings of a reference; the training clips of AudioCaps are 140 hours."""


@dataclass(frozen=True)
class Reference:
    """The recordings of a directory.

    files: names of the recordings. unreadable: everything else in the directory, each entry with the reason. paired: of
    each caption the place of its recording among the files, None where there is none. content: a checksum of the bytes
    of all files.
    """

    directory: Path
    files: tuple[str, ...]
    unreadable: tuple[str, ...]
    paired: tuple[int | None, ...]
    content: str

    def to_json(self) -> dict[str, Any]:
        lists = {name: list(getattr(self, name)) for name in ("files", "unreadable", "paired")}
        return {"directory": str(self.directory), **lists, "content": self.content}


def find_reference(directory: Path, captions: Sequence[Caption], at_least: int) -> Reference:
    """Find the recordings in a directory, and the caption that each belongs to.

    A recording is a file that `focuslab.io.audio` reads, whatever its name ends in; its header is checked here. It
    belongs to the captions that name it in a column `audiocap_id`, `youtube_id`, `id`, `file` or `audio`.

    Raises
    ------
    InputError
        The directory is not there, holds fewer than `at_least` recordings or more than `MOST_HOURS` of them, or a
        caption names two recordings.
    """
    check_text("the path of the reference", str(directory))
    if not directory.is_dir():
        raise InputError(f"{directory} is no directory: expected one of recordings to compare with")
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        raise InputError(f"{directory} cannot be read ({error.strerror})") from None
    files, unreadable, seconds = [], [], 0.0
    for path in entries:
        try:
            check_text("the name of a recording", path.name)
            if path.is_dir():
                raise InputError(f"{path} is a folder")
            seconds += probe_audio(path)
            files.append(path.name)
        except InputError as error:
            unreadable.append(printable(str(error).removeprefix(f"{directory}/")))
    if len(files) < at_least:
        reasons = f" ({unreadable[0]})" if unreadable else ""
        raise InputError(
            f"{directory} holds {len(files)} recordings that can be read{reasons}: a reference needs {at_least} or more"
        )
    if seconds > MOST_HOURS * 3600:
        raise InputError(
            f"{directory} holds {seconds / 3600:.0f} hours of recordings: expected at most {MOST_HOURS:g}; "
            "give a directory with some of them"
        )
    paired = _paired(directory, files, captions)
    return Reference(directory, tuple(files), tuple(unreadable), paired, _content(directory, files))


def _content(directory: Path, files: Sequence[str]) -> str:
    total = 0
    for name in files:
        total = zlib.crc32(f"{name} {checksum(directory / name)}".encode(), total)
    return f"{total:08x}"


def _paired(directory: Path, files: Sequence[str], captions: Sequence[Caption]) -> tuple[int | None, ...]:
    places: dict[str, int] = {}
    twice = {}
    for place, name in enumerate(files):
        stem = Path(name).stem
        if stem in places:
            twice[stem] = f"{files[places[stem]]} and {name}"
        places.setdefault(stem, place)
    found = [next((name for name in caption.names if name in places), None) for caption in captions]
    ambiguous = next((name for name in found if name in twice), None)
    if ambiguous is not None:
        raise InputError(f"{directory} holds {twice[ambiguous]}, and a caption names {ambiguous}: leave one of them")
    return tuple(None if name is None else places[name] for name in found)
