"""A pipeline from a directory, whole or not at all.

The libraries fill in what a directory lacks (new random weights, an empty vocabulary) and go on; here each component's
files are looked at before, and what was read into it is looked at after.
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focuslab.checks import shown
from focuslab.errors import InputError
from focuslab.models.checks import WEIGHTS, check_configuration, check_folder, first_line, read_json
from focuslab.models.families import FAMILIES, family_named
from focuslab.models.family import T5, Family
from focuslab.models.libraries import quiet
from focuslab.models.sites import ONE_DIMENSIONAL

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

_EXPECTED = " or ".join(family.pipeline for family in FAMILIES)
# Components without weights, and the sets of files of which one must be there.
_T5_FILES = (("tokenizer.json",), ("spiece.model",))
_FILES = {
    "tokenizer": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "tokenizer_2": _T5_FILES,
    "feature_extractor": (("preprocessor_config.json",), ("processor_config.json",)),
    "scheduler": (("scheduler_config.json",),),
}

_COMPUTED = 2**25
"""Numbers that a model may have beside its weights: positions, masks."""

_WEIGHTS = tuple(
    name + ending
    for ending in (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")
    for name in ("diffusion_pytorch_model", "model", "pytorch_model")
)


def load_directory(path: Path, dtype: "torch.dtype") -> "DiffusionPipeline":
    """The pipeline saved in `path`, on the CPU in `dtype`, mended where it is of an older layout.

    Raises `InputError` naming what is missing or damaged.
    """
    index, family = read_index(path / "model_index.json", given=str(path))
    named = {name: _class_named(path, index, name, family) for name in family.classes}
    for name, cls in named.items():
        if name in _FILES:
            check_files(path / name, name, path, _T5_FILES if cls in T5 else _FILES[name])
        else:
            check_weights(path / name, name, path)
    with quiet():
        parts = {name: load_part(path / name, cls, None if name in _FILES else dtype) for name, cls in named.items()}
    return family.make(parts)


def read_index(file: Path, given: str) -> tuple[dict[str, Any], Family]:
    """model_index.json of a pipeline, and its family; `given` is what the user called it. Raises `InputError`."""
    if not file.is_file():
        raise InputError(
            f"{given} is no pipeline: it has no model_index.json (expected a directory made by save_pretrained of "
            f"{_EXPECTED}, or Tango's files)"
        )
    index = read_json(file)
    check_configuration(file, index)
    found = index.get("_class_name")
    family = family_named(found)
    if family is None:
        shape = (
            "are one-dimensional" if str(found).startswith(ONE_DIMENSIONAL) else "need not have a mel-frequency axis"
        )
        raise InputError(
            f"{given} cannot be loaded: its model_index.json says {shown(found)}, whose latents {shape}; expected "
            f"{_EXPECTED}"
        )
    return index, family


def _class_named(path: Path, index: dict[str, Any], name: str, family: Family) -> str:
    """The class that model_index.json names for a component, written there as [library, class]."""
    entry = index.get(name)
    if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry)):
        raise InputError(f"{path} lacks its {name}: model_index.json names none ({family.pipeline} has one)")
    expected = family.classes[name]
    if expected and entry[1] not in expected:
        raise InputError(
            f"{path} has a {name} of class {shown(entry[1])}, expected {expected[0]}: of {family.name}'s checkpoints "
            "those for text to audio or music can be loaded"
        )
    if not expected and not _is_scheduler(entry[1]):
        raise InputError(f"{path} has a {name} of class {shown(entry[1])}, expected one of the schedulers of diffusers")
    return entry[1]


def _is_scheduler(name: str) -> bool:
    import diffusers

    found = getattr(diffusers, name, None)
    return isinstance(found, type) and issubclass(found, diffusers.SchedulerMixin)


def check_files(folder: Path, name: str, given: Path, sets: Sequence[Sequence[str]] | None = None) -> None:
    """Raises `InputError` if `folder` lacks the files of `name`, a component without weights of `given`, or holds
    what none may have. sets: the sets of files of which one must be there, where they are not those of the name."""
    sets = sets or _FILES[name]
    if not any(all((folder / file).is_file() for file in files) for files in sets):
        wanted = " or ".join(" and ".join(files) for files in sets)
        raise InputError(f"{given} lacks its {name}: expected {wanted} in {folder}")
    check_folder(folder)


def check_weights(folder: Path, name: str, given: Path) -> None:
    """Raises `InputError` if `folder` lacks the configuration or whole weights of `name`, a model in `given`, or holds
    what none may have."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{given} lacks its {name}: expected config.json and weights in {folder}")
    check_folder(folder)
    present = [folder / file for file in _WEIGHTS if (folder / file).is_file()]
    if not present:
        stem = "diffusion_pytorch_model" if name in ("vae", "unet", "projection_model") else "model"
        raise InputError(f"{given} lacks the weights of its {name}: expected {folder / stem}.safetensors")
    for file in present:
        _check_weight_file(file)


def _check_weight_file(file: Path) -> None:
    if file.name.endswith(".index.json"):
        for shard in _shards(file):
            if not (file.parent / shard).is_file():
                raise InputError(f"{file.parent / shard} is missing: {file.name} says that it holds weights")
            _check_weight_file(file.parent / shard)
    elif file.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            # Reads the header and compares it with the file's length: a copy that broke off is found at no cost.
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise InputError(f"{file} is damaged ({first_line(error)}): copy or download it again") from None


def _shards(index: Path) -> list[str]:
    """The files that an index of weights names. Raises `InputError` for one that names something else."""
    named = read_json(index).get("weight_map")
    shards = set(named.values()) if isinstance(named, dict) and all(map(_is_name, named.values())) else ()
    if not shards or not all(shard.endswith(WEIGHTS) for shard in shards):
        raise InputError(f"{index} is damaged (it names no files of weights beside it): copy or download it again")
    return sorted(shards)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w.-]+", value) is not None


def load_part(folder: Path, named: str, dtype: "torch.dtype | None") -> Any:
    """One component, of class `named`; `dtype` None for those without weights. Raises `InputError`."""
    import diffusers
    import transformers

    library = transformers if hasattr(transformers, named) else diffusers
    # Not every release of diffusers that we support knows `dtype`; transformers is giving up `torch_dtype`.
    spelling = "dtype" if library is transformers else "torch_dtype"
    with_weights = {} if dtype is None else {spelling: dtype, "output_loading_info": True}
    # Diffusers' own classes never load any code, and do not know the option.
    no_code = {"trust_remote_code": False} if library is transformers else {}
    cls = getattr(library, named)
    try:
        if dtype is not None:
            _check_extent(folder, cls)
        loaded = cls.from_pretrained(folder, local_files_only=True, **no_code, **with_weights)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{folder} cannot be loaded as {named} ({first_line(error)}): copy or download it again"
        ) from error
    if dtype is None:
        return loaded
    part, info = loaded
    # Integer buffers are positions and the like: computed, not learnt, and older files do not hold them.
    floating = {name for name, tensor in part.state_dict().items() if tensor.is_floating_point()}
    lost = sorted(set(info["missing_keys"]) & floating)
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise InputError(f"the weights in {folder} are not whole: {lost[0]}{more} missing, expected all of a {named}'s")
    return part


def _check_extent(folder: Path, cls: Any) -> None:
    """Raises `InputError` where the configuration describes a model that the files of weights cannot hold: made in
    full before it is compared with them, it could take all memory."""
    import torch

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(cls, "config_class") and cls.config_class is not None:
            model = cls(cls.config_class.from_pretrained(folder, local_files_only=True))
        else:
            model = cls.from_config(cls.load_config(folder, local_files_only=True))
    described = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    # A number takes a byte or more; buffers may be computed.
    held = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in WEIGHTS) + _COMPUTED
    if described > held:
        raise InputError(f"{folder} describes {described} numbers, and its weights are {held} bytes: copy it again")
