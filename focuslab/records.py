"""What goes to disk: how a run was made, and what it measured."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from focuslab.errors import InputError

RUN_SCHEMA = "focuslab/run/1"
PROFILE_SCHEMA = "focuslab/profile/1"
ATTENTION_SCHEMA = "focuslab/attention/1"


@dataclass(frozen=True)
class RunInfo:
    """How a run was made. Two runs with equal `identity()` measure the same thing and may share a directory.

    model: what it was loaded as, and what it holds. parameters: of the command. machine, versions: where and with
    what. grids: site -> [T, F] by length in seconds, filled in while running. started, ended: ISO 8601, UTC.
    """

    command: str
    model: dict[str, Any]
    parameters: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, str]
    device: str
    dtype: str
    seed: int
    prompts: tuple[str, ...]
    grids: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    started: str | None = None
    ended: str | None = None

    @property
    def made_on(self) -> str:
        """The model, its dtype and the machine, in words."""
        place = self.machine.get("accelerator") or f"{self.machine['processor']}, {self.machine['threads']} threads"
        return f"{self.model['name']}, {self.dtype} on {place}"

    @property
    def made_with(self) -> str:
        """The versions that numbers depend on, in words."""
        return ", ".join(f"{name} {self.versions[name]}" for name in ("torch", "diffusers", "focuslab"))

    def identity(self) -> dict[str, Any]:
        """All that must be equal for a run to be gone on with, in JSON's types."""
        passing = ("grids", "started", "ended")
        return json.loads(json.dumps({k: v for k, v in asdict(self).items() if k not in passing}))

    def to_json(self) -> dict[str, Any]:
        return {"schema": RUN_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, content: Any, source: str) -> "RunInfo":
        """Raises `InputError` naming `source` and the field for anything but what `to_json` made."""
        content = check_schema(content, RUN_SCHEMA, source)
        names = {f.name for f in fields(cls)}
        missing = sorted(names - content.keys())
        if missing:
            raise InputError(f"{source} lacks the field {missing[0]!r}: it was not written by this version of focuslab")
        return cls(**{k: tuple(v) if k == "prompts" else v for k, v in content.items() if k in names})


@dataclass(frozen=True)
class ProfileRun:
    """A profile: `info` says how it was made, `summary` is the content of summary.json (see the design), and `records`
    are the raw measurements behind it, in the order in which they were made. `directory` is None if kept in memory."""

    info: RunInfo
    summary: dict[str, Any]
    records: tuple[dict[str, Any], ...] = field(repr=False, default=())
    directory: Path | None = None

    @classmethod
    def load(cls, directory: str | Path) -> "ProfileRun":
        """A profile from its run directory, finished or stopped. Raises `InputError` naming a file that is not as
        `focuslab.profile` wrote it."""
        return cls(*_load(Path(directory), PROFILE_SCHEMA), Path(directory))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row a length and method."""
        return self.summary["rows"]

    def row(self, seconds: float, method: str) -> dict[str, Any]:
        """The row of one length and method. Raises `InputError` that lists what there is."""
        for row in self.rows:
            if row["seconds"] == seconds and row["method"] == method:
                return row
        there = ", ".join(f"{row['method']} at {row['seconds']:g} s" for row in self.rows) or "nothing"
        raise InputError(f"this profile has no {method} at {seconds:g} s, only {there}")

    def __repr__(self) -> str:
        from focuslab.report.tables import profile_table

        return profile_table(self.summary)


@dataclass(frozen=True)
class AttentionRun:
    """A capture: `info` says how it was made, `summary` is the content of summary.json (see the design), `records` are
    the measurements of every call, and `arrays` the exact pieces of maps that were asked for, by name, in numpy.
    `directory` is None if kept in memory."""

    info: RunInfo
    summary: dict[str, Any]
    records: tuple[dict[str, Any], ...] = field(repr=False, default=())
    arrays: dict[str, Any] = field(repr=False, default_factory=dict)
    directory: Path | None = None

    @classmethod
    def load(cls, directory: str | Path) -> "AttentionRun":
        """A capture from its run directory, finished or stopped. Raises `InputError` naming a file that is not as
        `focuslab.capture_attention` wrote it."""
        from focuslab.store import read_arrays

        directory = Path(directory)
        return cls(*_load(directory, ATTENTION_SCHEMA), read_arrays(directory), directory)

    def __repr__(self) -> str:
        from focuslab.report.tables import attention_table

        if not self.summary["blocks"]:
            return "<AttentionRun: no prompt has been recorded to its end>"
        return attention_table(self.summary)


def _load(directory: Path, schema: str) -> tuple[RunInfo, dict[str, Any], tuple[dict[str, Any], ...]]:
    from focuslab.store import RECORDS, RUN, SUMMARY, parse_records, read_bytes, read_json

    info = RunInfo.from_json(read_json(directory / RUN), str(directory / RUN))
    summary = check_schema(read_json(directory / SUMMARY), schema, str(directory / SUMMARY))
    records = parse_records(read_bytes(directory / RECORDS), str(directory / RECORDS))
    return info, summary, tuple(records)


def check_schema(content: Any, schema: str, source: str) -> dict[str, Any]:
    """`content` if it is an object of this schema. Raises `InputError` that says what it is instead."""
    found = content.get("schema") if isinstance(content, dict) else type(content).__name__
    if found != schema:
        raise InputError(f"{source} holds {found!r}, expected {schema!r}: is it from another command or version?")
    return content


Progress = Callable[[float, float, str], None]
"""Called as work goes on with (done, total, what was just done); done and total in any one unit."""
