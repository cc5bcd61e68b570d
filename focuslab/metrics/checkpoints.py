"""From what a checkpoint is called to the folder of its model on this machine, checked before it is loaded."""

import os
from pathlib import Path

from focuslab.checks import shown
from focuslab.errors import InputError
from focuslab.models.checks import check_configuration, read_json
from focuslab.models.hub import fetch_checkpoint, is_hub_id


def locate(checkpoint: "str | os.PathLike[str]", model_type: str, expected: str, offline: bool) -> tuple[Path, str]:
    """The directory of a checkpoint, and its name for the records: as given, with the revision if it is of the hub.

    model_type: what its config.json has to say it is; expected: the same in words, with an example, for messages.
    Raises `InputError`.
    """
    given = os.fspath(checkpoint)

    def check(config: Path) -> None:
        content = read_json(config)
        check_configuration(config, content)
        found = content.get("model_type")
        if found != model_type:
            raise InputError(f"{given} is of model type {shown(found)} by its config.json: expected {expected}")

    path = Path(given).expanduser()
    if given and path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"{given} has no config.json: expected {expected}, or its directory")
        check(path / "config.json")
        return path, given
    if path.is_file():
        raise InputError(f"{given} is a file: expected the directory that holds config.json of {expected}")
    if is_hub_id(given):
        directory = fetch_checkpoint(given, check, expected, offline)
        return directory, f"{given}@{directory.name}"
    raise InputError(f"no checkpoint {given!r}: there is no such directory, and a hub id is org/name; give {expected}")
