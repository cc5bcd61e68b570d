"""What a command measured, as its run directory holds it."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from focuslab.errors import InputError
from focuslab.runs.directory import RECORDS, RUN, SUMMARY, parse_records, read_arrays, read_bytes, read_json
from focuslab.runs.info import (
    ATTENTION_SCHEMA,
    EVALUATION_SCHEMA,
    PROFILE_SCHEMA,
    PROOF_SCHEMA,
    SENSITIVITY_SCHEMA,
    RunInfo,
    check_schema,
)
from focuslab.runs.modules import module_rows
from focuslab.runs.schemas import INFO, SUMMARIES
from focuslab.runs.shapes import checked
from focuslab.tables.attention import attention_tables
from focuslab.tables.frames import frame
from focuslab.tables.profile import profile_tables
from focuslab.tables.quality import quality_tables
from focuslab.tables.tabular import Tabular
from focuslab.tables.text import in_terminal
from focuslab.tables.validation import validation_tables

OneRun = TypeVar("OneRun", bound="Run")


@dataclass(frozen=True)
class Run:
    """What a command measured: `info` says how, `summary` is the content of summary.json (see the design), and
    `records` are the measurements behind it. `directory` is None if kept in memory. A subclass names its `SCHEMA`."""

    SCHEMA: ClassVar[str]

    info: RunInfo
    summary: dict[str, Any]
    records: tuple[dict[str, Any], ...] = field(repr=False, default=())
    directory: Path | None = None

    @classmethod
    def load(cls: type[OneRun], directory: str | Path) -> OneRun:
        """From a run directory, finished or stopped. Raises `InputError` naming a file that is not as focuslab wrote
        it."""
        return cls(*_load(Path(directory), cls.SCHEMA), Path(directory))


class RowsRun(Run, Tabular):
    """A run whose summary has one row a length and method; `KIND` is what it is called."""

    KIND: ClassVar[str]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.summary["rows"]

    def row(self, seconds: float, method: str) -> dict[str, Any]:
        """The row of one length and method. Raises `InputError` that lists what there is."""
        for row in self.rows:
            if row["seconds"] == seconds and row["method"] == method:
                return row
        there = ", ".join(f"{row['method']} at {row['seconds']:g} s" for row in self.rows) or "nothing"
        raise InputError(f"this {self.KIND} has no {method} at {seconds:g} s, only {there}")

    def _rows(self) -> list[dict[str, Any]]:
        return self.rows


class ProfileRun(RowsRun):
    """A profile; `records` are in the order in which they were made.

    `rows` are those of the summary, each with "modules": the time and FLOPs of every module in a step, made from the
    records, since `summary.json` does not repeat them. The list is empty where modules were not timed.
    """

    SCHEMA, KIND = PROFILE_SCHEMA, "profile"

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        modules = module_rows(self.records)
        # An older summary has them itself.
        return [{"modules": modules.get((row["seconds"], row["method"]), []), **row} for row in self.summary["rows"]]

    def __repr__(self) -> str:
        return in_terminal(profile_tables(self.summary))

    def _tables(self) -> list:
        return profile_tables(self.summary)


@dataclass(frozen=True)
class AttentionRun(Tabular):
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
        directory = Path(directory)
        return cls(*_load(directory, ATTENTION_SCHEMA), read_arrays(directory), directory)

    def __repr__(self) -> str:
        if not self.summary["blocks"]:
            return "<AttentionRun: no prompt has been recorded to its end>"
        return in_terminal(attention_tables(self.summary))

    def to_pandas(self, of: str = "blocks"):
        """The rows of "blocks" or "sites" as a `pandas.DataFrame`, as of other runs."""
        if of not in ("blocks", "sites"):
            raise InputError(f"a capture has rows of blocks and of sites, not of {of!r}")
        return frame(self.summary[of])

    def _tables(self) -> list:
        return attention_tables(self.summary) if self.summary["blocks"] else []


class SensitivityRun(Run):
    """A sensitivity pass; `records` are the errors of every group and method, and of every joint choice."""

    SCHEMA = SENSITIVITY_SCHEMA

    @cached_property
    def records_with_sites(self) -> tuple[dict[str, Any], ...]:
        """The records, those of a group with the names of its sites as "sites", which stand once in the run's info."""
        groups = self.info.parameters.get("groups", {})
        sites = {(length, group["name"]): group["sites"] for length, own in groups.items() for group in own}
        return tuple(
            {"sites": sites[f"{record['seconds']:g}", record["group"]], **record}
            if record["kind"] == "sensitivity" and "sites" not in record
            else record
            for record in self.records
        )


class EvaluationRun(RowsRun):
    """An evaluation; `records` are what was measured of each item, in the order of the items."""

    SCHEMA, KIND = EVALUATION_SCHEMA, "evaluation"

    @classmethod
    def load(cls, directory: str | Path) -> "EvaluationRun":
        """From its run directory. Raises `InputError` naming a file that is not as `focuslab.evaluate` wrote it, and a
        run that has not come to its end."""
        directory = Path(directory)
        if (directory / RUN).exists() and not (directory / SUMMARY).exists():
            raise InputError(f"{directory} holds a run that was stopped: the command that began it goes on with it")
        return super().load(directory)

    def __repr__(self) -> str:
        return in_terminal(quality_tables(self.summary))

    def _tables(self) -> list:
        return quality_tables(self.summary, self.info)


class ProofRun(RowsRun):
    """A proof of a plan, one row a length and choice; `records` are the errors and the distances of sounds."""

    SCHEMA, KIND = PROOF_SCHEMA, "proof"

    def __repr__(self) -> str:
        return in_terminal(validation_tables(self.summary))

    def _tables(self) -> list:
        return validation_tables(self.summary)


def _load(directory: Path, schema: str) -> tuple[RunInfo, dict[str, Any], tuple[dict[str, Any], ...]]:
    content = read_json(directory / RUN)
    info = RunInfo.from_json(content, str(directory / RUN))
    checked(content, INFO, str(directory / RUN))
    source = str(directory / SUMMARY)
    summary = checked(check_schema(read_json(directory / SUMMARY), schema, source), SUMMARIES[schema], source)
    if info.ended and not (directory / RECORDS).exists():
        # A finished run may be kept without its raw records: the summary has all that tables and figures show.
        return info, summary, ()
    records = parse_records(read_bytes(directory / RECORDS), str(directory / RECORDS))
    return info, summary, tuple(records)
