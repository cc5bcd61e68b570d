"""A pipeline from a directory, whole or not at all.

The libraries fill in what a directory lacks (new random weights, an empty vocabulary) and go on; here each component's
files are looked at before, and what was read into it is looked at after.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focuslab.checks import shown
from focuslab.errors import InputError
from focuslab.models.checks import WEIGHTS, check_configuration, check_folder, first_line, read_json

if TYPE_CHECKING:
    import torch
    from diffusers import AudioLDM2Pipeline

# What a component may be; GPT2Model is the older layout (legacy.py). Tokenizers of other classes would load, and the
# pipeline would silently leave the prompt out.
_CLASSES = {
    "vae": ("AutoencoderKL",),
    "text_encoder": ("ClapModel",),
    "text_encoder_2": ("T5EncoderModel",),
    "projection_model": ("AudioLDM2ProjectionModel",),
    "language_model": ("GPT2LMHeadModel", "GPT2Model"),
    "unet": ("AudioLDM2UNet2DConditionModel",),
    "vocoder": ("SpeechT5HifiGan",),
    "tokenizer": ("RobertaTokenizer", "RobertaTokenizerFast"),
    "tokenizer_2": ("T5Tokenizer", "T5TokenizerFast"),
    "feature_extractor": ("ClapFeatureExtractor",),
    "scheduler": (),  # any scheduler of diffusers
}

# Components without weights, and the sets of files of which one must be there.
_FILES = {
    "tokenizer": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "tokenizer_2": (("tokenizer.json",), ("spiece.model",)),
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


def load_directory(path: Path, dtype: "torch.dtype") -> "AudioLDM2Pipeline":
    """The pipeline saved in `path`, on the CPU in `dtype`, mended where it is of the older layout.

    Raises `InputError` naming what is missing or damaged.
    """
    index = read_index(path / "model_index.json", given=str(path))
    named = {name: _class_named(path, index, name) for name in _CLASSES}
    for name in _CLASSES:
        if name in _FILES:
            check_files(path / name, name, path)
        else:
            check_weights(path / name, name, path)

    from diffusers import AudioLDM2Pipeline

    from focuslab.models.legacy import mend

    with quiet():
        parts = {name: load_part(path / name, cls, None if name in _FILES else dtype) for name, cls in named.items()}
    parts["language_model"] = mend(parts["language_model"])
    return AudioLDM2Pipeline(**parts)


def read_index(file: Path, given: str) -> dict[str, Any]:
    """model_index.json of an AudioLDM2 pipeline; `given` is what the user called it. Raises `InputError`."""
    if not file.is_file():
        raise InputError(
            f"{given} is no AudioLDM2 pipeline: it has no model_index.json (expected a directory made by "
            "AudioLDM2Pipeline.save_pretrained)"
        )
    index = read_json(file)
    check_configuration(file, index)
    found = index.get("_class_name")
    if found != "AudioLDM2Pipeline":
        raise InputError(
            f"{given} is no AudioLDM2 pipeline: its model_index.json says {shown(found)}, not AudioLDM2Pipeline, whose "
            "latents have the mel-frequency axis that focuslab needs"
        )
    return index


def _class_named(path: Path, index: dict[str, Any], name: str) -> str:
    """The class that model_index.json names for a component, written there as [library, class]."""
    entry = index.get(name)
    if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry)):
        raise InputError(f"{path} lacks its {name}: model_index.json names none (an AudioLDM2 pipeline has one)")
    expected = _CLASSES[name]
    if expected and entry[1] not in expected:
        raise InputError(
            f"{path} has a {name} of class {shown(entry[1])}, expected {expected[0]}: of AudioLDM2's checkpoints those "
            "for text to audio or music can be loaded"
        )
    if not expected and not _is_scheduler(entry[1]):
        raise InputError(f"{path} has a {name} of class {shown(entry[1])}, expected one of the schedulers of diffusers")
    return entry[1]


def _is_scheduler(name: str) -> bool:
    import diffusers

    found = getattr(diffusers, name, None)
    return isinstance(found, type) and issubclass(found, diffusers.SchedulerMixin)


def check_files(folder: Path, name: str, given: Path) -> None:
    """Raises `InputError` if `folder` lacks the files of `name`, a component without weights of `given`, or holds
    what none may have."""
    if not any(all((folder / file).is_file() for file in files) for files in _FILES[name]):
        wanted = " or ".join(" and ".join(files) for files in _FILES[name])
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


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' progress bars and reports on keys: what matters of them becomes an error here."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = [(library, library.get_verbosity()) for library in (diffusers_logging, transformers_logging)]
    bars = transformers_logging.is_progress_bar_enabled()
    for library, _ in levels:
        library.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in levels:
            library.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
