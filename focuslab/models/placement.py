"""Which device and which floating-point type a pipeline goes to."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from focuslab.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def device_of(pipe) -> torch.device:
    """The device that a pipeline computes on, which is not where its weights rest when they are offloaded."""
    return torch.device(pipe._execution_device)


def device_of_module(module: nn.Module) -> torch.device:
    """The device that one component computes on, or a part of it that is called by itself."""
    for part in module.modules():
        # A hook of accelerate brings weights that rest elsewhere to this device when they are needed.
        device = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(module.parameters()).device


@contextmanager
def own_defaults() -> Iterator[None]:
    """Within it torch makes float32 tensors on the CPU, whatever the caller has set as defaults."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)


def resolve_device(device: str | torch.device | None) -> torch.device:
    """None or "auto": CUDA where there is one, else the CPU. Raises `InputError` for a device that is not there."""
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError, TypeError, ValueError, NotImplementedError):
        found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise InputError(
            f"device {str(device)!r} cannot be used here: expected 'auto' or one of this machine's, {', '.join(found)}"
        ) from None
    if wanted.type == "meta":
        raise InputError("device 'meta' holds no numbers, so nothing could run on it: use 'auto', 'cpu' or 'cuda'")
    return wanted


def resolve_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """None or "auto": float16 on CUDA, float32 elsewhere. Raises `InputError` for any but the three of `DTYPES`."""
    if dtype is None or dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    chosen = DTYPES.get(dtype, dtype) if isinstance(dtype, str) else dtype
    if chosen not in DTYPES.values():
        raise InputError(f"dtype {str(dtype)!r} is not supported: expected 'auto', {', '.join(map(repr, DTYPES))}")
    return chosen
