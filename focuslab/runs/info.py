"""How a run was made, on which machine, and in what two runs differ."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
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


LONGEST = 48
"""Characters of a value that is shown."""
MOST = 3
"""Differences that are shown."""
_OF_COMPONENTS = {"weights": "weights", "settings": "settings", "dtypes": "dtype", "adapters": "adapters"}
"""Parts of a model that hold something of each component."""
_DIGESTS = ("weights", "settings", "noise_levels", "layers", "content")
"""What is too long a number to say anything when shown."""


def differences(found: Any, asked: Any, *path: str) -> list[str]:
    """Where two parts of an identity differ.

    Parameters
    ----------
    found, asked : Any
        Of the run that is there and of the one that is asked for, in JSON's types.
    *path : str
        Where in an identity they are.

    Returns
    -------
    list of str
        For instance "seed: 0 there, 1 here" and "weights of unet"; values only where they are short.
    """
    if found == asked:
        return []
    if path[-1:] == ("scheduler",) and _class(found) != _class(asked):
        # Every other field would differ as well.
        found, asked = _class(found), _class(asked)
    if isinstance(found, dict) and isinstance(asked, dict):
        keys = sorted(found.keys() | asked.keys())
        return [line for key in keys for line in differences(found.get(key), asked.get(key), *path, key)]
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in (found, asked)]
    if not set(_DIGESTS).isdisjoint(path) or max(map(len, texts)) > LONGEST:
        return [_place(path)]
    there, here = ("none" if text == "null" else text for text in texts)
    return [f"{_place(path)}: {there} there, {here} here"]


def first_few(lines: Sequence[str]) -> str:
    """The first few differences in one line, and how many more there are."""
    more = len(lines) - MOST
    return "; ".join(lines[:MOST]) + (f"; and {more} more" if more > 0 else "")


def _class(scheduler: Any) -> Any:
    return scheduler.get("class") if isinstance(scheduler, dict) else None


def _place(path: tuple[str, ...]) -> str:
    if path[0] != "model" or len(path) == 1:
        return ".".join(path)
    what, *rest = path[1:]
    if what in _OF_COMPONENTS and rest:
        return ".".join([f"{_OF_COMPONENTS[what]} of {rest[0]}", *rest[1:]])
    return ".".join([what.replace("_", " "), *rest])


PACKAGES = ("focuslab", "torch", "diffusers", "transformers", "tomesd", "numpy")


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def machine(device: str) -> dict[str, str | int]:
    """The processor, its threads in torch, and the accelerator that `device` names, where it names one."""
    import torch

    facts: dict[str, str | int] = {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
    }
    if torch.device(device).type == "cuda":
        facts["accelerator"] = torch.cuda.get_device_name(device)
        facts["cuda"] = torch.version.cuda or torch.version.hip or "unknown"
    return facts


def arithmetic(device: str) -> dict[str, str | bool | None]:
    """What torch was told that changes the numbers of a whole program: the precision of products of float32, and the
    dtype of autocast where it is on."""
    import torch

    kind = torch.device(device).type
    matmul = getattr(torch.backends.cuda if kind == "cuda" else torch.backends.mkldnn, "matmul", None)
    # Before torch 2.9 there is one setting for all backends; from then on it may be refused once others were used.
    precision = getattr(matmul, "fp32_precision", None) or torch.get_float32_matmul_precision()
    autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    facts = {
        "float32_products": "ieee" if precision in ("none", "highest") else precision,
        "autocast": autocast and str(autocast).removeprefix("torch."),
    }
    return {**facts, "cudnn_tf32": torch.backends.cudnn.allow_tf32} if kind == "cuda" else facts


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
