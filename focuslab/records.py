"""What goes to disk: how a run was made, and what it measured."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from focuslab.errors import FocuslabError, InputError, did_you_mean
from focuslab.fields import check_fields, check_text, check_whole, is_number, shown

RUN_SCHEMA = "focuslab/run/1"
GENERATION_SCHEMA = "focuslab/generation/1"
PROFILE_SCHEMA = "focuslab/profile/1"
ATTENTION_SCHEMA = "focuslab/attention/1"
SENSITIVITY_SCHEMA = "focuslab/sensitivity/1"
PLAN_SCHEMA = "focuslab/plan/1"
PROOF_SCHEMA = "focuslab/proof/1"
RECOMMENDATION_SCHEMA = "focuslab/recommendation/1"
EVALUATION_SCHEMA = "focuslab/evaluation/1"


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
        for name in ("model", "parameters", "machine", "versions", "grids"):
            if not isinstance(content[name], dict):
                raise InputError(f"{source}: {name} must be an object, not {shown(content[name])}")
        for name in ("command", "device", "dtype"):
            check_text(f"{source}: {name}", content[name])
        if not isinstance(content["prompts"], list) or not all(isinstance(p, str) for p in content["prompts"]):
            raise InputError(f"{source}: prompts must be a list of texts, not {shown(content['prompts'])}")
        return cls(**{k: tuple(v) if k == "prompts" else v for k, v in content.items() if k in names})


class Tabular:
    """A run that shows itself as HTML tables in a notebook, and gives its rows as a data frame.

    A subclass says which: `_tables()` are those of the terminal, `_rows()` dicts.
    """

    def _repr_html_(self) -> str:
        from focuslab.report.page.notebook import tables_html

        return tables_html(self._tables())

    def to_pandas(self):
        """The rows as a `pandas.DataFrame`, nested numbers in columns such as "kind_share.resnet". Raises
        `FocuslabError` where pandas is not installed."""
        from focuslab.report.frames import frame

        return frame(self._rows())


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
    """A profile; `records` are in the order in which they were made."""

    SCHEMA, KIND = PROFILE_SCHEMA, "profile"

    def __repr__(self) -> str:
        from focuslab.report.tables import profile_table

        return profile_table(self.summary)

    def _tables(self) -> list:
        from focuslab.report.tables import profile_tables

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
        from focuslab.store import read_arrays

        directory = Path(directory)
        return cls(*_load(directory, ATTENTION_SCHEMA), read_arrays(directory), directory)

    def __repr__(self) -> str:
        from focuslab.report.tables import attention_table

        if not self.summary["blocks"]:
            return "<AttentionRun: no prompt has been recorded to its end>"
        return attention_table(self.summary)

    def to_pandas(self, of: str = "blocks"):
        """The rows of "blocks" or "sites" as a `pandas.DataFrame`, as of other runs."""
        from focuslab.report.frames import frame

        if of not in ("blocks", "sites"):
            raise InputError(f"a capture has rows of blocks and of sites, not of {of!r}")
        return frame(self.summary[of])

    def _tables(self) -> list:
        from focuslab.report.tables import attention_tables

        return attention_tables(self.summary) if self.summary["blocks"] else []


class SensitivityRun(Run):
    """A sensitivity pass; `records` are the errors of every group and method, and of every joint choice."""

    SCHEMA = SENSITIVITY_SCHEMA


class EvaluationRun(RowsRun):
    """An evaluation; `records` are what was measured of each item, in the order of the items."""

    SCHEMA, KIND = EVALUATION_SCHEMA, "evaluation"

    @classmethod
    def load(cls, directory: str | Path) -> "EvaluationRun":
        """From its run directory. Raises `InputError` naming a file that is not as `focuslab.evaluate` wrote it, and a
        run that has not come to its end."""
        from focuslab.store import RUN, SUMMARY

        directory = Path(directory)
        if (directory / RUN).exists() and not (directory / SUMMARY).exists():
            raise InputError(f"{directory} holds a run that was stopped: the command that began it goes on with it")
        return super().load(directory)

    def __repr__(self) -> str:
        from focuslab.report.quality_tables import quality_table

        return quality_table(self.summary)

    def _tables(self) -> list:
        from focuslab.report.quality_tables import quality_tables

        return quality_tables(self.summary, self.info)


class ProofRun(RowsRun):
    """A proof of a plan, one row a length and choice; `records` are the errors and the distances of sounds."""

    SCHEMA, KIND = PROOF_SCHEMA, "proof"

    def __repr__(self) -> str:
        from focuslab.report.proof_table import proof_table

        return proof_table(self.summary)

    def _tables(self) -> list:
        from focuslab.report.proof_table import table_of_proof

        return [table_of_proof(self.summary)]


@dataclass(frozen=True)
class PlanEntry:
    """What a plan does at lengths of at least `min_seconds` and below `max_seconds` (None: however long).

    sites: name of a site -> {"method": name, parameter: value, ...}, with the names of the command line and of the
    methods' parameters; a site that is not named stays dense. dense_steps: {"first": k, "last": l}, so many denoising
    steps at both ends of a generation stay dense at every site; None is none.
    """

    min_seconds: float
    max_seconds: float | None
    sites: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False)
    dense_steps: dict[str, int] | None = field(default=None, hash=False)

    def to_json(self) -> dict[str, Any]:
        content = asdict(self)
        return content if self.dense_steps else {k: v for k, v in content.items() if k != "dense_steps"}


@dataclass(frozen=True)
class Plan(Tabular):
    """Which sites to make sparse at which length, how, and why: `with plan(pipe): pipe(...)`.

    model: the name of the model it was made for. unet: what its UNet must look like to be taken (`unet_layout` in
    `focuslab.models.identity`). entries: by length, the first from 0 s, each from where the one before ends, the last
    without an end. evidence: where each number came from, any JSON object.

    The entry is that of the length being generated, which the latents round up to whole time steps (0.04 s in
    AudioLDM2). Raises `InputError` naming the field for anything that is no plan.
    """

    model: str
    unet: dict[str, Any] = field(hash=False)
    entries: tuple[PlanEntry, ...]
    evidence: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        object.__setattr__(self, "entries", tuple(self.entries))
        _check_plan(self)

    @classmethod
    def load(cls, path: str | Path) -> "Plan":
        """A plan from its file. Raises `InputError` naming the file and the field that is not as `write` wrote it."""
        from focuslab.store import read_json

        return cls.from_json(read_json(Path(path), "a plan, as focuslab recommend writes it"), str(path))

    def write(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the plan as JSON. Raises `InputError` if the file exists already, unless `force`."""
        from focuslab.store import to_json_bytes, write_atomically

        path = Path(path)
        if path.is_dir() or (path.exists() and not force):
            raise InputError(f"{path} exists already: give another name, or --force to replace it")
        content = to_json_bytes(self.to_json())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise FocuslabError(f"{path} cannot be written ({error.strerror})") from None
        return path

    def to_json(self) -> dict[str, Any]:
        entries = [entry.to_json() for entry in self.entries]
        return {
            "schema": PLAN_SCHEMA,
            "model": self.model,
            "unet": self.unet,
            "entries": entries,
            "evidence": self.evidence,
        }

    @classmethod
    def from_json(cls, content: Any, source: str) -> "Plan":
        """Raises `InputError` naming `source` and the field for anything but what `to_json` made."""
        content = check_schema(content, PLAN_SCHEMA, source)
        try:
            given = check_fields(content, "the plan", ("schema", "model", "unet", "entries"), ("evidence",))
            if not isinstance(given["entries"], list):
                raise InputError(f"entries must be a list, not {shown(given['entries'])}")
            entries = [
                PlanEntry(
                    **check_fields(entry, f"entries[{i}]", ("min_seconds", "max_seconds", "sites"), ("dense_steps",))
                )
                for i, entry in enumerate(given["entries"])
            ]
            return cls(given["model"], given["unet"], tuple(entries), given.get("evidence", {}))
        except InputError as error:
            raise InputError(f"{source}: {error}") from None

    def at_every_step(self) -> "Plan":
        """The same plan without dense steps: what it does in all the other steps."""
        return replace(self, entries=tuple(replace(entry, dense_steps=None) for entry in self.entries))

    @property
    def fingerprint(self) -> str:
        """Tells apart plans that do different things, whatever their evidence."""
        does = json.dumps({**self.to_json(), "evidence": None}, sort_keys=True)
        return hashlib.blake2b(does.encode(), digest_size=8).hexdigest()

    def attach(self, pipe):
        """Take over the plan's sites of a pipeline (or UNet) until `remove()` of the returned handle.

        Raises `InputError` for a UNet other than the plan's, or a method or parameter that does not exist.
        """
        from focuslab.methods.planned import Planned

        return Planned(self).attach(pipe)

    def __call__(self, pipe):
        """`with plan(pipe): pipe(...)`. Attaches at once; leaving restores the processors that were there."""
        return self.attach(pipe)

    def __repr__(self) -> str:
        does = "; ".join(f"{_range(entry)} {len(entry.sites)} sparse sites" for entry in self.entries)
        return f"<Plan {self.fingerprint} for {self.model}: {does}>"

    def _tables(self) -> list:
        from focuslab.report.plan_table import plan_tables

        return plan_tables(self)

    def _rows(self) -> list[dict[str, Any]]:
        from focuslab.report.frames import plan_rows

        return plan_rows(self)


def _range(entry: PlanEntry) -> str:
    if entry.max_seconds is None:
        return f"from {entry.min_seconds:g} s on"
    return f"{entry.min_seconds:g} to {entry.max_seconds:g} s"


def _check_plan(plan: Plan) -> None:
    check_text("model", plan.model)
    _check_unet(plan.unet)
    if not plan.entries:
        raise InputError("entries is empty: expected at least one, from 0 s on")
    end: float | None = 0
    for i, entry in enumerate(plan.entries):
        where = f"entries[{i}]"
        if end is None:
            raise InputError(f"entries[{i - 1}].max_seconds is null, but only the last entry may have no end")
        if not is_number(entry.min_seconds) or entry.min_seconds != end:
            given = shown(entry.min_seconds)
            raise InputError(f"{where}.min_seconds must be {end:g}, so that every length has one entry, not {given}")
        end = entry.max_seconds
        # In mel frames, too, it has to be a number.
        if end is not None and not (
            is_number(end) and is_number(end / plan.unet["frame_seconds"]) and end > entry.min_seconds
        ):
            raise InputError(
                f"{where}.max_seconds must be a number above min_seconds ({entry.min_seconds:g}), or null for no end, "
                f"not {shown(end)}"
            )
        _check_sites(f"{where}.sites", entry.sites, plan.unet["sites"])
        if entry.dense_steps is not None:
            steps = check_fields(entry.dense_steps, f"{where}.dense_steps", ("first", "last"))
            for name, count in steps.items():
                check_whole(f"{where}.dense_steps.{name}", count, 0)
    if end is not None:
        raise InputError(f"{where}.max_seconds must be null, so that every length has an entry, not {shown(end)}")
    if not isinstance(plan.evidence, dict):
        raise InputError(f"evidence must be an object, not {shown(plan.evidence)}")


def _check_unet(unet: Any) -> None:
    check_fields(unet, "unet", ("frame_seconds", "frames_per_latent", "latent_mel_rows", "sites"))
    if not (is_number(unet["frame_seconds"]) and unet["frame_seconds"] > 0):
        raise InputError(f"unet.frame_seconds must be a positive number, not {shown(unet['frame_seconds'])}")
    for name in ("frames_per_latent", "latent_mel_rows"):
        check_whole(f"unet.{name}", unet[name], 1)
    if not isinstance(unet["sites"], dict) or not unet["sites"]:
        raise InputError(f"unet.sites must name the UNet's self-attentions, not be {shown(unet['sites'])}")
    for site, shape in unet["sites"].items():
        where = f"unet.sites[{site!r}]"
        if not re.fullmatch(r"[\w.]+", site):
            raise InputError(f"{where} is no name of a module: expected letters, digits, _ and dots")
        check_fields(shape, where, ("mel_rows", "heads", "head_width"))
        for name, value in shape.items():
            check_whole(f"{where}.{name}", value, 1)


def _check_sites(where: str, sites: Any, known: Iterable[str]) -> None:
    if not isinstance(sites, dict):
        raise InputError(f"{where} must be an object, not {shown(sites)}")
    for site, given in sites.items():
        if site not in known:
            hint = did_you_mean(site, known)
            raise InputError(f"{where} names {site!r}, which is none of the {len(known)} sites in unet.sites{hint}")
        if not isinstance(given, dict) or not isinstance(given.get("method"), str):
            raise InputError(f"{where}[{site!r}] must be an object with a method, not {shown(given)}")
        for name, value in given.items():
            if not (isinstance(value, (str, bool)) or is_number(value)):
                raise InputError(f"{where}[{site!r}][{name!r}] must be text, a number or a boolean, not {shown(value)}")


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
