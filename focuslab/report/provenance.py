"""How a figure or table was made, in words."""

from focuslab.records import RunInfo


def provenance(command: str, first: RunInfo, last: RunInfo | None = None) -> str:
    """One sentence each on the command, the machine and the versions of a run, or of several from first to last."""
    machine = ", ".join(f"{name} {value}" for name, value in first.machine.items())
    versions = ", ".join(f"{name} {version}" for name, version in first.versions.items())
    return (
        f"Made by {command} --model {first.model['name']}, begun {first.started}, ended {(last or first).ended}. "
        f"Machine: {machine}; {first.dtype} on {first.device}. Versions: {versions}."
    )
