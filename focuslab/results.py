"""What a command measured, as its run directory holds it."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from focuslab.checks import shown
from focuslab.errors import InputError
from focuslab.runs import kinds
from focuslab.runs.arrays import read_arrays
from focuslab.runs.directory import RECORDS
from focuslab.runs.folder import Folder
from focuslab.runs.info import RunInfo
from focuslab.runs.loading import check_not_emptied, load_info, load_records, load_summary
from focuslab.runs.modules import module_rows
from focuslab.tables.attention import attention_tables
from focuslab.tables.profile import profile_tables
from focuslab.tables.quality import quality_tables
from focuslab.tables.tabular import Tabular, frame
from focuslab.tables.text import in_terminal
from focuslab.tables.validation import validation_tables

OneRun = TypeVar("OneRun", bound="Run")


@dataclass(frozen=True)
class Run:
    """What a command measured. A subclass names its `SCHEMA`.

    Attributes
    ----------
    info : RunInfo
        How it was made.
    summary : dict
        The content of summary.json.
    records : tuple of dict
        The measurements behind the summary. Empty where a finished run is kept without them.
    directory : Path or None
        None if it is kept in memory.
    """

    SCHEMA: ClassVar[str]

    info: RunInfo
    summary: dict[str, Any]
    records: tuple[dict[str, Any], ...] = field(repr=False, default=())
    directory: Path | None = None

    @classmethod
    def load(cls: type[OneRun], directory: str | Path) -> OneRun:
        """From a run directory, finished or stopped.

        Raises
        ------
        InputError
            A file is missing, or not as focuslab wrote it; it is named with the field.
        """
        folder = Folder(directory)
        info = load_info(folder)
        summary = load_summary(folder, info.command, [cls.SCHEMA])
        check_not_emptied(folder, info)
        # A finished run may be kept without its raw records: the summary has all that tables and figures show.
        records = () if info.ended and not folder.has(RECORDS) else load_records(folder)
        return cls(info, summary, tuple(records), directory=Path(directory), **cls._more(folder))

    @classmethod
    def _more(cls, folder: Folder) -> dict[str, Any]:
        """What a subclass reads beside the records."""
        return {}


class RowsRun(Tabular, Run):
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
        raise InputError(f"this {self.KIND} has no {method} at {shown(seconds)} s, only {there}")

    def _rows(self) -> list[dict[str, Any]]:
        return self.rows


class ProfileRun(RowsRun):
    """A profile; `records` are in the order in which they were made.

    Attributes
    ----------
    info, summary, records, directory
        See `Run`.
    rows : list of dict
        Those of the summary, each with "modules": the time and FLOPs of every module in a step, made from the records,
        since `summary.json` does not repeat them. The list is empty where modules were not timed.
    """

    SCHEMA, KIND = kinds.PROFILE_SCHEMA, "profile"

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        modules = module_rows(self.records)
        # An older summary has them itself.
        return [
            row | {"modules": row.get("modules") or modules.get((row["seconds"], row["method"]), [])}
            for row in self.summary["rows"]
        ]

    def _tables(self) -> list:
        return profile_tables(self.summary)


@dataclass(frozen=True, repr=False)
class AttentionRun(Tabular, Run):
    """A capture; `records` are the measurements of every call.

    Attributes
    ----------
    info, summary, records, directory
        See `Run`.
    arrays : dict
        The parts of attention maps that were asked for, by name, in numpy.
    """

    SCHEMA = kinds.ATTENTION_SCHEMA

    arrays: dict[str, Any] = field(repr=False, default_factory=dict)

    @classmethod
    def _more(cls, folder: Folder) -> dict[str, Any]:
        return {"arrays": read_arrays(folder)}

    def __repr__(self) -> str:
        if not self.summary["blocks"]:
            return "<AttentionRun: no prompt has been recorded to its end>"
        return super().__repr__()

    def to_pandas(self, of: str = "blocks"):
        """The rows of "blocks" or "sites" as a `pandas.DataFrame`, as of other runs."""
        if of not in ("blocks", "sites"):
            raise InputError(f"a capture has rows of blocks and of sites, not of {of!r}")
        return frame(self.summary[of])

    def _tables(self) -> list:
        return attention_tables(self.summary) if self.summary["blocks"] else []


class SensitivityRun(Run):
    """A sensitivity pass; `records` are the errors of every group and method, and of every joint ablation.

    Attributes
    ----------
    info, summary, records, directory
        See `Run`.
    """

    SCHEMA = kinds.SENSITIVITY_SCHEMA

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
    """An evaluation; `records` are what was measured of each item, in the order of the items.

    Attributes
    ----------
    info, summary, records, directory
        See `Run`.
    """

    SCHEMA, KIND = kinds.EVALUATION_SCHEMA, "evaluation"

    def __repr__(self) -> str:
        return in_terminal(quality_tables(self.summary))

    def _tables(self) -> list:
        return quality_tables(self.summary, self.info)


class ValidationRun(RowsRun):
    """A validation of a plan, one row a length and choice; `records` are the errors and the distances of clips.

    Attributes
    ----------
    info, summary, records, directory
        See `Run`.
    """

    SCHEMA, KIND = kinds.PROOF_SCHEMA, "validation"

    def _tables(self) -> list:
        return validation_tables(self.summary)


BY_NAME: dict[str, Any] = {"attention": AttentionRun, "profile": ProfileRun}
BY_NAME |= {"sensitivity": SensitivityRun, "evaluation": EvaluationRun}
"""What a plan is chosen from, as `focuslab.recommend` names it."""
