"""Fingerprints of weights: all of them, fast enough to be taken before every run."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from focuslab.errors import InputError

WIDTH = 2**14
"""Words of 8 bytes in a row. A row and what is computed of it stay in the cache of a CPU, and are too few for torch to
share out between threads, which would wait for each other longer than it takes to sum them."""
ROWS, CPU_ROWS = 512, 1
"""Rows that are summed at a time, 64 MB of them, but on a CPU."""
SMALL = 2**15
"""Values of tensors that are copied into one and summed together: as many or more, and torch would copy with several
threads. Most tensors are smaller, and a dozen operations for each of them would take most of the time."""


@torch.no_grad()
def fingerprint(module: nn.Module) -> str:
    """Tell apart modules whose weights differ in anything: a value, a dtype, a shape or a name.

    It is made of the bytes of every parameter and every saved buffer, so it is the same on every device, and for a
    model that was loaded from a hub, from a directory, or changed in memory. Weights are summed where they are, and a
    device is waited for once.

    Parameters
    ----------
    module : nn.Module
        Compiled or not. Weights that accelerate has offloaded are read where they rest.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    InputError
        Weights are on the meta device and nowhere else.

    Notes
    -----
    Words of 8 bytes are summed modulo 2**64, each times an odd factor of 64 bits that depends on its place. Integers
    make that exact in any order of summing. It changes with every change of a single value; weights that differ in
    more have the same fingerprint with a probability of about 2**-32 at most.
    """
    named = dict(sorted(_weights(module)))
    blocks: dict[str, list[Tensor]] = {}
    for name, tensor in named.items():
        blocks.setdefault(str(tensor.dtype) if tensor.numel() < SMALL else name, []).append(tensor)
    most = max((sum(tensor.nbytes for tensor in tensors) for tensors in blocks.values()), default=0)
    factors = functools.cache(functools.partial(_factors, WIDTH + most // (8 * WIDTH) + 1))
    sums = {key: _sum(_words(tensors), factors) for key, tensors in blocks.items()}
    numbers: dict[str, int] = {}
    for device in {found.device for found in sums.values()}:
        here = {key: found for key, found in sums.items() if found.device == device}
        numbers |= zip(here, torch.stack([*here.values()]).tolist(), strict=True)
    what = [(name, str(tensor.dtype), list(tensor.shape)) for name, tensor in named.items()]
    return hashlib.blake2b(json.dumps([what, numbers], sort_keys=True).encode(), digest_size=8).hexdigest()


def _words(tensors: Sequence[Tensor]) -> Tensor:
    """The bytes of tensors of one dtype one after the other, int64 `[n]`, with zeros at the end."""
    flat = [tensor.detach().reshape(-1) for tensor in tensors]
    content = (torch.cat([part.to(flat[0].device) for part in flat]) if len(flat) > 1 else flat[0]).view(torch.uint8)
    if len(content) % 8:
        content = nn.functional.pad(content, (0, -len(content) % 8))
    if content.storage_offset() % 8:
        content = content.clone()
    return content.view(torch.int64)


def _sum(words: Tensor, factors_on: Callable[[torch.device], Tensor]) -> Tensor:
    """The sum of words `[n]`, each times the factor of its place in its row and that of the row, a scalar."""
    count, rest = divmod(len(words), WIDTH)
    factors = factors_on(words.device)
    of_places, of_rows = factors[:WIDTH], factors[WIDTH : WIDTH + count + 1]
    rows = words[: len(words) - rest].view(-1, WIDTH).split(CPU_ROWS if words.device.type == "cpu" else ROWS)
    sums = [_spread(block).mul_(of_places).sum(1) for block in rows]
    sums.append(_spread(words[len(words) - rest :]).mul_(of_places[:rest]).sum(0, keepdim=True))
    return torch.cat(sums).mul_(of_rows).sum()


def _spread(words: Tensor) -> Tensor:
    """Words with their upper halves added to the lower ones. In a product modulo 2**64 the first bit alone is the first
    bit again whatever the factor is, so two changed signs would cancel."""
    return (words >> 32).add_(words)


def _factors(count: int, device: torch.device) -> Tensor:
    """An odd number of 64 bits for each place, int64 `[count]`: the output function of SplitMix64."""
    values = torch.arange(1, count + 1, device=device) * -7046029254386353131
    values = (values ^ (values >> 30)) * -4658895280553007687
    values = (values ^ (values >> 27)) * -7723592293110705685
    return (values ^ (values >> 31)) | 1


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    offloaded: list[tuple[str, Mapping[str, Tensor]]] = []
    for path, owner in module.named_modules():
        # torch.compile puts a module into another one, under this name.
        prefix = "".join(f"{part}." for part in path.split(".") if part not in ("", "_orig_mod"))
        offloaded += ((prefix, weights) for weights in _offloaded(owner))
        saved = {name: b for name, b in owner._buffers.items() if name not in owner._non_persistent_buffers_set}
        for name, tensor in {**owner._parameters, **saved}.items():
            if tensor is not None:
                yield prefix + name, _resting(prefix + name, offloaded) if tensor.is_meta else tensor
        yield from _packed(owner, prefix)


def _packed(module: nn.Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Weights that a module keeps elsewhere, as quantised ones are, which only it itself knows to save."""
    if type(module)._save_to_state_dict is nn.Module._save_to_state_dict:
        return
    saved: dict[str, Any] = {}
    module._save_to_state_dict(saved, prefix, False)
    for name, value in saved.items():
        if name.removeprefix(prefix) not in {**module._parameters, **module._buffers}:
            parts = value if isinstance(value, tuple) else (value,)
            for i, part in enumerate(part for part in parts if isinstance(part, Tensor)):
                yield from ((f"{name}[{i}].{what}", found) for what, found in _plain(part))


def _plain(tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A tensor, or the integers and the scales that a quantised one is made of."""
    if not tensor.is_quantized:
        yield "values", tensor
    elif tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        yield "integers", tensor.int_repr()
        yield "scale", torch.tensor([tensor.q_scale(), tensor.q_zero_point()], dtype=torch.float64)
    else:
        yield "integers", tensor.int_repr()
        yield "scale", tensor.q_per_channel_scales()
        yield "zero", tensor.q_per_channel_zero_points()


def _offloaded(module: nn.Module) -> Iterator[Mapping[str, Tensor]]:
    """The weights of a module, by their names in it, that accelerate keeps elsewhere while the module does not run."""
    hook = getattr(module, "_hf_hook", None)
    maps = (getattr(part, "weights_map", None) for part in getattr(hook, "hooks", (hook,)))
    return (weights for weights in maps if weights is not None)


def _resting(name: str, offloaded: Sequence[tuple[str, Mapping[str, Tensor]]]) -> Tensor:
    for prefix, weights in reversed(offloaded):
        if name.startswith(prefix):
            return torch.as_tensor(weights[name.removeprefix(prefix)])
    raise InputError(f"{name} is on the meta device, which holds no numbers: give a model with its weights loaded")
