"""How a figure or table was made, in words."""

import shlex
from typing import Any

from focuslab.runs import RunInfo


def provenance(command: str, first: RunInfo, last: RunInfo | None = None, **options: Any) -> str:
    """One sentence each on the command, the machine and the versions of a run, or of several from first to last.

    options: of the command, beside --model, by name; a sequence is joined by commas.
    """
    given = "".join(f" --{name} {_shown(value)}" for name, value in {"model": first.model["name"], **options}.items())
    machine = ", ".join(f"{name} {value}" for name, value in first.machine.items())
    versions = ", ".join(f"{name} {version}" for name, version in first.versions.items())
    return (
        f"Made by {command}{given}, begun {first.started}, ended {(last or first).ended}. "
        f"Machine: {machine}; {first.dtype} on {first.device}. Versions: {versions}."
    )


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else shlex.quote(str(value))
