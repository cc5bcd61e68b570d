"""How a run was made."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from focuslab.errors import InputError
from focuslab.runs.checked import checked
from focuslab.runs.kinds import RUN_SCHEMA, check_schema
from focuslab.runs.schemas.run import Info


@dataclass(frozen=True)
class RunInfo:
    """How a run was made. Two runs with equal `identity()` measure the same thing and may share a directory.

    Attributes
    ----------
    command : str
        The command of focuslab.
    model : dict
        What it was loaded as, and what it holds.
    parameters : dict
        Of the command.
    machine, versions : dict
        Where it ran, and with which packages.
    device, dtype, seed, prompts
        As they were given.
    grids : dict
        Length in seconds -> site -> [T, F]; filled in while running.
    started, ended : str or None
        ISO 8601, UTC.
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
        machine = self.machine
        place = machine.get("accelerator") or f"{machine.get('processor')}, {machine.get('threads')} threads"
        return f"{self.model['name']}, {self.dtype} on {place}"

    @property
    def made_with(self) -> str:
        """The versions that numbers depend on, in words."""
        return ", ".join(f"{name} {self.versions.get(name)}" for name in ("torch", "diffusers", "focuslab"))

    def identity(self) -> dict[str, Any]:
        """All that must be equal for a run to be resumed, in JSON's types."""
        passing = ("grids", "started", "ended")
        return json.loads(json.dumps({k: v for k, v in asdict(self).items() if k not in passing}))

    @property
    def written_by(self) -> str:
        """The version of focuslab, in words."""
        return _writer({"versions": self.versions})

    @property
    def knows_what_made_it(self) -> bool:
        """Whether it holds all that changes its numbers, which a run of focuslab 0.1.0 does not."""
        return "weights" in self.model

    @property
    def unet_fingerprint(self) -> str | None:
        """Of the UNet's weights; that of focuslab 0.1.0 was made of its first and last layer."""
        return self.model.get("weights", {}).get("unet") or self.model.get("unet_fingerprint")

    def to_json(self) -> dict[str, Any]:
        return {"schema": RUN_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, content: Any, source: str) -> "RunInfo":
        """Raises `InputError` naming `source` and the field for anything but what `to_json` made."""
        content = check_schema(content, RUN_SCHEMA, source)
        names = {f.name for f in fields(cls)}
        missing = sorted(names - content.keys())
        if missing:
            raise InputError(f"{source}, which {_writer(content)} wrote, lacks the field {missing[0]!r}: make it anew")
        checked(content, Info, source)
        known = {name: content[name] for name in names}
        return cls(**{**known, "prompts": tuple(content["prompts"]), "grids": content["grids"] or {}})


def _writer(content: Mapping[str, Any]) -> str:
    """The version of focuslab that wrote a run.json, in words."""
    versions = content.get("versions")
    version = versions.get("focuslab") if isinstance(versions, dict) else None
    return f"focuslab {version}" if isinstance(version, str) and version.isprintable() else "an unknown focuslab"
