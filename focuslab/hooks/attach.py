"""Put processors into a UNet and take them out again, leaving exactly what was there."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from focuslab.attention.grid import Grid
from focuslab.errors import InputError
from focuslab.hooks.processors import SiteProcessor, check_plain
from focuslab.hooks.running import Choose, GridCheck, Running
from focuslab.models.sites import Site, find_sites, select_sites, unet_of

logger = logging.getLogger(__name__)


class Handle:
    """What `attach` returns: `remove()` puts every original processor back; also a context manager.

    `sites` are the sites taken over, `grids` their grids by name as last seen running (empty before the first step).
    Without arguments it is the handle of nothing.
    """

    cycle = 1
    """After so many UNet calls of a generation the same is computed again: more than 1 with a cache."""
    sees_all = False
    """Whether it has to see all calls of its sites, so that none may be skipped."""

    def __init__(self, unet: nn.Module | None = None, sites: tuple[Site, ...] = (), running: Running | None = None):
        self.sites = sites
        self._unet: Any = unet
        self._running = running
        self._originals: dict[str, Any] = {}
        self._hooks: list[Any] = []
        self._said_replaced = False

    @property
    def grids(self) -> dict[str, Grid]:
        return self._running.grids if self._running else {}

    @property
    def replaced(self) -> dict[str, str]:
        """Sites at which somebody has put another processor since, which therefore run without the method, with its
        class name."""
        found = {name: self._unet.get_submodule(name).processor for name in self._originals}
        return {name: type(p).__name__ for name, p in found.items() if getattr(p, "running", None) is not self._running}

    @property
    def attached(self) -> bool:
        return bool(self._originals)

    def skipped(self) -> frozenset[str]:
        """Sites that the UNet call of this thread does not compute."""
        return frozenset()

    def remove(self) -> None:
        """Restore the processors and remove the hooks. A second call does nothing."""
        self._say_replaced()
        self._restore()

    def _restore(self) -> None:
        while self._hooks:
            self._hooks.pop().remove()
        while self._originals:
            name, processor = self._originals.popitem()
            self._unet.get_submodule(name).set_processor(processor)

    def _take_over(self, running: Running) -> None:
        self._hooks.append(self._unet.register_forward_pre_hook(self.on_unet_call, with_kwargs=True))
        for holder in dict.fromkeys(site.holder for site in self.sites):
            check = GridCheck(running, tuple(site for site in self.sites if site.holder == holder))
            self._hooks.append(self._unet.get_submodule(holder).register_forward_pre_hook(check, with_kwargs=True))
        for site in self.sites:
            attn = self._unet.get_submodule(site.name)
            self._originals[site.name] = attn.processor
            attn.set_processor(SiteProcessor(site, running, attn.processor))

    # Hooks of a compiled UNet run outside of its graph, and this one must not be compiled by itself either.
    @torch.compiler.disable
    def on_unet_call(self, _unet: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> None:
        """Pre-hook of the UNet."""
        self._say_replaced()
        sample = args[0] if args else kwargs["sample"]
        if self._running is not None:
            skipped = frozenset[str]().union(*(handle.skipped() for handle in handles(self._unet)))
            self._running.begin(sample, args[1] if len(args) > 1 else kwargs["timestep"], skipped)

    def _say_replaced(self) -> None:
        if not self._said_replaced and self.replaced:
            self._said_replaced = True
            logger.warning("%s by somebody else: the method is off there", self._replaced_in_words())

    def _replaced_in_words(self) -> str:
        replaced = self.replaced
        classes = " and ".join(sorted(set(replaced.values())))
        return f"{len(replaced)} of {len(self.sites)} processors were replaced with {classes}" if replaced else ""

    def __setstate__(self, state: dict[str, Any]) -> None:
        # `copy.deepcopy` and pickle come here.
        self.__dict__.update(state)
        if self.attached:
            logger.warning("a UNet was copied with a focuslab method attached: focuslab.detach(copy) takes it off")

    def __enter__(self) -> "Handle":
        return self

    def __exit__(self, *_exception) -> None:
        self.remove()

    def __repr__(self) -> str:
        state = [f"{len(self.sites)} sites", "attached" if self.attached else "removed", self._replaced_in_words()]
        return f"<Handle: {', '.join(filter(None, state))}>"


def attach(pipe, patterns: Sequence[str] | str | None, choose: Choose) -> Handle:
    """Take over the self-attention sites of a pipeline (or UNet) that `patterns` name.

    Parameters
    ----------
    pipe
        A pipeline or its UNet, compiled or not.
    patterns
        Those of `select_sites`.
    choose
        Chooses the method of each call.

    Raises
    ------
    InputError
        With nothing changed, when a pattern matches nothing, a site is already taken over, or a site computes anything
        but plain self-attention.
    """
    unet = unet_of(pipe)
    sites = select_sites(find_sites(unet), patterns)
    taken = {site.name for handle in handles(unet) for site in handle.sites}
    for site in sites:
        if site.name in taken:
            raise InputError(
                f"{site.name} already has a focuslab method attached: remove that one first, "
                "focuslab.detach(pipe) does it without its handle"
            )
        check_plain(unet.get_submodule(site.name), site.name)
    running = Running(unet, sites, choose)
    handle = Handle(unet, sites, running)
    try:
        handle._take_over(running)
    except BaseException:
        handle._restore()
        raise
    return handle


def detach(pipe) -> None:
    """Take off whatever focuslab attached to a pipeline (or UNet), whoever holds the handles.

    The processors that were there before are restored. Where nothing is attached, nothing happens.

    Parameters
    ----------
    pipe
        A pipeline or its UNet.
    """
    for handle in handles(unet_of(pipe)):
        handle.remove()


def handles(unet: nn.Module) -> list[Handle]:
    """Of a UNet, all that is attached."""
    owners = [getattr(hook, "__self__", None) for hook in unet._forward_pre_hooks.values()]
    return [owner for owner in owners if isinstance(owner, Handle)]
