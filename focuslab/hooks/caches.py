"""Outputs of modules that one UNet call keeps and the next calls return in place of computing them."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from focuslab.errors import InputError
from focuslab.hooks.attach import Handle, handles
from focuslab.hooks.running import call_index
from focuslab.models.sites import find_sites, unet_of
from focuslab.runs.plan import matches

HALVES = 2
"""Most UNet calls of one timestep: some pipelines call the UNet for each half of the guidance by itself."""


@dataclass
class Kept:
    """What a computed UNet call keeps. call: its index. like: shape, dtype and device of its latents."""

    call: int
    like: tuple
    outputs: dict[str, Tensor] = field(default_factory=dict)


class _OfThread(threading.local):
    """The generation that a thread is in. A copy starts empty."""

    def __init__(self):
        self.timestep: Tensor | float | None = None
        self.call = self.half = 0
        self.kept: dict[int, Kept] = {}
        self.outputs: dict[str, Tensor] = {}
        self.reuses = False

    def __reduce__(self):
        return _OfThread, ()


class Cache:
    """Says of each UNet call whether it is computed or reuses what an earlier one has kept.

    Calls are counted within a generation, also those of a step of several calls: the first is computed, and then every
    `interval`-th. A generation is told by the schedule that its timesteps are entries of, or, where they are numbers,
    by their order. What is kept belongs to a thread, a generation and a half of the guidance; a call on latents of
    another shape is computed.
    """

    def __init__(self, interval: int, label: str):
        self.interval = interval
        self.label = label
        self.thread = _OfThread()

    def begin(self, sample: Tensor, timestep: Tensor | float) -> None:
        of = self.thread
        same = _same_schedule(timestep, of.timestep)
        if isinstance(timestep, Tensor):
            call = call_index(timestep)
        else:
            call = of.call + (timestep != of.timestep) if same else 0
        if not same or call < of.call:
            of.kept.clear()
        of.half = of.half + 1 if same and call == of.call else 0
        of.timestep, of.call = timestep, call
        like = tuple(sample.shape), sample.dtype, sample.device
        kept = of.kept.get(of.half)
        reuses = kept is not None and kept.like == like and 0 < call - kept.call < self.interval
        if kept is None or not reuses:
            kept = Kept(call, like)
            if of.half < HALVES:
                of.kept[of.half] = kept
        of.outputs, of.reuses = kept.outputs, reuses

    def end(self) -> None:
        # A module that somebody calls outside of a UNet call is computed.
        self.thread.outputs, self.thread.reuses = {}, False


def _same_schedule(timestep: Tensor | float, before: Tensor | float | None) -> bool:
    """Whether a timestep is of the generation of the one before. Holding that one keeps its memory from being used by
    another schedule."""
    if isinstance(timestep, Tensor) and isinstance(before, Tensor):
        return timestep.untyped_storage()._cdata == before.untyped_storage()._cdata
    if isinstance(timestep, Tensor) or isinstance(before, Tensor) or before is None:
        return False
    return timestep <= before


class Forward:
    """Stands in place of a module's forward. `before` is what an attribute of the module was, None for its class's."""

    def __init__(self, module: nn.Module, name: str, cache: Cache):
        self.module: Any = module
        self.name = name
        self.cache = cache
        self.before: Callable[..., Any] | None = vars(module).get("forward")

    def __call__(self, *args, **kwargs):
        if self.cache.thread.reuses:
            return self.instead(*args, **kwargs)
        # Not by a bound method, which a pickle would find by its name, and that name is this object.
        forward = self.before
        out = type(self.module).forward(self.module, *args, **kwargs) if forward is None else forward(*args, **kwargs)
        return self.keep(out)

    def __repr__(self) -> str:
        # In what a pipeline is described by.
        return self.cache.label

    def instead(self, *args, **kwargs) -> Any:
        """What a call that reuses returns."""
        raise NotImplementedError

    def keep(self, out: Any) -> Any:
        return out


class Reused(Forward):
    """The module's output is kept and returned."""

    def instead(self, *_args, **_kwargs) -> Tensor:
        return self.cache.thread.outputs[self.name]

    def keep(self, out: Tensor) -> Tensor:
        self.cache.thread.outputs[self.name] = out
        return out


class Skipped(Forward):
    """The input is passed on; nobody reads it before an output is reused."""

    def instead(self, hidden_states: Tensor, *_args, **_kwargs) -> Any:
        return hidden_states


class SkippedDown(Skipped):
    """The same of a down block, which returns its skip connections too."""

    def instead(self, hidden_states: Tensor, *_args, **_kwargs) -> Any:
        states = len(self.module.resnets) + bool(self.module.downsamplers)
        return hidden_states, (hidden_states,) * states


class CacheHandle(Handle):
    """`remove()` puts every forward back that was there; also a context manager. `cycle` is the interval."""

    def __init__(self, unet: nn.Module, cache: Cache):
        super().__init__(unet)
        self.cycle = cache.interval
        self.label = cache.label
        self._cache = cache
        self._forwards: dict[str, Forward] = {}
        self._sites: frozenset[str] = frozenset()

    def skipped(self) -> frozenset[str]:
        return self._sites if self._cache.thread.reuses else frozenset()

    @property
    def replaced(self) -> dict[str, str]:
        found = {name: vars(forward.module).get("forward") for name, forward in self._forwards.items()}
        return {name: type(now).__name__ for name, now in found.items() if now is not self._forwards[name]}

    @property
    def attached(self) -> bool:
        return bool(self._forwards)

    def _take(self, places: Mapping[str, type[Forward]]) -> None:
        self._hooks.append(self._unet.register_forward_pre_hook(self.on_unet_call, with_kwargs=True, prepend=True))
        self._hooks.append(self._unet.register_forward_hook(self.on_unet_end, always_call=True))
        for name, kind in places.items():
            module = self._unet.get_submodule(name)
            self._forwards[name] = module.forward = kind(module, name, self._cache)
        names = (site.name for site in find_sites(self._unet))
        self._sites = frozenset(site for site in names if any(matches(site, place) for place in places))

    def _restore(self) -> None:
        while self._hooks:
            self._hooks.pop().remove()
        self._cache.thread = _OfThread()
        for name in self.replaced:
            # What somebody put around ours goes on calling it, and it computes.
            self._forwards.pop(name)
        while self._forwards:
            _, forward = self._forwards.popitem()
            if forward.before is None:
                del forward.module.forward
            else:
                forward.module.forward = forward.before

    @torch.compiler.disable
    def on_unet_call(self, _unet: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> None:
        self._say_replaced()
        sample = args[0] if args else kwargs["sample"]
        self._cache.begin(sample, args[1] if len(args) > 1 else kwargs["timestep"])

    @torch.compiler.disable
    def on_unet_end(self, _unet: nn.Module, _args: tuple, _output: Any) -> None:
        self._cache.end()

    def _replaced_in_words(self) -> str:
        replaced = self.replaced
        classes = " and ".join(sorted(set(replaced.values())))
        return f"{len(replaced)} of {len(self._forwards)} forwards were replaced with {classes}" if replaced else ""

    def __repr__(self) -> str:
        state = [self.label, "attached" if self.attached else "removed", self._replaced_in_words()]
        return f"<Handle: {', '.join(filter(None, state))}>"


def attach_cache(pipe, places: Mapping[str, type[Forward]], interval: int, label: str) -> CacheHandle:
    """Let modules of a pipeline's UNet (or of a UNet) reuse what they or others have kept.

    places: dotted name of a module -> what stands in place of its forward. interval: one UNet call of so many is
    computed. label: the method. Raises `InputError`, with nothing changed, when a cache is attached already, or
    something that has to see every call.
    """
    unet = unet_of(pipe)
    refuse_cache(unet, label)
    if any(handle.sees_all for handle in handles(unet)):
        raise InputError(f"{label} skips attention that is being recorded: attach it after the recording")
    handle = CacheHandle(unet, Cache(interval, label))
    try:
        handle._take(places)
    except BaseException:
        handle._restore()
        raise
    return handle


def refuse_cache(pipe, what: str) -> None:
    """Raise `InputError` where a cache is attached, which `what` cannot be combined with."""
    for handle in handles(unet_of(pipe)):
        if isinstance(handle, CacheHandle):
            raise InputError(
                f"{what} cannot be combined with the cache that is attached ({handle.label}): remove that one first, "
                "focuslab.detach(pipe) does it without its handle"
            )
