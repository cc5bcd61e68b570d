"""A run directory: what is in it is whole at every moment, and a killed run goes on where it stopped."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from focuslab.errors import FocuslabError, InputError
from focuslab.records import RunInfo

RUN, RECORDS, SUMMARY, ARRAYS = "run.json", "records.jsonl", "summary.json", "arrays"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is seen either as it was or whole, also after a crash."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def to_json_bytes(content: Any) -> bytes:
    # NaN and infinity are no JSON: better to fail here than to write a file that other readers refuse.
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_bytes(path: Path) -> bytes:
    """Raises `InputError` naming the file where it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: expected a run directory of focuslab") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None


def read_json(path: Path) -> Any:
    """Raises `InputError` naming the file where it is missing or damaged."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]})") from None


def read_arrays(directory: Path) -> dict[str, Any]:
    """All arrays of a run directory by name, as numpy. Raises `InputError` naming a file that is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    arrays = {}
    for path in sorted((directory / ARRAYS).glob("*.safetensors")):
        try:
            arrays |= load(read_bytes(path))
        except SafetensorError as error:
            raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]})") from None
    return arrays


def _to_lines(records: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in records).encode()


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class RunDirectory:
    """One run's directory, opened for writing: made anew, or gone on with where the same run was stopped.

    Raises `InputError` where `path` is something else, or holds another run and `force` is not given. `force` removes
    the old run's own files and nothing else.
    """

    def __init__(self, path: Path, info: RunInfo, *, force: bool = False):
        self.path = Path(path)
        self.info = info
        self.records: list[dict[str, Any]] = []
        self._check_place(force)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if force:
                self._clear()
            elif (self.path / RUN).exists():
                self.info = RunInfo.from_json(read_json(self.path / RUN), str(self.path / RUN))
                self.records = self._recover_records()
            self.note(started=self.info.started or now())
        except OSError as error:
            raise InputError(f"{self.path} cannot be written ({error.strerror}): give another --out") from None

    def append(self, *records: dict[str, Any]) -> None:
        """Add records; they are on disk when this returns."""
        lines = _to_lines(records)
        try:
            with open(self.path / RECORDS, "ab") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FocuslabError(f"{self.path / RECORDS} cannot be written ({error.strerror})") from None
        self.records.extend(records)

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Drop the records that are not wanted, on disk too."""
        kept = [record for record in self.records if wanted(record)]
        if len(kept) < len(self.records):
            write_atomically(self.path / RECORDS, _to_lines(kept))
            self.records = kept

    def write_arrays(self, name: str, arrays: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> None:
        """Write numpy arrays to `arrays/NAME.safetensors`, with `notes` as its metadata, replacing those of before."""
        from safetensors.numpy import save

        path = self.path / ARRAYS / f"{name}.safetensors"
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, save(dict(arrays), dict(notes or {})))
        except OSError as error:
            raise FocuslabError(f"{path} cannot be written ({error.strerror})") from None

    def note(self, **changes: Any) -> None:
        """Change fields of the run's info, in memory and on disk."""
        self.info = RunInfo(**{**vars(self.info), **changes})
        write_atomically(self.path / RUN, to_json_bytes(self.info.to_json()))

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_atomically(self.path / SUMMARY, to_json_bytes(summary))

    def _check_place(self, force: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file: expected a directory to write the run to")
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return
        if not (self.path / RUN).exists():
            raise InputError(f"{self.path} is not empty and holds no run of focuslab: give another --out")
        if force:
            return
        found = RunInfo.from_json(read_json(self.path / RUN), str(self.path / RUN)).identity()
        differing = sorted(key for key, value in self.info.identity().items() if found[key] != value)
        if differing:
            raise InputError(
                f"{self.path} holds another run (it differs in {', '.join(differing)}): give another --out, or --force "
                "to replace it"
            )

    def _clear(self) -> None:
        for name in (RUN, RECORDS, SUMMARY):
            (self.path / name).unlink(missing_ok=True)
        for folder, pattern in (
            ("figures", "*.*"),
            ("trace", "*.pt.trace.json.gz"),
            (ARRAYS, "*.safetensors"),
        ):
            for file in (self.path / folder).glob(pattern):
                file.unlink()

    def _recover_records(self) -> list[dict[str, Any]]:
        """The whole records. A last line that was being written when the run was killed is cut off."""
        path = self.path / RECORDS
        if not path.exists():
            return []
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with open(path, "r+b") as file:
                file.truncate(len(whole))
        return parse_records(whole, str(path))


def parse_records(content: bytes, source: str) -> list[dict[str, Any]]:
    """The records in the content of a records.jsonl. Raises `InputError` naming the line that is none."""
    records = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise InputError(f"{source} is damaged in line {number}: expected a JSON object")
        records.append(record)
    return records
