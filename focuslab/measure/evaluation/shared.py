"""A run directory that several processes fill at once: each appends to records of its own and reads those of all.

The processes send each other nothing. They keep out of each other's way by three locks of the file system, which the
system releases when a process ends, however it does:

* **The directory** is locked by every process, shared; `--force` locks it alone, and is refused while one is at work.
* **records/rank-N.jsonl** is locked by process N for as long as it works. A second process of the same rank is refused.
* **records/turn.lock** is locked by one process at a time, while it finishes.

A process that finds all of the work done takes its turn. It writes the table if the summary on disk is still the one
that it found when it began: the first process to take its turn writes, and the others see a newer summary and write
nothing. Where all was done before any process began, rank 0 writes.

The writer moves all records into `records.jsonl` and empties the files of processes that have ended. A process that is
still alive drops its own moved records when its turn comes. Whoever reads meanwhile reads the files of the processes
first and `records.jsonl` last, so that no record is missed; one that is found twice counts once, by its key.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from focuslab.errors import InputError
from focuslab.io.files import open_regular, read_bytes, sweep, write_atomically
from focuslab.measure.evaluation.items import agree, joined, one_begins_the_other
from focuslab.measure.evaluation.locks import acquire, release
from focuslab.runs import RunInfo
from focuslab.runs.directory import RECORDS, SUMMARY, RunDirectory
from focuslab.runs.records import append_lines, cut_broken_line, parse_record, parse_records, to_lines

RANKS, EMBEDDINGS, PENDING, AUDIO = "records", "embeddings", "pending", "audio"
TURN = "turn.lock"
_KEY = ("kind", "index", "prompt", "seconds", "method", "seed", "noise_seed")


def record_key(record: dict[str, Any]) -> tuple:
    """What a record is of; of records with equal keys one is kept."""
    sitting = record["sitting"] if record["kind"] == "timing" else None
    return *(record.get(name) for name in _KEY), sitting


class SharedDirectory(RunDirectory):
    """One evaluation's directory as process `rank` has it; to use in a `with`.

    There may be any number of processes, on any machines that share the file system, and their number may change when
    a run is resumed. So the machine is no part of a run's identity here.

    The directory holds every clip once. A call may ask for other captions of the same list, lengths, methods and seeds
    than the calls before: clips that are there are not made again. `info` describes all that was ever asked for; on
    disk it stays as it was until the new call is finished.

    Raises
    ------
    InputError
        As `RunDirectory` does, and where another process is at work as the same rank.
    """

    SHARED = True

    def __init__(self, path: Path, info: RunInfo, rank: int = 0, *, force: bool = False):
        super().__init__(path, info, force=force)
        self._asked = info
        whole = joined(self.info, info)
        self.grows = whole.identity() != self.info.identity()
        if self.grows:
            self.info = replace(whole, ended=None)
        self._rank = rank
        self._own = self.path / RANKS / f"rank-{rank}.jsonl"
        self._held = acquire(self._own, wait=False)
        if self._held is None:
            super().__exit__()
            raise InputError(
                f"another process is at work in {self.path} as rank {self._rank}: wait for it, or give another --out"
            )
        self._found = self._summary_stamp()
        self._read: dict[Path, tuple[int, int, int]] = {}
        cut_broken_line(self._own)

    def __enter__(self) -> "SharedDirectory":
        return self

    def __exit__(self, *_exception) -> None:
        release(self._held, self._own)
        super().__exit__()

    @property
    def asked(self) -> RunInfo:
        """How that part of the run was made that this call has asked for."""
        return replace(self.info, prompts=self._asked.prompts, parameters=self._asked.parameters)

    @contextmanager
    def turn(self, found_done: bool) -> Iterator[bool]:
        """Take this process's turn to finish, and say whether the summary is its to write.

        found_done: whether all of the work was done before this process began.
        """
        turn = self.path / RANKS / TURN
        lock = acquire(turn, wait=True)
        try:
            stamp = self._summary_stamp()
            ours = stamp == self._found and (self._rank == 0 or not (found_done and stamp))
            yield ours
            if not ours:
                # The process that wrote the summary left this file alone, since this process still held it.
                self._read.clear()
                self._drop_merged(self._own, {record_key(record) for record in self._lines(self.path / RECORDS)})
        finally:
            release(lock, turn)

    @property
    def merged(self) -> bool:
        """Whether everything that is here is in `records.jsonl` and in the summary."""
        unmerged = any(path.stat().st_size for path in self._rank_files())
        return not (self.grows or unmerged) and self._summary_stamp() is not None

    def _summary_stamp(self) -> tuple[int, int] | None:
        try:
            status = (self.path / SUMMARY).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def append(self, *records: dict[str, Any]) -> None:
        append_lines(self._own, records)

    def new_records(self) -> Iterator[dict[str, Any]]:
        """The records that any process has appended since the last call, as far as they are whole.

        Some come twice: those that were merged since.
        """
        # The merged ones last: what is moved there in the meantime is found at one of both places.
        for path in (*self._rank_files(), self.path / RECORDS):
            yield from self._lines(path)

    def all_records(self) -> Iterator[dict[str, Any]]:
        """The records of all processes, each one's in the order in which it made them."""
        self._read.clear()
        return self.new_records()

    def _lines(self, path: Path) -> Iterator[dict[str, Any]]:
        try:
            file = open(open_regular(path, links=False), "rb")
        except FileNotFoundError:
            return
        with file:
            inode = os.fstat(file.fileno()).st_ino
            # A file that was written anew is read anew.
            read, start, number = self._read.get(path, (inode, 0, 0))
            start, number = (start, number) if read == inode else (0, 0)
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                start, number = start + len(line), number + 1
                self._read[path] = inode, start, number
                yield parse_record(line, str(path), number)

    def _rank_files(self) -> list[Path]:
        return sorted(self._own.parent.glob("rank-*.jsonl"))

    def merge(self, records: list[dict[str, Any]]) -> None:
        """Write the records of all processes as one file, and remove what was needed while they were at work."""
        write_atomically(self.path / RECORDS, to_lines(records))
        merged = {record_key(record) for record in records}
        self._drop_merged(self._own, merged)
        for path in self._rank_files():
            # A process that is still there may append, and drops its records itself.
            if path != self._own and (held := acquire(path, wait=False)):
                self._drop_merged(path, merged)
                release(held, path)
        for folder in (EMBEDDINGS, PENDING, AUDIO):
            sweep(self.path / folder)
        # It still holds something where a larger run was stopped.
        with suppress(OSError):
            (self.path / PENDING).rmdir()

    def _drop_merged(self, path: Path, merged: Collection[tuple]) -> None:
        """Remove from a process's own records those that are merged; what is left is of a run that was stopped."""
        if not path.exists():
            return
        cut_broken_line(path)
        records = parse_records(read_bytes(path), str(path))
        rest = [record for record in records if record_key(record) not in merged]
        if rest:
            write_atomically(path, to_lines(rest))
        else:
            path.unlink()

    def _identity(self, info: RunInfo) -> dict[str, Any]:
        return {key: value for key, value in info.identity().items() if key != "machine"}

    def _may_follow(self, key: str, found: Any, asked: Any) -> bool:
        if key == "prompts":
            return one_begins_the_other(found, asked)
        return agree(found, asked) if key == "parameters" else found == asked

    def _recover_records(self) -> list[dict[str, Any]]:
        return []

    def _clear(self) -> None:
        super()._clear()
        arrays = (f"{folder}/*.safetensors" for folder in (EMBEDDINGS, PENDING))
        for pattern in (f"{RANKS}/rank-*", f"{RANKS}/{TURN}", *arrays, f"{AUDIO}/*/*/*.wav"):
            for file in self.path.glob(pattern):
                file.unlink()
