"""The latents that a UNet is given while a pipeline denoises."""

from collections.abc import Iterable

import torch
from torch import Tensor

from focuslab.hooks.denoise import denoise
from focuslab.hooks.timers import clock_for
from focuslab.models.placement import device_of
from focuslab.models.schedule import Schedule, schedule_of


class LatentRecorder:
    """While entered, keeps what the UNet is given at some denoising steps: `latents`, step -> CPU `[1, C, T, F]`.

    Of a step of several UNet calls it is what the first one is given. Both halves of a guided batch are given the same
    latents, so one is kept.
    """

    def __init__(self, unet, steps: Iterable[int], schedule: Schedule):
        self.latents: dict[int, Tensor] = {}
        self._unet = unet
        self._steps = {schedule.first_call(step): step for step in steps}
        self._call = 0

    def __enter__(self) -> "LatentRecorder":
        self._hook = self._unet.register_forward_pre_hook(self._keep, with_kwargs=True)
        return self

    def __exit__(self, *_exception) -> None:
        self._hook.remove()

    @property
    def complete(self) -> bool:
        return len(self.latents) == len(self._steps)

    def _keep(self, _unet, args, kwargs) -> None:
        if self._call in self._steps:
            sample = args[0] if args else kwargs["sample"]
            self.latents[self._steps[self._call]] = sample[:1].detach().to("cpu", copy=True)
        self._call += 1


class _Enough(Exception):
    pass


@torch.no_grad()
def latents_at(
    pipe, conditioning: dict[str, Tensor], seconds: float, steps: int, at: Iterable[int], seed: int
) -> dict[int, Tensor]:
    """Latents of some of the `steps` of one generation, as `LatentRecorder` keeps them; the UNet is not run for
    the last of them, nor for any later one."""
    recorder = LatentRecorder(pipe.unet, at, schedule_of(pipe, steps))

    def stop_when_complete(_unet, _args) -> None:
        if recorder.complete:
            raise _Enough

    with recorder:
        # Registered after the recorder's own hook, and so called after it.
        hook = pipe.unet.register_forward_pre_hook(stop_when_complete)
        try:
            denoise(pipe, conditioning, seconds, steps, seed, clock_for(device_of(pipe)))
        except _Enough:
            pass
        finally:
            hook.remove()
    return recorder.latents
