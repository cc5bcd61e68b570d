"""Which sites are sparse at which length, how and why, as a file; which sites a pattern names."""

import fnmatch
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from focuslab.checks import plain, settle
from focuslab.errors import InputError
from focuslab.io.files import already_there, check_place, write_new
from focuslab.runs.checked import checked
from focuslab.runs.directory import read_json, to_json_bytes
from focuslab.runs.kinds import PLAN_SCHEMA, check_schema
from focuslab.runs.schemas.plan import PlanContent

FIDELITY, QUALITY = "fidelity", "quality"
"""What a plan aims at, at one length: the clip of dense attention, or the best metric of quality."""

OnePlan = TypeVar("OnePlan", bound="PlanSpec")


@dataclass(frozen=True)
class PlanEntry:
    """What a plan does at lengths of at least `min_seconds` and below `max_seconds`.

    Attributes
    ----------
    min_seconds, max_seconds : float
        None as `max_seconds` is no end.
    sites : dict
        Site -> {"method": name, parameter: value, ...}, with the names of the command line and of the methods'
        parameters. A site that is not named stays dense.
    dense_steps : dict or None
        {"first": k, "last": l}: so many denoising steps at both ends of a generation stay dense at every site.
    """

    min_seconds: float
    max_seconds: float | None
    sites: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False)
    dense_steps: dict[str, int] | None = field(default=None, hash=False)

    def __post_init__(self):
        settle(self, **plain(vars(self)))

    def to_json(self) -> dict[str, Any]:
        content = asdict(self)
        return content if self.dense_steps else {k: v for k, v in content.items() if k != "dense_steps"}


@dataclass(frozen=True, eq=False)
class PlanSpec:
    """What a plan says: which sites are sparse at which length, how, and why. `focuslab.Plan` applies it to a pipeline.

    The entry that counts is that of the length being generated, which the latents round up to whole time steps (0.04 s
    in AudioLDM2).

    Attributes
    ----------
    model : str
        The name of the model it was made for.
    unet : dict
        What the UNet of a pipeline must look like to take it (`unet_layout` in `focuslab.models.identity`).
    entries : tuple of PlanEntry
        By length: the first from 0 s, each from where the one before ends, the last without an end.
    evidence : dict
        Where each number came from.

    Raises
    ------
    InputError
        It is no plan; the field is named.
    """

    model: str
    unet: dict[str, Any] = field(hash=False)
    entries: tuple[PlanEntry, ...]
    evidence: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        settle(self, entries=tuple(self.entries), unet=plain(self.unet), evidence=plain(self.evidence))
        checked({**vars(self), "entries": [vars(entry) for entry in self.entries]}, PlanContent, "the plan")

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
        if path.is_dir():
            raise already_there(path)
        write_new({path: to_json_bytes(self.to_json())}, force=force)
        return path

    def to_json(self) -> dict[str, Any]:
        entries = [entry.to_json() for entry in self.entries]
        return {"schema": PLAN_SCHEMA, **vars(self), "entries": entries}

    @classmethod
    def from_json(cls: type[OnePlan], content: Any, source: str) -> OnePlan:
        """Raises `InputError` naming `source` and the field for anything but what `to_json` made."""
        content = check_schema(content, PLAN_SCHEMA, source)
        content = {name: value for name, value in content.items() if name != "schema"}
        checked(content, PlanContent, source)
        entries = tuple(PlanEntry(**entry) for entry in content["entries"])
        try:
            return cls(content["model"], content["unet"], entries, content.get("evidence", {}))
        except InputError as error:  # a subclass knows the methods too
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


def block_of(site: str) -> str:
    """ "down_blocks.1.attentions.0.transformer_blocks.0.attn1" -> "down_blocks.1"; "mid_block..." -> "mid_block"."""
    first, _, rest = site.partition(".")
    number = rest.partition(".")[0]
    return f"{first}.{number}" if number.isdigit() else first


PAPER_LEVEL = 1
"""The paper makes the second-highest resolution of AudioLDM2 sparse: there the latent has been halved once. It is the
highest one that has self-attention, and in a UNet that attends at the full resolution it is that one."""


def matches(site: str, pattern: str) -> bool:
    """Whether a pattern names a site: its name, its block, or a shell pattern such as "up_blocks.*.attn1"."""
    return pattern in (site, block_of(site)) or fnmatch.fnmatchcase(site, pattern)


def sites_of_layout(unet: Mapping[str, Any], patterns: Iterable[str] | None) -> tuple[str, ...]:
    """The sites of a plan's `unet` that any of the patterns names; None is the paper's choice."""
    if patterns is None:
        most = max(shape["mel_rows"] for shape in unet["sites"].values())
        # Each halving rounds up.
        mel_rows = max(most, -(-unet["latent_mel_rows"] // 2**PAPER_LEVEL))
        return tuple(site for site, shape in unet["sites"].items() if shape["mel_rows"] == mel_rows)
    patterns = tuple(patterns)
    return tuple(site for site in unet["sites"] if any(matches(site, pattern) for pattern in patterns))
