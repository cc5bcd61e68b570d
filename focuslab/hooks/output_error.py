"""How far the guided output of a UNet moves when some of its sites are made sparse, all else being equal."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from focuslab.errors import FocuslabError
from focuslab.hooks.attach import Handle
from focuslab.models.conditioning import guidance_scale, guided_inputs
from focuslab.models.placement import device_of
from focuslab.models.schedule import current_schedule
from focuslab.models.sites import unet_of

Attach = Callable[[Any], AbstractContextManager[Handle]]
"""What attaches to a pipeline for a while, as a method does."""


class OutputError:
    """The UNet of a pipeline at fixed latents: its dense output once, and the relative error of anything else.

    latents: `[1, C, T, F]`, what the UNet was given in the first call at `step` of a generation; the scheduler's
    `timesteps` must be those of that generation. What comes before the first block that a method touches is the same as
    in dense, so it is taken from the dense pass: the error is that of a whole call, bit for bit, for less than one.
    """

    @torch.no_grad()
    def __init__(self, pipe, conditioning: dict[str, Tensor], latents: Tensor, step: int):
        self._pipe = pipe
        self._unet: nn.Module = unet_of(pipe)
        self._step = step
        self._call = current_schedule(pipe.scheduler).first_call(step)
        sample = latents.to(device_of(pipe), self._unet.dtype)
        self._inputs = {
            "sample": torch.cat([sample, sample]),
            "timestep": pipe.scheduler.timesteps[self._call],
            **guided_inputs(pipe, conditioning),
        }
        self._blocks = _blocks_in_order(self._unet)
        self._block_outputs: dict[str, Any] = {}
        with self._recording():
            self._dense = self._output()
        self._norm = self._dense.norm()
        if not self._norm.isfinite() or not self._norm:
            raise FocuslabError(
                f"the dense output of the UNet at step {step} is {'not finite' if self._norm else 'zero'} in "
                f"{self._dtype}: try another dtype"
            )

    @torch.no_grad()
    def error(self, methods: Attach | Sequence[Attach]) -> float:
        """||dense - sparse|| / ||dense|| of the guided output with these attached, sampling what they sample at the
        step.

        Raises `FocuslabError` where the output is not finite.
        """
        with ExitStack() as stack:
            handles = [stack.enter_context(m(self._pipe)) for m in _as_tuple(methods)]
            touched = {site.block for handle in handles for site in handle.sites}
            stack.enter_context(self._replaying(touched))
            difference = (self._output() - self._dense).norm() / self._norm
        if not difference.isfinite():
            raise FocuslabError(f"the UNet's output at step {self._step} is not finite in {self._dtype}: use another")
        return difference.item()

    @property
    def _dtype(self) -> str:
        return str(self._unet.dtype).removeprefix("torch.")

    def _output(self) -> Tensor:
        """Guided output `[1, C, T, F]` in float32 or better."""
        unconditional, conditional = self._unet(**self._inputs)[0].to(_at_least_float32(self._unet.dtype)).chunk(2)
        return unconditional + guidance_scale(self._pipe) * (conditional - unconditional)

    @contextmanager
    def _recording(self) -> Iterator[None]:
        hooks = [
            self._unet.get_submodule(name).register_forward_hook(
                lambda _block, _args, output, name=name: self._block_outputs.update({name: output})
            )
            for name in self._blocks
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def _replaying(self, touched: set[str]) -> Iterator[None]:
        """Blocks before the first touched one give what they gave in the dense pass."""
        first = min((self._blocks.index(name) for name in touched), default=len(self._blocks))
        with ExitStack() as stack:
            for name in self._blocks[:first]:
                stack.enter_context(_giving(self._unet.get_submodule(name), self._block_outputs[name]))
            yield


@contextmanager
def _giving(module: nn.Module, output: Any) -> Iterator[None]:
    """`module` with a forward that gives `output`; afterwards its own again, also where that was another's patch."""
    before = module.__dict__.get("forward")
    module.forward = lambda *_args, **_kwargs: output
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


def _blocks_in_order(unet: nn.Module) -> list[str]:
    names = [f"down_blocks.{i}" for i in range(len(unet.down_blocks))]
    names += ["mid_block"] if getattr(unet, "mid_block", None) is not None else []
    return names + [f"up_blocks.{i}" for i in range(len(unet.up_blocks))]


def _as_tuple(methods: Attach | Sequence[Attach]) -> tuple[Attach, ...]:
    return (methods,) if callable(methods) else tuple(methods)


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
