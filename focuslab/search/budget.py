"""How much error or how little speed a choice may have, in numbers or by the paper's choice."""

from dataclasses import dataclass

from focuslab.checks import number
from focuslab.errors import InputError
from focuslab.search.frontier import WORTH, OperatingPoint
from focuslab.search.retiming import Timing

FROM_PAPER = "paper"
"""A budget that is what the paper's choice is predicted to take at each length."""
MARGIN = 1.03
"""A plan that is to be as fast as the paper's choice is asked to be so much faster, since timings vary."""
CLOSER = 0.75
"""A plan that is to be as close to dense as the paper's choice is asked to have at most so much of its error. On
prompts that the choice had not seen, plans of the bundled model had up to 1.4 times the predicted error where the
paper's choice had the predicted one."""

Limits = dict[str, float | None]
"""{"max_error", "min_speedup"} of one length, in numbers."""


@dataclass(frozen=True)
class Budget:
    """At most one of two limits, each a number or "paper". Raises `InputError` for two, and for anything else."""

    max_error: float | str | None = None  # the fastest choice with at most this relative error of the UNet's output
    min_speedup: float | str | None = None  # the choice of least error that is so much faster than dense

    def __post_init__(self):
        if self.max_error is not None and self.min_speedup is not None:
            raise InputError(
                "max_error and min_speedup were both given: expected one budget, the other is what it costs"
            )
        for name, value in vars(self).items():
            if value is not None and not (isinstance(value, str) and value == FROM_PAPER):
                object.__setattr__(self, name, number(name, value, f"a number or {FROM_PAPER!r}"))

    def at(self, paper: OperatingPoint) -> Limits:
        """The limits at a length, where the paper's choice is predicted to be `paper`."""
        limits = dict(vars(self))
        if self.max_error == FROM_PAPER:
            limits["max_error"] = CLOSER * paper.error
        if self.min_speedup == FROM_PAPER:
            # Where the paper's choice does not pay, dense is as fast.
            limits["min_speedup"] = MARGIN * paper.speedup if paper.speedup >= WORTH else 1.0
        return limits

    def needed(self, timing: Timing) -> float:
        """The speed-up that a choice must reach in the run that timed it."""
        return self.min_speedup if isinstance(self.min_speedup, (int, float)) else max(timing.paper, 1.0)

    @property
    def in_numbers(self) -> Limits:
        """The limits that are the same at each length."""
        return {name: None if value == FROM_PAPER else value for name, value in vars(self).items()}
