"""UNets that torch compiles: what has to be measured eagerly, and what is measured as it runs."""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

logger = logging.getLogger(__name__)


def is_compiled(unet: nn.Module) -> bool:
    """Whether torch compiles a UNet or any part of it, by `unet.compile()` or as a result of `torch.compile`."""
    return any(
        module._compiled_call_impl is not None or hasattr(vars(module).get("forward"), "_torchdynamo_orig_callable")
        for module in unet.modules()
    )


@contextmanager
def eagerly(unet: nn.Module, what: str | None = None) -> Iterator[None]:
    """Let a compiled UNet run eagerly while entered, so that hooks and processors within it are called.

    Parameters
    ----------
    unet
        Compiled or not.
    what
        What is measured, to be said once in a process where the UNet is compiled; None says nothing.
    """
    if not is_compiled(unet):
        yield
        return
    if what:
        _say(what)
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def compiling_every_variant(unet: nn.Module) -> Iterator[None]:
    """Let torch compile a UNet anew for each length and method while entered.

    Beyond a few variants torch would run the next ones eagerly without a word.
    """
    if not is_compiled(unet):
        yield
        return
    import torch._dynamo.config

    with torch._dynamo.config.patch(recompile_limit=10_000, accumulated_recompile_limit=10_000):
        yield


@functools.cache
def _say(what: str) -> None:
    logger.warning("this UNet is compiled: %s with the UNet running eagerly", what)
