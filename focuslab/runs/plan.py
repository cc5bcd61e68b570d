"""Which sites are sparse at which length, how and why, as a file."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from focuslab.checks import check_fields, check_text, check_whole, is_number, plain, shown
from focuslab.errors import InputError, did_you_mean
from focuslab.io.files import already_there, check_place, failed, write_together
from focuslab.runs.directory import read_json, to_json_bytes
from focuslab.runs.info import PLAN_SCHEMA, check_schema

FIDELITY, QUALITY = "fidelity", "quality"
"""What a plan aims at, at one length: the sound of dense attention, or the best metric of quality."""

OnePlan = TypeVar("OnePlan", bound="PlanSpec")


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

    def __post_init__(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, plain(value))

    def to_json(self) -> dict[str, Any]:
        content = asdict(self)
        return content if self.dense_steps else {k: v for k, v in content.items() if k != "dense_steps"}


@dataclass(frozen=True, eq=False)
class PlanSpec:
    """What a plan says: which sites are sparse at which length, how, and why. `focuslab.Plan` applies it to a pipeline.

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
        for name in ("unet", "evidence"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        _check_plan(self)

    def __eq__(self, other: object) -> bool:
        """Whether they say the same, applied to a pipeline or not."""
        return isinstance(other, PlanSpec) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.model, self.entries))

    @classmethod
    def load(cls: type[OnePlan], path: str | Path) -> OnePlan:
        """A plan from its file. Raises `InputError` naming the file and the field that is not as `write` wrote it."""
        content = read_json(Path(path), "a plan, as focuslab recommend writes it", links=True)
        return cls.from_json(content, str(path))

    def write(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the plan as JSON. Raises `InputError` if the file exists already, unless `force`."""
        path = Path(path)
        check_place(path)
        content = to_json_bytes(self.to_json())
        try:
            if path.is_dir():
                raise already_there(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_together({path: content}, replace=force)
        except FileExistsError:
            raise already_there(path) from None
        except OSError as error:
            raise failed(path, error) from None
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
    def from_json(cls: type[OnePlan], content: Any, source: str) -> OnePlan:
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

    def at_every_step(self: OnePlan) -> OnePlan:
        """The same plan without dense steps: what it does in all the other steps."""
        return replace(self, entries=tuple(replace(entry, dense_steps=None) for entry in self.entries))

    @property
    def fingerprint(self) -> str:
        """Tells apart plans that do different things, whatever their evidence."""
        does = json.dumps({**self.to_json(), "evidence": None}, sort_keys=True)
        return hashlib.blake2b(does.encode(), digest_size=8).hexdigest()

    def __repr__(self) -> str:
        does = "; ".join(f"{_range(entry)} {len(entry.sites)} sparse sites" for entry in self.entries)
        return f"<Plan {self.fingerprint} for {self.model}: {does}>"


def _range(entry: PlanEntry) -> str:
    if entry.max_seconds is None:
        return f"from {entry.min_seconds:g} s on"
    return f"{entry.min_seconds:g} to {entry.max_seconds:g} s"


def _check_plan(plan: PlanSpec) -> None:
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


def block_of(site: str) -> str:
    """ "down_blocks.1.attentions.0.transformer_blocks.0.attn1" -> "down_blocks.1"; "mid_block..." -> "mid_block"."""
    first, _, rest = site.partition(".")
    number = rest.partition(".")[0]
    return f"{first}.{number}" if number.isdigit() else first
