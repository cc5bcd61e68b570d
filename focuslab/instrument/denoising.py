"""The pipeline's own denoising loop with a clock at the ends of every step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from focuslab.instrument.timers import Clock
from focuslab.models.conditioning import GUIDANCE_SCALE


def denoise(
    pipe,
    conditioning: dict[str, Tensor],
    seconds: float,
    steps: int,
    seed: int,
    clock: Clock,
    after_step: Callable[[int], None] | None = None,
) -> list[float]:
    """Seconds of each denoising step of one generation that stops before the VAE.

    A step is from the UNet's call to the scheduler's new latents: the guided batch of two, the guidance and the
    scheduler. The device is waited for once, at the end. after_step: called with the number of each step when its
    time has been taken; what it does is not in the time of any step.
    """
    return timed_call(pipe, conditioning, seconds, steps, seed, clock, "latent", after_step)[1]


def timed_call(
    pipe,
    conditioning: dict[str, Tensor],
    seconds: float,
    steps: int,
    seed: int,
    clock: Clock,
    output_type: str = "np",
    after_step: Callable[[int], None] | None = None,
) -> tuple[Any, list[float]]:
    """What the pipeline gives, and the seconds of each denoising step as in `denoise`.

    output_type: the pipeline's own, "np" for float32 samples `[1, n]` and "latent" for a call that stops before the
    VAE. The first noise is drawn on the CPU from `seed`, so it is the same everywhere.
    """
    marks: list[tuple[Any, Any]] = []
    started: list[Any] = []

    # Of a compiled UNet torch would compile its hooks too, again for each generation.
    @torch.compiler.disable
    def on_unet(_unet, _args) -> None:
        # A scheduler of higher order calls the UNet several times a step.
        if not started:
            started.append(clock.mark())

    def on_step_end(_step, _timestep, _latents) -> None:
        marks.append((started.pop(), clock.mark()))
        if after_step is not None:
            after_step(len(marks) - 1)

    hook = pipe.unet.register_forward_pre_hook(on_unet, prepend=True)
    try:
        with _no_progress_bar(pipe):
            output = pipe(
                **conditioning,
                audio_length_in_s=seconds,
                num_inference_steps=steps,
                guidance_scale=GUIDANCE_SCALE,
                generator=torch.Generator().manual_seed(seed),
                output_type=output_type,
                callback=on_step_end,
            ).audios
    finally:
        hook.remove()
    clock.synchronize()
    step_seconds = [clock.seconds(start, end) for start, end in marks]
    clock.release([mark for pair in marks for mark in pair])
    return output, step_seconds


@contextmanager
def _no_progress_bar(pipe) -> Iterator[None]:
    before = getattr(pipe, "_progress_bar_config", None)
    pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        if before is None:
            del pipe._progress_bar_config
        else:
            pipe._progress_bar_config = before
