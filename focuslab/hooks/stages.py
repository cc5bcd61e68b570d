"""The time of a whole generation by stage: encoding, denoising, VAE, vocoder."""

from typing import Any

import torch

from focuslab.hooks.timers import Clock, CpuClock, clock_for
from focuslab.models.placement import device_of

STAGES = ("encoding", "denoising", "vae", "vocoder")


class StageTimes:
    """While entered, tells to which stage the time belongs; `seconds()` afterwards.

    A stage lasts from the first call of its network until another stage begins, so that the times add up to the whole.
    A pipeline may go back and forth between VAE and vocoder. The device is waited for once, in `seconds`.
    """

    def __init__(self, pipe, clock: Clock | None = None):
        device = device_of(pipe)
        # On another device the host's clock tells when work was asked for.
        self._clock = clock or (clock_for(device) if device.type in ("cpu", "cuda") else CpuClock())
        self._networks = {"denoising": pipe.unet, "vae": pipe.vae.decoder, "vocoder": pipe.vocoder}
        self._begun: list[tuple[str, Any]] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> "StageTimes":
        for stage, network in self._networks.items():
            self._hooks.append(network.register_forward_pre_hook(self._beginning(stage), prepend=True))
        self._begin("encoding")
        return self

    def __exit__(self, *_exception) -> None:
        self._begin("")
        while self._hooks:
            self._hooks.pop().remove()

    def _beginning(self, stage: str):
        # Of a compiled network torch would compile its hooks too.
        @torch.compiler.disable
        def begin(_module, _args) -> None:
            self._begin(stage)

        return begin

    def _begin(self, stage: str) -> None:
        if not self._begun or self._begun[-1][0] != stage:
            self._begun.append((stage, self._clock.mark()))

    def seconds(self) -> dict[str, float]:
        """Seconds by stage; 0 where it was not run."""
        self._clock.synchronize()
        found = dict.fromkeys(STAGES, 0.0)
        for (stage, start), (_, end) in zip(self._begun, self._begun[1:], strict=False):
            found[stage] += self._clock.seconds(start, end)
        return found
