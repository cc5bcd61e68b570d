"""A UNet that is run on overlapping views of its latents, in one batch, and its predictions joined to one."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from focuslab.errors import InputError
from focuslab.hooks.attach import Handle
from focuslab.hooks.running import call_index
from focuslab.models.sites import unet_of

JOINS = ("average", "swap")


def view_starts(frames: int, window: int, overlap: float) -> list[int]:
    """First frame of each view of `window` frames, spread evenly so that the first and the last end with the latents.

    overlap: the share of a view that the next one overlaps at least.
    """
    if frames <= window:
        return [0]
    stride = max(1, math.floor(window * (1 - overlap)))
    count = math.ceil((frames - window) / stride) + 1
    return [round(place * (frames - window) / (count - 1)) for place in range(count)]


def joined(views: Tensor, starts: list[int], frames: int, join: str, call: int = 0) -> Tensor:
    """Predictions `[V, B, C, W, F]` of views as one `[B, C, frames, F]`.

    Where views overlap, "average" is their mean and "swap" takes frame after frame from another of them, in an order
    that turns with the number of the `call`.
    """
    window = views.shape[3]
    if join == "average":
        total = views.new_zeros(*views.shape[1:3], frames, views.shape[4])
        count = views.new_zeros(frames, 1)
        for view, start in zip(views, starts, strict=True):
            total[:, :, start : start + window] += view
            count[start : start + window] += 1
        return total / count
    covering = [[v for v, start in enumerate(starts) if start <= t < start + window] for t in range(frames)]
    chosen = [views_of[(t + call) % len(views_of)] for t, views_of in enumerate(covering)]
    places = [t - starts[v] for t, v in enumerate(chosen)]
    index = torch.tensor([chosen, places], device=views.device)
    return views[index[0], :, :, index[1]].permute(1, 2, 0, 3)


class ViewedForward:
    """Stands in place of a UNet's forward: calls it on the views, as a larger batch."""

    def __init__(self, unet: nn.Module, window: int, overlap: float, join: str):
        self.unet = unet
        self.window = window
        self.overlap = overlap
        self.join = join
        self.before: Callable[..., Any] | None = vars(unet).get("forward")

    def __call__(self, sample: Tensor, timestep: Tensor | float, *args, **kwargs):
        forward = self.before or type(self.unet).forward.__get__(self.unet)
        frames = sample.shape[2]
        starts = view_starts(frames, self.window, self.overlap)
        if len(starts) == 1:
            return forward(sample, timestep, *args, **kwargs)
        batch, views = len(sample), len(starts)
        cut = torch.stack([sample[:, :, start : start + self.window] for start in starts], dim=1).flatten(0, 1)
        args = tuple(_for_views(x, batch, views) for x in args)
        kwargs = {name: _for_views(x, batch, views) for name, x in kwargs.items()}
        out = forward(cut, timestep, *args, **kwargs)
        predicted = out[0] if isinstance(out, tuple) else out.sample
        predicted = predicted.unflatten(0, (batch, views)).transpose(0, 1)
        whole = joined(predicted, starts, frames, self.join, call_index(timestep))
        return (whole,) if isinstance(out, tuple) else type(out)(sample=whole)


def _for_views(x: Any, batch: int, views: int) -> Any:
    """What belongs to each row of the batch, for each of its views."""
    return x.repeat_interleave(views, dim=0) if isinstance(x, Tensor) and x.ndim and len(x) == batch else x


class ViewHandle(Handle):
    """`remove()` puts the UNet's forward back; also a context manager."""

    def __init__(self, unet: nn.Module, forward: ViewedForward):
        super().__init__(unet)
        self._forward: ViewedForward | None = forward
        self._hooks.append(unet.register_forward_pre_hook(self.on_unet_call, with_kwargs=True))
        unet.forward = forward

    @property
    def replaced(self) -> dict[str, str]:
        now = vars(self._unet).get("forward")
        return {} if self._forward is None or now is self._forward else {"forward": type(now).__name__}

    @property
    def attached(self) -> bool:
        return self._forward is not None

    def _restore(self) -> None:
        while self._hooks:
            self._hooks.pop().remove()
        if self._forward is None:
            return
        if not self.replaced:
            if self._forward.before is None:
                del self._unet.forward
            else:
                self._unet.forward = self._forward.before
        self._forward = None

    @torch.compiler.disable
    def on_unet_call(self, _unet: nn.Module, _args: tuple, _kwargs: Mapping[str, Any]) -> None:
        self._say_replaced()

    def _replaced_in_words(self) -> str:
        return f"the forward of the UNet was replaced with {self.replaced['forward']}" if self.replaced else ""

    def __repr__(self) -> str:
        state = ["joint", "attached" if self.attached else "removed", self._replaced_in_words()]
        return f"<Handle: {', '.join(filter(None, state))}>"


def attach_views(pipe, window: int, overlap: float, join: str) -> ViewHandle:
    """Let the UNet of a pipeline (or a UNet) run on overlapping views of `window` frames.

    Raises
    ------
    InputError
        With nothing changed, where it does so already.
    """
    unet = unet_of(pipe)
    if isinstance(vars(unet).get("forward"), ViewedForward):
        raise InputError("joint views are attached already: focuslab.detach(pipe) takes them off without their handle")
    return ViewHandle(unet, ViewedForward(unet, window, overlap, join))
