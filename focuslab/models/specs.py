"""From what a user names a model by to a pipeline that runs: the bundled model, random ones, directories, the hub."""

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from focuslab.checks import check_text
from focuslab.errors import InputError
from focuslab.models.recipes import RECIPES, STAND_IN

if TYPE_CHECKING:
    import torch
    from diffusers import AudioLDM2Pipeline

BUNDLED = Path(__file__).parent / "tiny"
NAMES = ("tiny", *RECIPES)


def load(
    model: "str | os.PathLike[str]" = "tiny",
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    *,
    offline: bool = False,
) -> "AudioLDM2Pipeline":
    """A pipeline that is ready to run.

    Parameters
    ----------
    model : str or path
        "tiny" (the bundled trained model), "random:tiny", "random:audioldm2" or "random:audioldm2-large" (random
        weights, made on the spot), a directory made by `save_pretrained`, or a hub id such as "cvssp/audioldm2".
    device : str or torch.device, optional
        None or "auto" is CUDA where there is one, else the CPU.
    dtype : str or torch.dtype, optional
        "float32", "bfloat16", "float16" or the torch types. None or "auto" is float16 on CUDA, else float32.
    offline : bool
        Take hub models from this machine's cache only, as HF_HUB_OFFLINE=1 does. Nothing else uses the network.

    Returns
    -------
    AudioLDM2Pipeline

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


def stand_ins(pipe: "AudioLDM2Pipeline") -> tuple[str, ...]:
    """Names of the components that only have the right output shapes; () for a real model.

    Their time and memory are not those of the model and have to be reported as not measured.
    """
    return tuple(
        name for name, part in pipe.components.items() if getattr(getattr(part, "config", None), STAND_IN, False)
    )


def _open(model: str, dtype: "torch.dtype", offline: bool) -> "AudioLDM2Pipeline":
    if model in RECIPES:
        from focuslab.models.random_models import random_pipeline

        return random_pipeline(model, dtype)

    from focuslab.models.directory import load_directory
    from focuslab.models.hub import fetch, is_hub_id

    if model == "tiny":
        return load_directory(bundled(), dtype)
    path = Path(model).expanduser()
    if model and path.is_dir():
        return load_directory(path, dtype)
    if path.is_file():
        raise InputError(f"model {model!r} is a file: expected the directory that holds model_index.json")
    if is_hub_id(model):
        return load_directory(fetch(model, offline), dtype)
    near = difflib.get_close_matches(model, NAMES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else "there is no such directory; " if "/" in model else ""
    raise InputError(
        f"unknown model {model!r}: {hint}expected {', '.join(map(repr, NAMES))}, "
        "an existing directory made by save_pretrained, or a hub id 'org/name'"
    )
