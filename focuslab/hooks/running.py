"""What each site does in the UNet call that a thread is in, and the keys that were sampled for it."""

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from focuslab.attention.grid import Grid
from focuslab.attention.keys import all_to_device
from focuslab.errors import FocuslabError
from focuslab.hooks.processors import SiteCall, SiteMethod
from focuslab.models.lengths import training_grid
from focuslab.models.sites import Site, grid_of_input


def call_index(timestep: Tensor | float) -> int:
    """Index of a UNet call in the schedule of its generation, 0 for the first.

    Pipelines take each timestep out of `scheduler.timesteps` by iterating over it, so it is a view whose place in that
    tensor is the index. Nothing is remembered between calls, no value is read and no device is waited for, so the index
    is right for several pipelines or threads that share one UNet. A scheduler of order k has k entries to most steps,
    each with an index of its own.

    Parameters
    ----------
    timestep
        What the UNet is called with: an entry of a schedule, also one that was expanded to the batch.

    Returns
    -------
    int
        The index. A number, which stands in no schedule, gives its own integer part, so that different numbers give
        different indices. A tensor that is no entry of a larger one gives 0.
    """
    if not isinstance(timestep, Tensor):
        return int(timestep)
    is_one_entry = all(size == 1 or stride == 0 for size, stride in zip(timestep.shape, timestep.stride(), strict=True))
    return timestep.storage_offset() if is_one_entry else 0


class Choose(Protocol):
    """Which method computes a call of a site, None for the processor that was there before. `frames` are the time steps
    of the latents. It is called outside of compiled graphs, so it may depend on the step."""

    def __call__(self, call: SiteCall, frames: int) -> SiteMethod | None: ...


class _OfThread(threading.local):
    """A thread's own UNet call. A copy starts empty: threads share nothing with those of the original."""

    def __init__(self):
        self.work: dict[str, tuple[SiteMethod | None, SiteCall]] = {}
        self.step = 0
        self.skipped: Collection[str] = ()
        self.frames: int | None = None

    def __reduce__(self):
        return _OfThread, ()


class Running:
    """The work of all sites of one attachment, made anew at the beginning of each UNet call.

    It is kept for each thread apart, and the step is read off the timestep, so that generations which share a UNet do
    not disturb each other. Nothing here waits for the device.
    """

    def __init__(self, unet: nn.Module, sites: tuple[Site, ...], choose: Choose):
        self.grids: dict[str, Grid] = {}
        self._frames: int | None = None
        self._unet = unet
        self._sites = sites
        self._choose = choose
        self._thread = _OfThread()

    def __repr__(self) -> str:
        return repr(getattr(self._choose, "__self__", self._choose))

    def begin(self, sample: Tensor, timestep: Tensor | float, skipped: Collection[str] = ()) -> None:
        """Choose and sample for all sites at once but those that a cache skips, which takes one copy to the device."""
        frames, mel_rows = sample.shape[-2:]
        if frames != self._frames:
            self._frames = frames
            self.grids.clear()
        self._thread.step, self._thread.frames, self._thread.work = call_index(timestep), frames, {}
        self._thread.skipped = skipped
        sites = (site for site in self._sites if site.name not in skipped)
        self._prepare(((site, site.grid(frames, mel_rows)) for site in sites), sample.device)

    def check_grid(self, sites: Iterable[Site], hidden_states: Tensor) -> None:
        """Prepare sites anew whose `Transformer2DModel` works on another grid than follows from the latents."""
        grid = grid_of_input(hidden_states)
        work, skipped = self._thread.work, self._thread.skipped
        sites = [site for site in sites if site.name not in skipped]
        other = [site for site in sites if site.name not in work or work[site.name][1].grid != grid]
        self._prepare(((site, grid) for site in other), hidden_states.device)

    def work_of(self, site: Site) -> tuple[SiteMethod | None, SiteCall]:
        work = self._thread.work.get(site.name)
        if work is None:
            raise FocuslabError(f"{site.name} ran outside of its Transformer2DModel, so its grid is not known")
        return work

    def _prepare(self, grids: Iterable[tuple[Site, Grid]], device: torch.device) -> None:
        work, sampled = {}, {}
        for site, grid in grids:
            call = SiteCall(site, grid, self._thread.step, training_grid(self._unet, site, grid))
            method = self._choose(call, self._thread.frames or grid.time * 2**site.level)
            work[site.name] = method, call
            if method is not None:
                self.grids[site.name] = grid
                keys = method.sample_keys(call)
                if keys is not None:
                    sampled[site.name] = keys
        for name, keys in zip(sampled, all_to_device(list(sampled.values()), device), strict=True):
            method, call = work[name]
            work[name] = method, replace(call, sampled=keys)
        self._thread.work.update(work)


@dataclass(frozen=True)
class GridCheck:
    """A pre-hook of a `Transformer2DModel` that holds `sites`. In a compiled graph there is nothing to check: the
    number of tokens is part of the graph, and the processor compares it."""

    running: Running
    sites: tuple[Site, ...]

    def __call__(self, _module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> None:
        if not torch.compiler.is_compiling():
            self.running.check_grid(self.sites, args[0] if args else kwargs["hidden_states"])
