"""Finds the runs in directories and reads them, so that whatever is returned can be relied on.

What is damaged is named in `gaps` and left out; the rest is shown.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from focuslab.checks import is_number, shown
from focuslab.errors import InputError
from focuslab.io.json_text import Room
from focuslab.report.html.folder import MOST_JSON, Folder, parse_clean_json
from focuslab.runs import (
    ATTENTION_SCHEMA,
    EVALUATION_SCHEMA,
    GENERATION_SCHEMA,
    PLAN_SCHEMA,
    PROFILE_SCHEMA,
    PROOF_SCHEMA,
    RECOMMENDATION_SCHEMA,
    RUN_SCHEMA,
    SENSITIVITY_SCHEMA,
    RunInfo,
    schemas,
)
from focuslab.runs.directory import ARRAYS, MOST_ARRAY_BYTES, RECORDS, RUN, SUMMARY, parse_arrays
from focuslab.runs.plan import PlanSpec
from focuslab.runs.shapes import Anything, Fields, Named, Wrong, conform

DEPTH = 5
MOST_FOLDERS = 2_000
MOST_RUNS = 500
MOST_RECORDS = 50_000
"""Lines of a run's records that are looked through for sounds."""
MOST_LENGTHS, MOST_ROWS, MOST_CELLS = 40, 400, 200_000
"""Of a run: lengths, rows of one kind, and single values in all of them."""
_CLOSED = {ARRAYS, "figures", "trace", "embeddings", "audio"}
"""Folders of a run that hold no runs."""
_SMALL = 2**24


@dataclass
class Run:
    """One run directory. `kind` is one of `_KINDS`, `summary` has its shape; `gaps` says what was not right."""

    kind: str
    folder: Folder
    info: RunInfo
    summary: dict[str, Any]
    gaps: list[str] = field(default_factory=list)

    @property
    def model(self) -> str:
        return self.info.model["name"]

    def lies_in(self, other: "Run") -> bool:
        """Whether its directory is one of those in the other's."""
        return self.folder.root.parent == other.folder.root


@dataclass
class PlanFile:
    name: str
    plan: PlanSpec


@dataclass
class SoundFile:
    """A WAV with all that made it, as it stands in the .json beside it."""

    folder: Folder
    wav: str
    settings: dict[str, Any]


@dataclass
class Found:
    """All that was found, in the order of the directories given; `gaps` says what could not be read."""

    runs: list[Run] = field(default_factory=list)
    plans: list[PlanFile] = field(default_factory=list)
    sounds: list[SoundFile] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Run]:
        return [run for run in self.runs if run.kind == kind]

    def __bool__(self) -> bool:
        return bool(self.runs or self.plans or self.sounds)


_KINDS = {
    PROFILE_SCHEMA: "profile",
    ATTENTION_SCHEMA: "attention",
    EVALUATION_SCHEMA: "evaluation",
    RECOMMENDATION_SCHEMA: "recommendation",
    PROOF_SCHEMA: "proof",
    SENSITIVITY_SCHEMA: "sensitivity",
}
"""What a sensitivity pass found is shown by the choice that is made of it; the page says how the pass was made."""


def find(paths: Iterable[str | Path]) -> Found:
    """Everything in these directories, and in directories below them, that focuslab wrote; a plan may be a file.

    Raises `InputError` where a path does not exist or nothing at all can be shown.
    """
    found = Found()
    paths = [Path(path) for path in paths]
    room = Room(MOST_JSON)
    for path in paths:
        if path.is_dir():
            _walk(Folder(path, room), found, DEPTH, [0])
        elif path.is_file():
            _add_plan(Folder(path.parent, room), path.name, found, asked=True)
        else:
            raise InputError(f"{path} does not exist: expected a run directory of focuslab, or a plan")
    found.runs = _without_parts(found.runs)
    found.plans = _different(found.plans)
    if not found:
        # One line: the first reason is the nearest to what was asked for.
        why = found.gaps[0] if found.gaps else f"nothing in {', '.join(map(str, paths))} was written by focuslab"
        raise InputError(f"{why}: expected the directory of a profile, capture, plan or evaluation")
    return found


def _walk(folder: Folder, found: Found, deep: int, seen: list[int]) -> None:
    seen[0] += 1
    if seen[0] > MOST_FOLDERS or len(found.runs) >= MOST_RUNS:
        if seen[0] == MOST_FOLDERS + 1 or len(found.runs) == MOST_RUNS:
            found.gaps.append(f"{folder.shown} and what follows was not looked at: too many directories")
        return
    try:
        entries = list(folder.entries())
    except InputError as error:
        found.gaps.append(str(error))
        return
    if folder.has(RUN):
        _add(found, lambda: found.runs.append(_read_run(folder)))
    names = {name for name, is_folder in entries if not is_folder}
    for name, is_folder in entries:
        if is_folder and deep and name not in _CLOSED:
            _walk(folder.within(name), found, deep - 1, seen)
        elif not is_folder and name.endswith(".json") and name not in (RUN, SUMMARY):
            if f"{name[:-5]}.wav" in names:
                _add_sound(folder, f"{name[:-5]}.wav", name, found)
            else:
                _add_plan(folder, name, found)


def _add(found: Found, read: Callable[[], None]) -> None:
    try:
        read()
    except InputError as error:
        found.gaps.append(str(error))


def _read_run(folder: Folder) -> Run:
    gaps: list[str] = []
    info = _info(folder, gaps)
    if not folder.has(SUMMARY):
        raise InputError(f"{folder.shown} holds no {SUMMARY}: a {info.command} run that was not finished")
    content = folder.read_json(SUMMARY)
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, str) or schema not in _KINDS:
        raise InputError(f"{folder.name(SUMMARY)} is of no kind that can be shown (schema {shown(schema)})")
    try:
        summary = {"schema": schema, **conform(content, schemas.SUMMARIES[schema], SUMMARY, gaps)}
    except Wrong as wrong:
        raise InputError(f"{folder.shown}: {wrong}") from None
    _keep_what_fits(summary, gaps)
    if [] in (summary.get("rows"), summary.get("blocks")):
        raise InputError(f"{folder.name(SUMMARY)} holds no row that can be shown")
    return Run(_KINDS[schema], folder, info, summary, gaps)


def _keep_what_fits(summary: dict[str, Any], gaps: list[str]) -> None:
    """Leave out the rows of a summary that are of too many lengths, or more than can be drawn; a gap for each."""
    left = MOST_CELLS
    for what in ("rows", "blocks", "lengths", "stages", "sites"):
        rows = summary.get(what) or []
        lengths = list(dict.fromkeys(row.get("seconds") for row in rows))[:MOST_LENGTHS]
        kept = [row for row in rows if row.get("seconds") in lengths][:MOST_ROWS]
        # Each value of a step is drawn, at several times the cost of one in a table.
        sizes = list(accumulate(_cells(row) + 3 * _cells(row.get("by_step", [])) for row in kept))
        kept = kept[: sum(size <= left for size in sizes)]
        left -= sizes[len(kept) - 1] if kept else 0
        if len(kept) < len(rows):
            gaps.append(f"{SUMMARY}.{what}: only {len(kept)} of {len(rows)} are shown, they are too many")
            summary[what] = kept


def _cells(value: Any) -> int:
    if isinstance(value, (list, dict)):
        return sum(map(_cells, value.values() if isinstance(value, dict) else value))
    return 1


def _info(folder: Folder, gaps: list[str]) -> RunInfo:
    content = folder.read_json(RUN)
    if not isinstance(content, dict) or content.get("schema") != RUN_SCHEMA:
        raise InputError(f"{folder.name(RUN)} is no run of this version of focuslab (expected schema {RUN_SCHEMA!r})")
    try:
        fields = conform(content, schemas.INFO, RUN, gaps)
    except Wrong as wrong:
        raise InputError(f"{folder.shown}: {wrong}") from None
    # Of the model everything is shown, also what this version does not know.
    known = {name: value for name, value in fields["model"].items() if value is not None}
    fields["model"] = {**Named(Anything(4)).check(content["model"], "model", []), **known}
    return RunInfo(**{**fields, "prompts": tuple(fields["prompts"])})


def _add_plan(folder: Folder, name: str, found: Found, asked: bool = False) -> None:
    """Add the file if it is a plan; one that is none is passed over unless it was `asked` for by name."""
    try:
        content = folder.read_json(name, _SMALL)
        if asked or (isinstance(content, dict) and content.get("schema") == PLAN_SCHEMA):
            found.plans.append(PlanFile(folder.name(name), _checked_plan(content, folder.name(name))))
    except InputError as error:
        found.gaps.append(str(error))


def _checked_plan(content: Any, source: str) -> PlanSpec:
    plan = PlanSpec.from_json(content, source)
    numbers = [entry.max_seconds or 0 for entry in plan.entries]
    if len(plan.model) > schemas.LABEL or any(not is_number(n) or n > schemas.LENGTH.high for n in numbers):
        raise InputError(f"{source} has a name or a length that is too long to be shown")
    return plan


def _different(plans: list[PlanFile]) -> list[PlanFile]:
    return list({(p.plan.model, json.dumps(p.plan.to_json(), sort_keys=True)): p for p in reversed(plans)}.values())[
        ::-1
    ]


def _add_sound(folder: Folder, wav: str, name: str, found: Found) -> None:
    try:
        content = folder.read_json(name, _SMALL)
        if not isinstance(content, dict) or content.get("schema") != GENERATION_SCHEMA:
            return
        found.sounds.append(SoundFile(folder, wav, conform(content, schemas.GENERATION, name, found.gaps)))
    except Wrong as wrong:
        found.gaps.append(f"{folder.shown}: {wrong}")
    except InputError as error:
        found.gaps.append(str(error))


def read_arrays(run: Run) -> dict[str, Any]:
    """The arrays of a capture by name, as numpy; a file that is damaged is a gap of the run."""
    arrays: dict[str, Any] = {}
    if not run.folder.has(ARRAYS):
        return arrays
    try:
        folder = run.folder.within(ARRAYS)
        names = [name for name, is_folder in folder.entries() if not is_folder and name.endswith(".safetensors")]
    except InputError as error:
        run.gaps.append(str(error))
        return arrays
    left = MOST_ARRAY_BYTES
    for name in names:
        try:
            content = folder.read(name, left)
            left -= len(content)
            arrays |= parse_arrays(content, folder.name(name))
        except InputError as error:
            run.gaps.append(str(error))
    return arrays


def read_records(run: Run, shape: Fields) -> list[dict[str, Any]]:
    """The records of a run that have this shape; a line that is no JSON, or was cut off, is a gap of the run."""
    try:
        content = run.folder.read(RECORDS)
        run.folder.room.take(content, run.folder.name(RECORDS))
    except InputError as error:
        run.gaps.append(str(error))
        return []
    records, damaged = [], []
    lines = content.split(b"\n", MOST_RECORDS)
    if len(lines) > MOST_RECORDS and lines.pop():
        run.gaps.append(f"{run.folder.name(RECORDS)} has more than {MOST_RECORDS} lines, and only those were read")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            records.append(conform(parse_clean_json(line, "a line"), shape, RECORDS, []))
        except InputError:
            damaged.append(number)
        except Wrong:
            continue
    if damaged:
        where = f"line {damaged[0]}" + (f" and {len(damaged) - 1} more" if len(damaged) > 1 else "")
        run.gaps.append(f"{run.folder.name(RECORDS)} is damaged in {where}; left out")
    return records


def _without_parts(runs: list[Run]) -> list[Run]:
    """Without evaluations that lie in another one which has all of their rows, such as one length of a table."""
    whole = [run for run in runs if run.kind == "evaluation"]

    def is_part(run: Run) -> bool:
        around = [other for other in whole if run.lies_in(other)]
        return any(all(row in other.summary["rows"] for row in run.summary["rows"]) for other in around)

    return [run for run in runs if not (run.kind == "evaluation" and is_part(run))]
