"""How the UNet calls of a generation divide into denoising steps."""

import copy
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from focuslab.errors import InputError

PROJECTED_STEPS = 200
"""Steps of the whole generation that is projected: AudioLDM2's own default, and the paper's."""
RUNGE_KUTTA_CALLS = 4
"""UNet calls of a Runge-Kutta step, with which diffusers' PNDM begins."""


@dataclass(frozen=True)
class Schedule:
    """The UNet calls of each step of one generation.

    A pipeline calls the UNet once for each entry of `scheduler.timesteps`. A step is what the number of inference steps
    counts: from one latent of the solution to the next. It is one call with first-order schedulers and two with
    second-order ones, whose last step is one call. PNDM begins with steps of more calls than its later ones.

    Attributes
    ----------
    calls
        How many UNet calls each step makes.
    order
        How many UNet calls a step makes apart from the first and the last ones.
    """

    calls: tuple[int, ...]
    order: int

    @property
    def steps(self) -> int:
        return len(self.calls)

    @property
    def total_calls(self) -> int:
        return sum(self.calls)

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        return tuple(accumulate(self.calls))

    def first_call(self, step: int) -> int:
        """The index of the first UNet call of a step."""
        return self._ends[step] - self.calls[step]

    def step_of(self, call: int) -> int:
        """The step that a UNet call belongs to."""
        return bisect_right(self._ends, call)

    def calls_at_ends(self, first: int, last: int) -> int:
        """How many UNet calls the `first` steps and the `last` steps make together."""
        first = min(first, self.steps)
        return sum(self.calls[:first]) + sum(self.calls[max(first, self.steps - last) :])


def current_schedule(scheduler: Any) -> Schedule:
    """The schedule that a scheduler was last set to."""
    total, order = len(scheduler.timesteps), getattr(scheduler, "order", 1)
    prk_timesteps = getattr(scheduler, "prk_timesteps", None)
    if prk_timesteps is not None and len(prk_timesteps):
        by_runge_kutta = len(prk_timesteps)
        calls = [RUNGE_KUTTA_CALLS] * (by_runge_kutta // RUNGE_KUTTA_CALLS) + [1] * (total - by_runge_kutta)
        return Schedule(tuple(calls), order)
    steps = getattr(scheduler, "num_inference_steps", None) or total
    # More calls than the steps need are a start-up, as in PNDM without Runge-Kutta steps: its first step makes two.
    first = min(order + max(total - steps * order, 0), total)
    whole, rest = divmod(total - first, order)
    return Schedule((first, *[order] * whole, *[rest] * bool(rest)), order)


def schedule_of(pipe: Any, steps: int) -> Schedule:
    """The schedule of a generation of `steps` steps; the pipeline's scheduler stays as it is.

    Raises
    ------
    InputError
        If the scheduler has no schedule of so many steps.
    """
    scheduler = copy.deepcopy(pipe.scheduler)
    try:
        scheduler.set_timesteps(steps)
    except Exception as error:
        name = type(scheduler).__name__
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name} has no schedule of {steps} steps ({reason}): give another number of steps, or use another "
            "scheduler"
        ) from None
    return current_schedule(scheduler)


def schedule_to_begin(pipe: Any, steps: int) -> Schedule:
    """The schedule of a generation whose first `steps` steps are measured: the projected one where it is long enough.

    Raises
    ------
    InputError
        If the scheduler has no schedule of so many steps.
    """
    try:
        # The last step may be shorter than the others.
        return schedule_of(pipe, max(PROJECTED_STEPS, steps + 1))
    except InputError:
        # Few-step schedulers, such as LCM, have no long schedule.
        return schedule_of(pipe, steps)


def projected_schedule(pipe: Any) -> Schedule | None:
    """The schedule of the projected generation, None where the scheduler has none of so many steps."""
    try:
        return schedule_of(pipe, PROJECTED_STEPS)
    except InputError:
        return None
