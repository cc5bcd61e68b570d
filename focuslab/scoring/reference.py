"""A directory of recordings that generated sound is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from focuslab.captions import Caption
from focuslab.errors import InputError
from focuslab.wav import probe_wav


@dataclass(frozen=True)
class Reference:
    """files: names of the recordings that can be read. unreadable: of the others, each with the reason. paired: of
    each caption the place of its recording among the files, None where there is none."""

    directory: Path
    files: tuple[str, ...]
    unreadable: tuple[str, ...]
    paired: tuple[int | None, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "directory": str(self.directory),
            "files": list(self.files),
            "unreadable": list(self.unreadable),
            "paired": list(self.paired),
        }


def find_reference(directory: Path, captions: Sequence[Caption], at_least: int) -> Reference:
    """The WAVs of a directory, their headers checked, and which caption each belongs to.

    A recording belongs to the captions that name it in a column `audiocap_id`, `youtube_id`, `id`, `file` or `audio`.
    Raises `InputError` for a directory that is not there or holds fewer than `at_least` recordings that can be read.
    """
    if not directory.is_dir():
        raise InputError(f"{directory} is no directory: expected one of WAV files to compare with")
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix.lower() == ".wav" and path.is_file())
    except OSError as error:
        raise InputError(f"{directory} cannot be read ({error.strerror})") from None
    files, unreadable = [], []
    for path in found:
        try:
            probe_wav(path)
            files.append(path.name)
        except InputError as error:
            unreadable.append(str(error).removeprefix(f"{directory}/"))
    if len(files) < at_least:
        reasons = f" ({unreadable[0]})" if unreadable else ""
        raise InputError(
            f"{directory} holds {len(files)} WAV files that can be read{reasons}: a reference needs {at_least} or more"
        )
    places = {Path(name).stem: place for place, name in enumerate(files)}
    paired = (next((places[name] for name in c.names if name in places), None) for c in captions)
    return Reference(directory, tuple(files), tuple(unreadable), tuple(paired))
