"""What the directory of a model may hold: regular files of sane size, and nothing that would have code run."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from focuslab.checks import shown
from focuslab.errors import InputError
from focuslab.io.files import MOST_BYTES, open_regular, read_bytes
from focuslab.io.json_text import Room, parse_json

WEIGHTS = (".safetensors", ".bin")
"""How the names of files of weights end; all other files of a model are small."""
_MOST_FILES = 1_000
_MOST_LAYERS = 200
"""Of a kind in a model, and of items in a list: each takes time and memory as soon as it is built."""
_MOST = {"extra_ids": 1_000, "num_train_timesteps": 100_000, "feature_size": 1_024}
_MOST |= {"fft_window_size": 2**14, "model_max_length": 100_000}
_NO_LIMIT = 10**20
"""From here on transformers takes the longest text of a tokenizer for unlimited, and pads to none."""
_CODE = ("auto_map", "custom_pipelines", "fast_tokenizer_files", "quantization_config")
"""Fields of a configuration by which the libraries find classes, files or kernels elsewhere."""
_KERNELS = ("attn_implementation", "experts_implementation")
_KNOWN_KERNELS = (None, "eager", "sdpa")


def first_line(error: Exception) -> str:
    """What an error of a library says, cut to one line."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__


def read_json(file: Path, room: Room | None = None) -> dict[str, Any]:
    """The JSON object in `file` of a model. Raises `InputError` if it is damaged."""
    try:
        content = parse_json(read_bytes(file, "a file of a model", links=True), str(file), room)
    except InputError as error:
        raise InputError(f"{file} is damaged ({error}): copy or download it again") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} is damaged (it holds no JSON object): copy or download it again")
    return content


def check_folder(folder: Path) -> None:
    """Raises `InputError` for a folder of a model with anything in it that is not to be read, or that asks for code."""
    room = Room()
    try:
        for path in islice(folder.rglob("*"), _MOST_FILES):
            if path.is_dir():
                continue
            if path.name == "adapter_config.json":
                raise InputError(f"{path} belongs to an adapter: merge it into the weights, and save the model again")
            _check_file(path)
            if path.suffix == ".json":
                check_configuration(path, read_json(path, room))
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror})") from None


def _check_file(path: Path) -> None:
    descriptor = open_regular(path)
    size = os.fstat(descriptor).st_size
    os.close(descriptor)
    if size > MOST_BYTES and path.suffix not in WEIGHTS:
        raise InputError(f"{path} has {size} bytes: expected at most {MOST_BYTES}")


def check_configuration(file: Path, content: dict[str, Any]) -> None:
    """Raises `InputError` where a file of a model asks for code of its own, or for more layers than can be built."""
    if file.name in ("tokenizer.json", "vocab.json"):
        # Their names are tokens.
        return
    for name, value in _fields(content):
        if name in _CODE and value:
            raise InputError(f"{file} asks for code or files of its own ({name}), which are never used: remove it")
        if name.removeprefix("_").removesuffix("_internal") in _KERNELS and value not in _KNOWN_KERNELS:
            raise InputError(f"{file} asks for the kernel {shown(value)} ({name}): expected eager or sdpa")
        most = _MOST.get(name, _MOST_LAYERS)
        asked = sum(_whole_numbers(value)) if name in _MOST or "layer" in name or "depth" in name else 0
        if file.name == "config.json" and isinstance(value, list):
            asked = max(asked, len(value))
        if name == "model_max_length" and asked > _NO_LIMIT:
            continue
        if asked > most:
            raise InputError(f"{file} asks for too much ({name}: {shown(value)}): expected at most {most}")


def _fields(content: Any) -> Iterator[tuple[str, Any]]:
    """All fields of an object and of those in it."""
    for name, value in content.items() if isinstance(content, dict) else ():
        yield name, value
        yield from _fields(value)
    for item in content if isinstance(content, list) else ():
        yield from _fields(item)


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield abs(value)
    for item in value if isinstance(value, list) else ():
        yield from _whole_numbers(item)
