"""The memory that a piece of work needs beside what is held before it."""

import os

import psutil
import torch


class AddedMemory:
    """Bytes that torch allocates while entered, at their peak, above those that it holds on entering.

    This is what `focuslab.hooks.meta_cost` predicts. It says how much memory must be free for the work, and it does
    not depend on what else the process holds. The resident set of a process does not tell: it grows by whole pages,
    and what a C library keeps for later use stays in it.

    Attributes
    ----------
    held_bytes
        What is held on entering: by torch's allocator on CUDA, by the whole process on a CPU. Weights are in it.
    peak_bytes
        The peak above that, known on leaving. It includes temporary copies within kernels as far as torch allocates
        them. It is None on a CPU where torch's profiler, which sees its allocations, runs already.
    """

    def __init__(self, device: torch.device | str):
        self.device = torch.device(device)
        self.held_bytes: int | None = None
        self.peak_bytes: int | None = None
        self._profiler: torch.autograd.profiler.profile | None = None

    def __enter__(self) -> "AddedMemory":
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self.held_bytes = torch.cuda.memory_allocated(self.device)
            return self
        self.held_bytes = psutil.Process().memory_info().rss
        if not torch.autograd._profiler_enabled():
            quieten_profiler()
            self._profiler = torch.autograd.profiler.profile(profile_memory=True)
            self._profiler.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            self.peak_bytes = torch.cuda.max_memory_allocated(self.device) - self.held_bytes
        elif self._profiler is not None:
            self._profiler.__exit__(*exception)
            self.peak_bytes = _peak_of(self._profiler)


def quieten_profiler() -> None:
    """Keep torch's profiler from writing to standard error when it starts and stops; the user's own setting stays."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")


def _peak_of(profiler: torch.autograd.profiler.profile) -> int:
    # Of what was allocated before, the profiler reports no release.
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak
