"""How much memory is free, and how much a piece of work holds or needs at its peak."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

from focuslab.errors import FocuslabError, InputError
from focuslab.models.placement import device_of
from focuslab.runs import SKIPPED

CLEAR_REFS = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")
CGROUP_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def available_bytes(device: torch.device | str) -> int:
    """Bytes that this process can still take on the device: free ones, and those its own allocator holds unused.

    On the CPU the smaller of what the system has available and what the process's control group allows.
    """
    import psutil

    device = torch.device(device)
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    available = psutil.virtual_memory().available
    for limit, usage in CGROUP_LIMITS:
        try:
            available = min(available, int(limit.read_text()) - int(usage.read_text()))
        except (OSError, ValueError):
            continue
    return max(available, 0)


class DoesNotFit(InputError):
    """A length or a method that needs more memory than is free."""

    def __init__(self, message: str, needed_bytes: int, free_bytes: int):
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class LeftOut:
    """What needs more memory than is free, so that the rest can be measured without it.

    Attributes
    ----------
    records
        A record of each length, or method at a length, that was left out.
    """

    def __init__(self):
        self.records: list[dict[str, Any]] = []
        self._first: DoesNotFit | None = None

    @contextmanager
    def unless_it_fits(self, seconds: float, **of: Any) -> Iterator[None]:
        """Turn a `DoesNotFit` of the body into a record; `of` says what else it is of."""
        try:
            yield
        except DoesNotFit as error:
            self._first = self._first or error
            bytes_ = {"needed_bytes": error.needed_bytes, "free_bytes": error.free_bytes}
            self.records.append({"kind": SKIPPED, "seconds": seconds, **of, **bytes_})

    def refuse_if(self, nothing_is_left: bool) -> None:
        """Raise the first `DoesNotFit` again where nothing is left to measure."""
        if nothing_is_left and self._first is not None:
            raise self._first


def check_fits(pipe, peak_bytes: int, what: str, instead: str) -> None:
    """Raise `DoesNotFit` where `what` needs more than is free on the pipeline's device. peak_bytes: above what is held
    already, predicted by a dry run."""
    device = device_of(pipe)
    free = available_bytes(device)
    if peak_bytes > free:
        raise DoesNotFit(
            f"{what} needs {peak_bytes / 1e9:.1f} GB beside the weights and {free / 1e9:.1f} GB are free on {device}: "
            f"{instead}",
            peak_bytes,
            free,
        )


@contextmanager
def naming_what_did_not_fit(pipe, what: str, instead: str, kept: Callable[[], str]) -> Iterator[None]:
    """A `FocuslabError` that says what ran out of memory, what to do `instead`, and what is `kept`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # The allocator of the CPU raises an error without a class of its own.
        if type(error) is RuntimeError and "can't allocate memory" not in str(error):
            raise
        raise FocuslabError(f"{what} ran out of memory on {device_of(pipe)}: {instead} ({kept()})") from error


class PeakMemory:
    """Peak bytes while entered, weights and all else that the process holds included, as `peak_bytes` afterwards.

    It costs nothing, so it goes with work that is timed; `AddedMemory` tells what the work itself needs.

    CUDA: the allocator's peak. CPU: the highest resident set of the process, whose mark Linux lets a process reset;
    None where it does not (other systems, some containers).
    """

    def __init__(self, device: torch.device | str):
        self.device = torch.device(device)
        self.peak_bytes: int | None = None

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            self._can_reset = _reset_peak_of_process()
        return self

    def __exit__(self, *_exception) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            self.peak_bytes = torch.cuda.max_memory_allocated(self.device)
        elif self._can_reset:
            self.peak_bytes = _peak_of_process()


def _reset_peak_of_process() -> bool:
    try:
        # 5 resets the peak resident set size, see proc(5).
        CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def _peak_of_process() -> int | None:
    for line in STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


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
