"""Arrays beside the records of a run, as safetensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from focuslab.errors import InputError
from focuslab.io.files import read_bytes, write_file
from focuslab.runs.folder import Folder, or_gap

ARRAYS = "arrays"
"""The folder of a run that holds them."""
MOST_ARRAY_BYTES = 2**28
"""Of all arrays of a run, which are read as a whole."""


def read_arrays(directory: Path | Folder, gaps: list[str] | None = None) -> dict[str, Any]:
    """All arrays of a run directory by name, as numpy.

    Raises `InputError` naming a file that is damaged; with `gaps` the error becomes a line there.
    """
    folder = directory if isinstance(directory, Folder) else Folder(directory)
    arrays: dict[str, Any] = {}
    if not folder.has(ARRAYS):
        return arrays
    names: list[str] = []
    with or_gap(gaps):
        within = folder.within(ARRAYS)
        names = [name for name, is_folder in within.entries() if not is_folder and name.endswith(".safetensors")]
    left = MOST_ARRAY_BYTES
    for name in names:
        with or_gap(gaps):
            content = within.read(name, left)
            left -= len(content)
            arrays |= parse_arrays(content, within.name(name))
    return arrays


def read_safetensors(path: Path) -> dict[str, Any]:
    """The arrays of one file by name, as numpy. Raises `InputError` naming the file where it is damaged."""
    return parse_arrays(read_bytes(path, most=MOST_ARRAY_BYTES), str(path))


def parse_arrays(content: bytes, source: str) -> dict[str, Any]:
    """The arrays in the content of a safetensors file. Raises `InputError` naming `source` where it is damaged, or
    holds a type that numpy lacks."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except KeyError as error:
        raise InputError(f"{source} holds an array of type {error}, which numpy lacks: save it as float32") from None
    except (SafetensorError, TypeError, ValueError) as error:
        raise InputError(f"{source} cannot be read ({error})") from None


def write_arrays(path: Path, arrays: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> None:
    """Write numpy arrays as safetensors, with `notes` as metadata, in a folder that is made where there is none."""
    from safetensors.numpy import save

    write_file(path, save(dict(arrays), dict(notes or {})))
