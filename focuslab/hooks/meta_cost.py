"""One UNet step on meta tensors: its FLOPs, the bytes it would hold, its grids, without weights and without work."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from focuslab.attention.grid import Grid
from focuslab.hooks.attach import Handle
from focuslab.models.decoding import decoding_in_windows
from focuslab.models.lengths import latent_frames, latent_mel_rows
from focuslab.models.placement import device_of
from focuslab.models.sites import KINDS, module_kinds, unet_of

cpu_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@dataclass(frozen=True)
class MetaCost:
    """flops: of one step, by kind of module. module_flops: by module ("" is the UNet), inclusive, where there are any.
    peak_bytes: of the tensors at the peak, above what is held before the step (so without weights), as `AddedMemory`
    measures it. grids: of the sites that the method took over."""

    flops: dict[str, int]
    module_flops: dict[str, int]
    peak_bytes: int
    grids: dict[str, Grid]

    @property
    def total_flops(self) -> int:
        return sum(self.flops.values())


def meta_unet(unet: nn.Module) -> nn.Module:
    """A UNet of the same configuration and dtype on the meta device, where tensors have shapes and no contents."""
    unet = unet_of(unet)
    with torch.device("meta"):
        twin = type(unet).from_config(unet.config)
    # Not `twin.to`: diffusers logs a warning about casts there, and these tensors have no contents to lose.
    return nn.Module.to(twin, unet.dtype).eval().requires_grad_(False)


@torch.no_grad()
def meta_cost(
    unet: nn.Module,
    inputs: dict[str, torch.Tensor],
    attach: Callable[[nn.Module], Handle],
    device: torch.device | str = "cpu",
) -> MetaCost:
    """Run a `meta_unet` once on `inputs`, its forward's keyword arguments, with what `attach` (a method) attaches.

    With a cache it is run for a call that is computed and for one that reuses, and FLOPs are the mean over a cycle of
    calls. device: where the step would run; convolutions on a CPU hold copies of their input and weights.
    """
    inputs = {name: x.to("meta") if isinstance(x, torch.Tensor) else x for name, x in inputs.items()}
    # The guided batch is made of the latents in the step.
    of_latents = inputs["sample"].nbytes * 3 // 2
    memory = _LiveBytes(convolution_copies=torch.device(device).type == "cpu")
    with attach(unet) as handle, memory, _FusedAttention():
        # The first two entries of a schedule, since a cache reuses within one.
        timesteps = torch.empty(2, dtype=torch.long, device="meta") if handle.cycle > 1 else [inputs["timestep"]]
        calls = [_counted(unet, {**inputs, "timestep": timestep}) for timestep in timesteps]
    computed, reusing = calls[0], calls[-1]
    module_flops = {
        name: (flops + (handle.cycle - 1) * reusing.get(name, 0)) // handle.cycle for name, flops in computed.items()
    }
    return MetaCost(_flops_by_kind(unet, module_flops), module_flops, of_latents + memory.peak, dict(handle.grids))


def _counted(unet: nn.Module, inputs: dict[str, Any]) -> dict[str, int]:
    """FLOPs of one call by module."""
    # `FlopCounterMode` counts nothing for attention on the CPU unless it is told how.
    counter = FlopCounterMode(display=False, custom_mapping={cpu_flash: _cpu_flash_flops})
    with counter:
        unet(**inputs)
    return _flops_by_module(unet, counter)


@torch.no_grad()
def meta_decoding_peak(pipe, seconds: float) -> int:
    """Bytes of the tensors at the peak of VAE and vocoder, in the windows in which a clip of this length is decoded."""
    vae, vocoder = (getattr(part, "_orig_mod", part) for part in (pipe.vae, pipe.vocoder))
    with torch.device("meta"):
        twins = type(vae).from_config(vae.config), type(vocoder)(vocoder.config)
    twin = SimpleNamespace(vae=twins[0].eval(), vocoder=twins[1].eval(), vae_scale_factor=pipe.vae_scale_factor)
    for part, dtype in ((twin.vae, vae.dtype), (twin.vocoder, vocoder.dtype)):
        nn.Module.to(part, dtype)
    shape = (1, vae.config.latent_channels, latent_frames(pipe, seconds), latent_mel_rows(pipe))
    latents = torch.empty(shape, dtype=vae.dtype, device="meta")
    memory = _LiveBytes(convolution_copies=device_of(pipe).type == "cpu")
    with decoding_in_windows(twin, seconds), memory, _FusedAttention():
        mel = twin.vae.decode(latents).sample
        twin.vocoder(mel.squeeze(1))
    return latents.nbytes + memory.peak


def _cpu_flash_flops(q_shape, k_shape, v_shape, *_args, out_shape=None, **_kwargs) -> int:
    return sdpa_flop_count(q_shape, k_shape, v_shape)


def _flops_by_module(unet: nn.Module, counter: FlopCounterMode) -> dict[str, int]:
    root = type(unet).__name__
    counted = {name: sum(operators.values()) for name, operators in counter.get_flop_counts().items()}
    names = {f"{root}.{name}": name for name, _ in unet.named_modules() if name} | {root: ""}
    return {name: counted[long_name] for long_name, name in names.items() if counted.get(long_name)}


def _flops_by_kind(unet: nn.Module, module_flops: dict[str, int]) -> dict[str, int]:
    kinds = module_kinds(unet)
    flops = dict.fromkeys(KINDS, 0)
    for name, kind in kinds.items():
        outermost = kind != "other" and kinds[name.rpartition(".")[0]] == "other"
        if outermost:
            flops[kind] += module_flops.get(name, 0)
    flops["other"] = module_flops[""] - sum(flops.values())
    return flops


class _FusedAttention(TorchFunctionMode):
    """On meta tensors `scaled_dot_product_attention` would hold the whole map: let it have a fused kernel's shapes."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
        if mask is not None:
            mask = mask.expand(*args[0].shape[:3], args[1].shape[2])
        return cpu_flash(*args[:3], attn_mask=mask, scale=kwargs.get("scale"))[0]


class _LiveBytes(TorchDispatchMode):
    """Bytes of the storages that operations made and that are still referenced, and their peak."""

    def __init__(self, convolution_copies: bool = False):
        super().__init__()
        self._convolution_copies = convolution_copies
        self.peak = self._live = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        inputs = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor) and x.is_meta:
                storage = x.untyped_storage()
                if storage._cdata not in inputs and storage not in self._known:
                    self._known.add(storage)
                    size = storage.nbytes()
                    self._live += size
                    weakref.finalize(storage, self._release, size)
        within = 0
        if self._convolution_copies and func is torch.ops.aten.convolution.default:
            # oneDNN reorders its input and weights; its result is reordered too, when these are free again.
            within = max(args[0].nbytes + args[1].nbytes, out.nbytes)
        self.peak = max(self.peak, self._live + within)
        return out

    def _release(self, size: int) -> None:
        self._live -= size
