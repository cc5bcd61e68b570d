"""The pipeline's own denoising loop with a clock around every UNet call, and the latents that the UNet is given."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from focuslab.hooks.timers import Clock, clock_for
from focuslab.models.conditioning import guidance_scale
from focuslab.models.decoding import decoding_in_windows
from focuslab.models.placement import device_of
from focuslab.models.schedule import PROJECTED_STEPS, Schedule, current_schedule, schedule_of, schedule_to_begin


def first_steps(
    pipe, conditioning: dict[str, Tensor], seconds: float, steps: int, seed: int, clock: Clock, cycle: int = 1
) -> list[float]:
    """Seconds of `steps` denoising steps at the beginning of a long generation, which ends after them.

    Each is as many UNet calls in a row as a step in the middle of the generation makes. So a timing needs no schedule
    of few steps, which differs from the beginning of a long one or does not exist, and neither a long first step nor a
    short last one is among the steps.

    cycle: that of what is attached. Where it is more than 1, each of the `steps` is the mean of as many steps as make
    the calls of a cycle, or as the projected generation has.
    """
    order = schedule_to_begin(pipe, steps).order
    in_mean = min(cycle // math.gcd(cycle, order), PROJECTED_STEPS)
    schedule = schedule_to_begin(pipe, steps * in_mean)
    timer = _CallTimer(pipe, clock, stop_after=steps * in_mean * order)
    try:
        timer.run(conditioning, seconds, schedule.steps, seed, "latent")
    except _Enough:
        # The pipeline itself does this at its end.
        pipe.maybe_free_model_hooks()
    call_seconds = iter(timer.call_seconds())
    return [sum(islice(call_seconds, in_mean * order)) / in_mean for _ in range(steps)]


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
    """What the pipeline gives, and the seconds of each denoising step of the generation.

    A step is all its UNet calls (`focuslab.models.schedule`), each with what the pipeline does until the next one: the
    guided batch of two, the guidance and the scheduler. The device is waited for once, at the end.

    output_type: "np" for float32 samples `[1, n]` and "latent" for a call that stops before the VAE. after_step: called
    with the number of each step when its time has been taken; what it does is not in the time of any step. The first
    noise is drawn on the CPU from `seed`, so it is the same everywhere.
    """
    timer = _CallTimer(pipe, clock, after_step)
    output = timer.run(conditioning, seconds, steps, seed, output_type)
    call_seconds = iter(timer.call_seconds())
    return output, [sum(islice(call_seconds, calls)) for calls in current_schedule(pipe.scheduler).calls]


class _Enough(Exception):
    """Ends a generation whose beginning is all that is wanted."""


class _Latents(Exception):
    """Ends a generation before the VAE, with its latents: not every pipeline has an output type for them."""


class _CallTimer:
    """Times the UNet calls of one generation; the pipeline's callback does not see all of them."""

    def __init__(
        self, pipe, clock: Clock, after_step: Callable[[int], None] | None = None, stop_after: int | None = None
    ):
        self._pipe = pipe
        self._clock = clock
        self._after_step = after_step
        self._stop_after = stop_after
        self._marks: list[tuple[Any, Any]] = []
        self._started: list[Any] = []
        self._latents_only = False

    def run(self, conditioning: dict[str, Tensor], seconds: float, steps: int, seed: int, output_type: str) -> Any:
        self._latents_only = output_type == "latent"
        hook = self._pipe.unet.register_forward_pre_hook(self._on_unet, prepend=True)
        try:
            with _no_progress_bar(self._pipe), decoding_in_windows(self._pipe, seconds):
                return self._pipe(
                    **conditioning,
                    audio_length_in_s=seconds,
                    num_inference_steps=steps,
                    guidance_scale=guidance_scale(self._pipe),
                    generator=torch.Generator().manual_seed(seed),
                    callback=self._on_callback,
                ).audios
        except _Latents as ended:
            # The pipeline itself does this at its end.
            self._pipe.maybe_free_model_hooks()
            return ended.args[0]
        finally:
            hook.remove()

    def call_seconds(self) -> list[float]:
        """Waits for the device."""
        self._clock.synchronize()
        found = [self._clock.seconds(start, end) for start, end in self._marks]
        self._clock.release([mark for pair in self._marks for mark in pair])
        return found

    # Of a compiled UNet torch would compile its hooks too, again for each generation.
    @torch.compiler.disable
    def _on_unet(self, _unet, _args) -> None:
        self._end_call()
        if len(self._marks) == self._stop_after:
            raise _Enough
        self._started.append(self._clock.mark())

    def _on_callback(self, _step, _timestep, latents: Tensor) -> None:
        # The one callback that every schedule has comes after its last UNet call, which no other call follows.
        if len(self._marks) + 1 == len(self._pipe.scheduler.timesteps):
            self._end_call()
            if self._latents_only:
                raise _Latents(latents)

    def _end_call(self) -> None:
        if not self._started:
            return
        self._marks.append((self._started.pop(), self._clock.mark()))
        if self._after_step is None:
            return
        schedule = current_schedule(self._pipe.scheduler)
        step = schedule.step_of(len(self._marks) - 1)
        if schedule.step_of(len(self._marks)) > step:
            self._after_step(step)


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
            timed_call(pipe, conditioning, seconds, steps, seed, clock_for(device_of(pipe)), "latent")
        except _Enough:
            pass
        finally:
            hook.remove()
    return recorder.latents
