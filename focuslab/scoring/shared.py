"""A run directory that several processes fill at once: each appends to records of its own and reads those of all."""

import operator
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from focuslab.errors import InputError
from focuslab.files import lock, open_regular, open_to_change, sweep
from focuslab.records import RunInfo
from focuslab.store import (
    RECORDS,
    SUMMARY,
    RunDirectory,
    append_lines,
    cut_broken_line,
    parse_record,
    to_lines,
    write_atomically,
)

RANKS, EMBEDDINGS, PENDING, AUDIO = "records", "embeddings", "pending", "audio"
TURN = "turn.lock"


class SharedDirectory(RunDirectory):
    """One run's directory in the hands of process `rank`; to use in a `with`.

    The processes may be of any number, on any machines that share the file system, and their number may change when a
    run is gone on with. So what it was made on is no part of a run's identity here. A run may also be gone on with by
    one that has more captions at the end of its list, more lengths or more seeds; what is on disk describes the run
    before until the larger one is finished. Raises `InputError` as `RunDirectory` does, and where another process is at
    work as the same rank.
    """

    SHARED = True

    def __init__(self, path: Path, info: RunInfo, rank: int = 0, *, force: bool = False):
        super().__init__(path, info, force=force)
        if self._identity(self.info) != self._identity(info):
            self.info = replace(self.info, prompts=info.prompts, parameters=info.parameters, ended=None)
        self._rank = rank
        self._own = self.path / RANKS / f"rank-{rank}.jsonl"
        self._own.parent.mkdir(exist_ok=True)
        self._held = self._locked_rank()
        self._found = self._summary_stamp()
        self._read: dict[Path, tuple[int, int]] = {}
        cut_broken_line(self._own)

    def __enter__(self) -> "SharedDirectory":
        return self

    def __exit__(self, *_exception) -> None:
        self._held.close()
        super().__exit__()

    @contextmanager
    def turn(self, found_done: bool) -> Iterator[bool]:
        """Hold up the others; whether the summary is this process's to write. Of several that find all of the work done
        one writes it: the first, or rank 0 where the work was done (`found_done`) and the summary there before."""
        turn = self.path / RANKS / TURN
        with open(open_to_change(turn), "r+b") as file:
            lock(file.fileno(), wait=True)
            stamp = self._summary_stamp()
            ours = stamp == self._found and (self._rank == 0 or not (found_done and stamp))
            yield ours
            if ours or stamp != self._found:
                # Whoever waits for it finds another summary than before, and has nothing to write.
                turn.unlink(missing_ok=True)

    def _summary_stamp(self) -> tuple[int, int] | None:
        try:
            status = (self.path / SUMMARY).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def append(self, *records: dict[str, Any]) -> None:
        append_lines(self._own, records)

    def new_records(self) -> Iterator[dict[str, Any]]:
        """The records that any process has appended since the last call, as far as they are whole."""
        for path in sorted(self._own.parent.glob("rank-*.jsonl")):
            start, number = self._read.get(path, (0, 0))
            with open(open_regular(path, links=False), "rb") as file:
                file.seek(start)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    start, number = start + len(line), number + 1
                    self._read[path] = start, number
                    yield parse_record(line, str(path), number)

    def all_records(self) -> Iterator[dict[str, Any]]:
        """The records of all processes, each one's in the order in which it made them."""
        self._read.clear()
        return self.new_records()

    def merge(self, records: list[dict[str, Any]]) -> None:
        """Write the records of all processes as one file, and sweep up what kills have left."""
        write_atomically(self.path / RECORDS, to_lines(records))
        for folder in (EMBEDDINGS, PENDING, AUDIO):
            sweep(self.path / folder)
        # It still holds something where a larger run was stopped.
        with suppress(OSError):
            (self.path / PENDING).rmdir()

    def _identity(self, info: RunInfo) -> dict[str, Any]:
        return {key: value for key, value in info.identity().items() if key != "machine"}

    def _may_follow(self, key: str, found: Any, asked: Any) -> bool:
        if key == "prompts":
            return _begins(asked, found)
        return _grown(found, asked) if key == "parameters" else found == asked

    def _recover_records(self) -> list[dict[str, Any]]:
        return []

    def _clear(self) -> None:
        super()._clear()
        for pattern in (
            f"{RANKS}/rank-*",
            f"{RANKS}/{TURN}",
            f"{EMBEDDINGS}/*.safetensors",
            f"{PENDING}/*.safetensors",
            f"{AUDIO}/*/*/*.wav",
        ):
            for file in self.path.glob(pattern):
                file.unlink()

    def _locked_rank(self) -> BinaryIO:
        file = open(open_to_change(self._own), "r+b")
        if not lock(file.fileno()):
            file.close()
            raise InputError(
                f"another process is at work in {self.path} as rank {self._rank}: wait for it, or give another --out"
            )
        return file


def _grown(found: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether the parameters that are asked for are those that were found, or of more sounds."""
    may_grow = {"seconds": _are_among, "seeds": _are_among, "reference": _same_recordings}
    return found.keys() == asked.keys() and all(
        may_grow.get(key, operator.eq)(value, asked[key]) for key, value in found.items()
    )


def _are_among(found: list, asked: list) -> bool:
    return set(found) <= set(asked)


def _same_recordings(found: dict[str, Any] | None, asked: dict[str, Any] | None) -> bool:
    if found is None or asked is None:
        return found == asked
    # What is left out of the directory makes no number.
    rest = [{**recordings, "paired": None, "unreadable": None} for recordings in (found, asked)]
    return rest[0] == rest[1] and _begins(asked["paired"], found.get("paired") or [])


def _begins(whole: list, start: list) -> bool:
    return whole[: len(start)] == start
