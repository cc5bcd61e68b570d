"""Clocks, and the time of every module of a network: inclusive, and exclusive of its children."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Protocol

import torch
from torch import nn

from focuslab.errors import InputError


class Clock(Protocol):
    """Marks points in time without waiting for the device; `seconds` reads two marks after `synchronize`."""

    def mark(self) -> Any: ...

    def synchronize(self) -> None: ...

    def seconds(self, start: Any, end: Any) -> float: ...

    def release(self, marks: Sequence[Any]) -> None:
        """Marks that are no longer needed."""


class CpuClock:
    """`perf_counter_ns`: on the CPU the work is done when a call returns."""

    mark = staticmethod(perf_counter_ns)

    def synchronize(self) -> None:
        pass

    def seconds(self, start: int, end: int) -> float:
        return (end - start) / 1e9

    def release(self, marks: Sequence[int]) -> None:
        pass


class CudaClock:
    """Events recorded on the device's current stream and read after one synchronization.

    Events are pooled: making one costs more than recording it, and a step of a UNet needs thousands.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._pool: list[torch.cuda.Event] = []

    def mark(self) -> "torch.cuda.Event":
        event = self._pool.pop() if self._pool else torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.device)

    def seconds(self, start: "torch.cuda.Event", end: "torch.cuda.Event") -> float:
        return start.elapsed_time(end) / 1e3

    def release(self, marks: Sequence["torch.cuda.Event"]) -> None:
        self._pool.extend(marks)


def clock_for(device: torch.device | str) -> Clock:
    """CUDA events for a CUDA device, the host's clock for the CPU. Raises `InputError` for any other device."""
    device = torch.device(device)
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"time can be measured on a cpu or cuda device, and there is no clock yet for {device}")
    return CudaClock(device) if device.type == "cuda" else CpuClock()


@dataclass(frozen=True)
class ModuleTime:
    """Total over `calls` calls. Exclusive = inclusive minus that of the modules called directly from it."""

    name: str
    calls: int
    inclusive_seconds: float
    exclusive_seconds: float


class ModuleTimer:
    """Times the modules of `root` that are named ("" is the root itself) while entered; `times()` afterwards.

    Hooks only append marks to a list. Nothing is computed and no device is waited for before `times`. Hooks are
    removed on leaving, also by an exception.
    """

    def __init__(self, root: nn.Module, clock: Clock, names: Sequence[str]):
        self._root = root
        self._clock = clock
        self._names = list(names)
        self._marks: list[tuple[int, Any]] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> "ModuleTimer":
        for index, name in enumerate(self._names):
            module = self._root.get_submodule(name)
            before, after = self._hooks_of(index)
            self._hooks.append(module.register_forward_pre_hook(before, prepend=True))
            self._hooks.append(module.register_forward_hook(after, always_call=True))
        return self

    def __exit__(self, *_exception) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def _hooks_of(self, index: int):
        append, mark, end = self._marks.append, self._clock.mark, ~index

        def before(_module, _args):
            append((index, mark()))

        def after(_module, _args, _output):
            append((end, mark()))

        return before, after

    def times(self) -> list[ModuleTime]:
        """Every named module that was called, in the order of the names. Waits for the device once."""
        self._clock.synchronize()
        inclusive = [0.0] * len(self._names)
        exclusive = [0.0] * len(self._names)
        calls = [0] * len(self._names)
        stack: list[list] = []
        for index, mark in self._marks:
            if index >= 0:
                stack.append([index, mark, 0.0])
                continue
            # A forward that raised leaves the modules it had entered open: close them unrecorded.
            while stack and stack[-1][0] != ~index:
                stack.pop()
            if not stack:
                continue
            index, start, children = stack.pop()
            seconds = self._clock.seconds(start, mark)
            inclusive[index] += seconds
            exclusive[index] += seconds - children
            calls[index] += 1
            if stack:
                stack[-1][2] += seconds
        self._clock.release([mark for _, mark in self._marks])
        self._marks.clear()
        return [
            ModuleTime(name, calls[i], inclusive[i], exclusive[i]) for i, name in enumerate(self._names) if calls[i]
        ]
