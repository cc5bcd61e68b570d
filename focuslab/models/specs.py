"""From what a user names a model by to a pipeline that runs: the bundled model, random ones, directories, the hub."""

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from focuslab.checks import check_text
from focuslab.errors import InputError
from focuslab.models.recipes import STAND_IN

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

BUNDLED = Path(__file__).parent / "tiny"


def load(
    model: "str | os.PathLike[str]" = "tiny",
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    *,
    offline: bool = False,
) -> "DiffusionPipeline":
    """A pipeline that is ready to run.

    Parameters
    ----------
    model : str or path
        "tiny" (the bundled trained model), a random model made on the spot, such as "random:audioldm2", "random:tango"
        or the small "random:tiny", a directory made by `save_pretrained` or in the layout of Tango, or a hub id such as
        "cvssp/audioldm2", "cvssp/audioldm-m-full", "ucsd-reach/musicldm" or "declare-lab/tango2".
    device : str or torch.device, optional
        None or "auto" is CUDA where there is one, else the CPU.
    dtype : str or torch.dtype, optional
        "float32", "bfloat16", "float16" or the torch types. None or "auto" is float16 on CUDA, else float32.
    offline : bool
        Take hub models from this machine's cache only, as HF_HUB_OFFLINE=1 does. Nothing else uses the network.

    Returns
    -------
    DiffusionPipeline

    Raises
    ------
    InputError
        For whatever is unknown or cannot be loaded whole.
    """
    from focuslab.models.placement import own_defaults, resolve_device, resolve_dtype
    from focuslab.models.settings import check_settings

    model = os.fspath(model) if isinstance(model, os.PathLike) else model
    check_text("model", model)
    device = resolve_device(device)
    dtype = resolve_dtype(dtype, device)
    with own_defaults():
        pipe = _open(model, dtype, offline)
    check_settings(pipe)
    # float16 on a CPU is slow but right, and it was asked for: no warning about it.
    pipe = pipe.to(device, silence_dtype_warnings=True)
    pipe._focuslab_model = model
    return pipe


def bundled() -> Path:
    """The directory of the bundled model. Raises `InputError` where this installation carries none."""
    if not (BUNDLED / "model_index.json").is_file():
        raise InputError(
            f"this installation carries no bundled model (nothing in {BUNDLED}): instead of 'tiny' give "
            "'random:tiny', 'random:audioldm2', a directory made by save_pretrained, or a hub id 'org/name'"
        )
    return BUNDLED


def stand_ins(pipe: "DiffusionPipeline") -> tuple[str, ...]:
    """Names of the components that only have the right output shapes; () for a real model.

    Their time and memory are not those of the model and have to be reported as not measured.
    """
    return tuple(
        name for name, part in pipe.components.items() if getattr(getattr(part, "config", None), STAND_IN, False)
    )


def names() -> tuple[str, ...]:
    """Models that need no directory and no hub."""
    from focuslab.models.families import RECIPES

    return ("tiny", *RECIPES)


def _open(model: str, dtype: "torch.dtype", offline: bool) -> "DiffusionPipeline":
    from focuslab.models.hub import fetch, is_hub_id
    from focuslab.models.random_models import random_pipeline

    if model == "tiny":
        return _from(bundled(), dtype, offline)
    if model in names():
        return random_pipeline(model, dtype)
    path = Path(model).expanduser()
    if model and path.is_dir():
        return _from(path, dtype, offline)
    if path.is_file():
        raise InputError(f"model {model!r} is a file: expected the directory that holds model_index.json")
    if is_hub_id(model):
        return _from(fetch(model, offline), dtype, offline)
    near = difflib.get_close_matches(model, names(), n=1)
    hint = f"did you mean {near[0]!r}? " if near else "there is no such directory; " if "/" in model else ""
    raise InputError(
        f"unknown model {model!r}: {hint}expected {', '.join(map(repr, names()))}, "
        "an existing directory made by save_pretrained, or a hub id 'org/name'"
    )


def _from(path: Path, dtype: "torch.dtype", offline: bool) -> "DiffusionPipeline":
    from focuslab.models.directory import load_directory
    from focuslab.models.tango_files import is_tango, load_tango

    return load_tango(path, dtype, offline) if is_tango(path) else load_directory(path, dtype)
