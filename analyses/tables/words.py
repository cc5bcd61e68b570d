"""What the pages of several analyses say: how something was made, and which targets were met."""

import shlex
from collections.abc import Iterable
from typing import Any

from focuslab.runs import RunInfo


def targets(at_least: Iterable[tuple[str, float, float]], at_most: Iterable[tuple[str, float, float]]) -> str:
    """A table in Markdown of (what, target, measured), and whether each target was met."""
    lines = ["| what | target | measured | |", "| --- | --- | --- | --- |"]
    for sign, rows in (("at least", at_least), ("at most", at_most)):
        for what, target, measured in rows:
            met = measured >= target if sign == "at least" else measured <= target
            shown = f"{measured:.1e}" if 0 < abs(measured) < 5e-4 else f"{measured:.3f}"
            lines.append(f"| {what} | {sign} {target:g} | {shown} | {'met' if met else 'missed'} |")
    return "\n".join(lines)


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
