"""Fingerprints of weights: all of them, fast enough to be taken before every run."""

import hashlib
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

THREADS = 4
"""Of the checksums; zlib lets go of the interpreter while it works."""


@torch.no_grad()
def fingerprint(module: nn.Module) -> str:
    """Tell apart modules whose weights differ in anything: a value, a dtype, a shape or a name.

    It is made of the bytes of every parameter and every saved buffer, so it is the same on every device, and for a
    model that was loaded from a hub, from a directory, or changed in memory. Each tensor counts by its CRC-32, so a
    change goes unseen with a probability of about 2e-10.

    Parameters
    ----------
    module : nn.Module
        Compiled or not. Weights that accelerate has offloaded are read where they rest.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    named = dict(_weights(module))
    with ThreadPoolExecutor(THREADS) as pool:
        checksums = pool.map(_checksum, named.values())
        lines = [
            f"{name} {tensor.dtype} {list(tensor.shape)} {checksum:08x}"
            for (name, tensor), checksum in zip(named.items(), checksums, strict=True)
        ]
    return hashlib.blake2b("\n".join(sorted(lines)).encode(), digest_size=8).hexdigest()


def _checksum(tensor: Tensor) -> int:
    flat = tensor.detach().to("cpu").contiguous().flatten()
    return zlib.crc32(flat.view(torch.uint8).numpy().data) if flat.numel() else 0


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for prefix, owner in module.named_modules():
        # torch.compile puts the module into another, under this name.
        prefix = prefix.replace("_orig_mod.", "").replace("_orig_mod", "")
        saved = {name: b for name, b in owner._buffers.items() if name not in owner._non_persistent_buffers_set}
        for name, tensor in {**owner._parameters, **saved}.items():
            if tensor is not None:
                yield f"{prefix}.{name}", _resting(owner, name) if tensor.is_meta else tensor


def _resting(owner: nn.Module, name: str) -> Tensor:
    """A weight that accelerate keeps elsewhere while the module does not run."""
    hook = getattr(owner, "_hf_hook", None)
    for part in getattr(hook, "hooks", (hook,)):
        weights = getattr(part, "weights_map", None)
        if weights is not None:
            return torch.as_tensor(weights[name])
    raise ValueError(f"{name} is on the meta device and has no contents")
