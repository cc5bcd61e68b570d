"""A run directory: what is in it is whole at every moment, and a killed run is resumed where it stopped."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from focuslab.errors import AnotherRun, InputError
from focuslab.io.files import PARTIAL, check_place, read_bytes, sweep, write_atomically, write_file
from focuslab.io.json_text import parse_json, to_summary_bytes
from focuslab.io.locks import DirectoryLock
from focuslab.runs import RunInfo, differences, first_few
from focuslab.runs.arrays import ARRAYS, write_arrays
from focuslab.runs.records import append_lines, cut_broken_line, parse_records, to_lines

RUN, RECORDS, SUMMARY = "run.json", "records.jsonl", "summary.json"


def to_json_bytes(content: Any) -> bytes:
    # NaN and infinity are no JSON: better to fail here than to write a file that other readers refuse.
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path, expected: str = "a run directory of focuslab", *, links: bool = False) -> Any:
    """Raises `InputError` naming the file, and what was `expected`, where it is missing or damaged."""
    return parse_json(read_bytes(path, expected, links=links), str(path))


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


_FOLDERS = {"figures": "*.*", "trace": "*.pt.trace.json.gz", ARRAYS: "*.safetensors"}
"""Folder of a run -> the files in it that are the run's own."""


@contextmanager
def place_of(out: str | os.PathLike | None) -> Iterator[Path]:
    """The directory `out`, or for None a temporary one, so that a run that is not kept is made in the same way."""
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory() as memory_only:
        yield Path(memory_only)


class RunDirectory:
    """One run's directory, opened for writing: made anew, or resumed where the same run was stopped.

    To use in a `with`: until its end no other process can open the same directory.

    Parameters
    ----------
    path : Path
        The directory.
    info : RunInfo
        How the run is made. A directory that holds another run is refused.
    force : bool
        Replace another run: remove its own files, and nothing else.

    Attributes
    ----------
    records : list of dict
        Those on disk.

    Raises
    ------
    InputError
        Another process has it open, it is something else, or it holds another run and `force` is not given.
    """

    SHARED = False
    """Whether several processes may have it open, where none of them is to replace it."""

    def __init__(self, path: Path, info: RunInfo, *, force: bool = False):
        self.path = Path(path)
        self.info = info
        self.records: list[dict[str, Any]] = []
        check_place(self.path, "give another --out")
        if self.path.exists() and not self.path.is_dir():
            raise _is_file(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = DirectoryLock(self.path, shared=self.SHARED and not force)
            try:
                self._open(force)
            except BaseException:
                self._lock.release()
                raise
        except OSError as error:
            raise InputError(f"{self.path} cannot be written ({error.strerror}): give another --out") from None

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_exception) -> None:
        self._lock.release()

    def _open(self, force: bool) -> None:
        self._check_place(force)
        _check_links(self.path)
        if not self.SHARED:
            sweep(self.path)
        if force:
            self._clear()
        elif (self.path / RUN).exists():
            self.info = RunInfo.from_json(read_json(self.path / RUN), str(self.path / RUN))
            self.records = self._recover_records()
        self.info = replace(self.info, started=self.info.started or now())
        write_atomically(self.path / RUN, to_json_bytes(self.info.to_json()))

    def append(self, *records: dict[str, Any]) -> None:
        """Add records; they are on disk when this returns."""
        append_lines(self.path / RECORDS, records)
        self.records.extend(records)

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Drop the records that are not wanted, on disk too."""
        kept = [record for record in self.records if wanted(record)]
        if len(kept) < len(self.records):
            write_file(self.path / RECORDS, to_lines(kept))
            self.records = kept

    def write_arrays(self, name: str, arrays: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> None:
        """Write numpy arrays to `arrays/NAME.safetensors`, with `notes` as its metadata, replacing those of before."""
        write_arrays(self.path / ARRAYS / f"{name}.safetensors", arrays, notes)

    def note(self, **changes: Any) -> None:
        """Change fields of the run's info, in memory and on disk."""
        self.info = replace(self.info, **changes)
        write_file(self.path / RUN, to_json_bytes(self.info.to_json()))

    def kept(self) -> str:
        """What is on disk, in words."""
        return f"{len(self.records)} records are kept in {self.path}"

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_file(self.path / SUMMARY, to_summary_bytes(summary))

    def _identity(self, info: RunInfo) -> dict[str, Any]:
        return info.identity()

    def _may_follow(self, key: str, found: Any, asked: Any) -> bool:
        """Whether a run that was found is resumed by one that is asked for with this part of its identity."""
        return found == asked

    def _check_place(self, force: bool) -> None:
        check_run_place(self.path)
        if force or not (self.path / RUN).exists():
            return
        there = RunInfo.from_json(read_json(self.path / RUN), str(self.path / RUN))
        found, asked = self._identity(there), self._identity(self.info)
        differing = [
            line
            for key in sorted(asked)
            if not self._may_follow(key, found[key], asked[key])
            for line in differences(found[key], asked[key], key)
        ]
        if not differing:
            return
        if self.info.knows_what_made_it and not there.knows_what_made_it:
            raise AnotherRun(
                f"{self.path} was written by {there.written_by}, which did not record what made it, so it cannot be "
                "resumed: give another --out, or --force to replace it"
            )
        raise AnotherRun(
            f"{self.path} holds another run (it differs in {first_few(differing)}): give another --out, or --force to "
            "replace it"
        )

    def _clear(self) -> None:
        for name in (RUN, RECORDS, SUMMARY):
            (self.path / name).unlink(missing_ok=True)
        for folder, pattern in _FOLDERS.items():
            for file in (self.path / folder).glob(pattern):
                file.unlink()

    def _recover_records(self) -> list[dict[str, Any]]:
        """The whole records. A last line that was being written when the run was killed is cut off."""
        path = self.path / RECORDS
        cut_broken_line(path)
        return parse_records(read_bytes(path), str(path)) if path.exists() else []


def check_run_place(path: Path) -> None:
    """Raise `InputError` where there is something in which no run can be written: a file, or a directory of others."""
    if not path.is_dir():
        raise _is_file(path)
    if all(PARTIAL in found.name for found in path.iterdir()):
        return
    if not (path / RUN).exists():
        raise InputError(f"{path} is not empty and holds no run of focuslab: give another --out")
    for name in _FOLDERS:
        if (path / name).is_file():
            raise InputError(f"{path / name} is a file: expected a directory of the run; remove it")


def _is_file(path: Path) -> InputError:
    return InputError(f"{path} is a file: expected a directory to write the run to")


def _check_links(directory: Path) -> None:
    """Raises `InputError` for a link anywhere in a directory: what is written through it would land elsewhere."""
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(folder, name)):
                raise InputError(f"{Path(folder) / name} is a link: expected none within a run directory; remove it")
