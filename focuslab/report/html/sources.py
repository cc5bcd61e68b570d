"""Finds the runs, plans and clips in directories and reads them, so that whatever is returned can be relied on.

What is damaged is named in `gaps` and left out; the rest is shown.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from focuslab.checks import is_number, shown
from focuslab.errors import InputError
from focuslab.io.json_text import Room
from focuslab.runs import RunInfo, arrays, kinds
from focuslab.runs.checked import salvaged
from focuslab.runs.directory import RUN, SUMMARY
from focuslab.runs.folder import Folder, cleaned, or_gap
from focuslab.runs.loading import check_not_emptied, load_info, load_records, load_summary, of_shape
from focuslab.runs.plan import PlanSpec
from focuslab.runs.schemas.evaluation import Generation
from focuslab.runs.schemas.types import LABEL, LONGEST

MOST_JSON = 2**30
"""Bytes of memory that all JSON of a page may take, one file after another; what comes after is a gap."""
DEPTH = 5
MOST_FOLDERS = 2_000
MOST_RUNS = 500
MOST_RECORDS = 50_000
"""Lines of a run's records that are read."""
MOST_LENGTHS, MOST_ROWS, MOST_CELLS = 40, 400, 200_000
"""Of a run: lengths, rows of one kind, and single values in all of them."""
_CLOSED = {arrays.ARRAYS, "figures", "trace", "embeddings", "audio"}
"""Folders of a run that hold no runs."""
_SMALL = 2**24


@dataclass
class Run:
    """One run directory; `gaps` says what was not right in it."""

    folder: Folder
    info: RunInfo
    summary: dict[str, Any]
    gaps: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """Such as "profile" or "attention"."""
        return self.summary["schema"].split("/")[1]

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


def find(paths: Iterable[str | Path]) -> Found:
    """Everything in these directories, and in directories below them, that focuslab wrote; a plan may be a file.

    Raises `InputError` where a path does not exist or nothing at all can be shown.
    """
    found = Found()
    room = Room(MOST_JSON)
    for path in map(Path, paths):
        if path.is_dir():
            _walk(Folder(path, room), found, DEPTH, [0])
        elif path.is_file():
            with or_gap(found.gaps):
                _add_file(Folder(path.parent, room), path.name, None, found, asked=True)
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
    entries: list[tuple[str, bool]] = []
    with or_gap(found.gaps):
        entries = list(folder.entries())
    with or_gap(found.gaps):
        if entries and folder.has(RUN):
            found.runs.append(_read_run(folder))
    names = {name for name, is_folder in entries if not is_folder}
    for name, is_folder in entries:
        if is_folder and deep and name not in _CLOSED:
            _walk(folder.within(name), found, deep - 1, seen)
        elif not is_folder and name.endswith(".json") and name not in (RUN, SUMMARY):
            wav = f"{name[:-5]}.wav"
            with or_gap(found.gaps):
                _add_file(folder, name, wav if wav in names else None, found)


def _add_file(folder: Folder, name: str, wav: str | None, found: Found, asked: bool = False) -> None:
    """Add a plan, or the settings of a clip; anything else is passed over unless it was `asked` for by name."""
    content, source = cleaned(folder.read_json(name, _SMALL)), folder.name(name)
    schema = content.get("schema") if isinstance(content, dict) else None
    if wav and schema == kinds.GENERATION_SCHEMA:
        settings = salvaged(content, Generation, source, found.gaps)
        settings = {key: shortened(value) for key, value in settings.items()}
        found.sounds.append(SoundFile(folder, wav, settings))
    elif asked or (schema == kinds.PLAN_SCHEMA and not wav):
        plan = PlanSpec.from_json(content, source)
        numbers = [entry.max_seconds or 0 for entry in plan.entries]
        if len(plan.model) > LABEL or any(not is_number(n) or n > LONGEST for n in numbers):
            raise InputError(f"{source} has a name or a length that is too long to be shown")
        found.plans.append(PlanFile(source, plan))


def _read_run(folder: Folder) -> Run:
    gaps: list[str] = []
    info = load_info(folder, gaps)
    about = {name: cleaned(shortened(getattr(info, name))) for name in ("model", "parameters", "machine", "grids")}
    texts = ("command", "versions", "device", "dtype", "started", "ended")
    about |= {name: cleaned(getattr(info, name)) for name in texts}
    info = replace(info, **about, prompts=tuple(map(cleaned, info.prompts)))
    summary = cleaned(load_summary(folder, info.command, gaps=gaps))
    with or_gap(gaps):
        check_not_emptied(folder, info)
    _keep_what_fits(summary, gaps)
    if [] in (summary.get("rows"), summary.get("blocks")):
        raise InputError(f"{folder.name(SUMMARY)} holds no row that can be shown")
    return Run(folder, info, summary, gaps)


def shortened(value: Any, deep: int = 8, most: int = 2_000) -> Any:
    """JSON of any form, cut off where it is too deep or too long to be shown."""
    if isinstance(value, (list, dict)) and not deep:
        return "..."
    if isinstance(value, list):
        return [shortened(item, deep - 1) for item in value[:most]]
    if isinstance(value, dict):
        return {key: shortened(item, deep - 1) for key, item in list(value.items())[:most]}
    return value if isinstance(value, (str, bool)) or value is None or is_number(value) else shown(value)


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


def read_arrays(run: Run) -> dict[str, Any]:
    """The arrays of a capture by name, as numpy; a file that is damaged is a gap of the run."""
    return arrays.read_arrays(run.folder, run.gaps)


def read_records(run: Run, shape: type[BaseModel]) -> list[dict[str, Any]]:
    """The records of a run that have this shape; a line that is no JSON, or was cut off, is a gap of the run."""
    return cleaned(of_shape(load_records(run.folder, run.gaps, MOST_RECORDS), shape))


def _different(plans: list[PlanFile]) -> list[PlanFile]:
    """Without later copies of a plan."""
    firsts = {(p.plan.model, json.dumps(p.plan.to_json(), sort_keys=True)): p for p in reversed(plans)}
    return list(firsts.values())[::-1]


def _without_parts(runs: list[Run]) -> list[Run]:
    """Without evaluations that lie in another one which has all of their rows, such as one length of a table."""
    whole = [run for run in runs if run.kind == "evaluation"]

    def is_part(run: Run) -> bool:
        around = [other for other in whole if run.lies_in(other)]
        return any(all(row in other.summary["rows"] for row in run.summary["rows"]) for other in around)

    return [run for run in runs if not (run.kind == "evaluation" and is_part(run))]
