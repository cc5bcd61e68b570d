"""How a run was made, and what marks its files as ours."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from focuslab.checks import check_text, shown
from focuslab.errors import InputError

RUN_SCHEMA = "focuslab/run/1"
GENERATION_SCHEMA = "focuslab/generation/1"
PROFILE_SCHEMA = "focuslab/profile/1"
ATTENTION_SCHEMA = "focuslab/attention/1"
SENSITIVITY_SCHEMA = "focuslab/sensitivity/1"
PLAN_SCHEMA = "focuslab/plan/1"
PROOF_SCHEMA = "focuslab/proof/1"
RECOMMENDATION_SCHEMA = "focuslab/recommendation/1"
CHOICE_SCHEMA = "focuslab/choice/1"
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
        machine = self.machine
        place = machine.get("accelerator") or f"{machine.get('processor')}, {machine.get('threads')} threads"
        return f"{self.model['name']}, {self.dtype} on {place}"

    @property
    def made_with(self) -> str:
        """The versions that numbers depend on, in words."""
        return ", ".join(f"{name} {self.versions.get(name)}" for name in ("torch", "diffusers", "focuslab"))

    def identity(self) -> dict[str, Any]:
        """All that must be equal for a run to be gone on with, in JSON's types."""
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
        for name in ("model", "parameters", "machine", "versions", "grids"):
            if not isinstance(content[name], dict):
                raise InputError(f"{source}: {name} must be an object, not {shown(content[name])}")
        for name in ("command", "device", "dtype"):
            check_text(f"{source}: {name}", content[name])
        if not isinstance(content["prompts"], list) or not all(isinstance(p, str) for p in content["prompts"]):
            raise InputError(f"{source}: prompts must be a list of texts, not {shown(content['prompts'])}")
        return cls(**{k: tuple(v) if k == "prompts" else v for k, v in content.items() if k in names})


def _writer(content: Mapping[str, Any]) -> str:
    """The version of focuslab that wrote a run.json, in words."""
    versions = content.get("versions")
    version = versions.get("focuslab") if isinstance(versions, dict) else None
    return f"focuslab {version}" if isinstance(version, str) and version.isprintable() else "an unknown focuslab"


def check_schema(content: Any, schema: str, source: str) -> dict[str, Any]:
    """`content` if it is an object of this schema. Raises `InputError` that says what it is instead."""
    found = content.get("schema") if isinstance(content, dict) else type(content).__name__
    if found != schema:
        raise InputError(f"{source} holds {shown(found)}, expected {schema!r}: is it from another command or version?")
    return content


def check_summary(summary: Mapping, schema: str, what: str) -> None:
    """Raises `InputError` for the summary of something else than `what`, whose schema this is; any version passes."""
    found = summary.get("schema")
    if not str(found).startswith(schema.rpartition("/")[0] + "/"):
        raise InputError(f"expected the summary of {what} (schema {schema}), got schema {shown(found)}")
