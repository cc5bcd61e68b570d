import pytest
import torch
from torch import nn

from focuslab.errors import InputError
from focuslab.hooks import timers
from focuslab.hooks.timers import CpuClock, CudaClock, ModuleTimer, clock_for
from focuslab.models.sites import unit_names


class FakeClock:
    """Time passes only where a module says so."""

    def __init__(self):
        self.now = 0.0
        self.synchronized = 0
        self.released = []

    def mark(self):
        return self.now

    def synchronize(self):
        self.synchronized += 1

    def seconds(self, start, end):
        return end - start

    def release(self, marks):
        self.released += marks


class Work(nn.Module):
    def __init__(self, clock, seconds, *children, fails=False):
        super().__init__()
        self.clock, self.seconds, self.fails = clock, seconds, fails
        self.parts = nn.ModuleList(children)

    def forward(self):
        self.clock.now += self.seconds
        for part in self.parts:
            part()
        if self.fails:
            raise ZeroDivisionError


def tree(clock):
    """root (1 s) calls a (2 s), which calls its leaf (4 s), and b (8 s)."""
    return Work(clock, 1.0, Work(clock, 2.0, Work(clock, 4.0)), Work(clock, 8.0))


NAMES = ["", "parts.0", "parts.0.parts.0", "parts.1"]


def test_inclusive_and_exclusive_times_are_exact_and_add_up():
    clock = FakeClock()
    root = tree(clock)
    timer = ModuleTimer(root, clock, NAMES)
    with timer:
        root()
        root()
    times = {t.name: (t.calls, t.inclusive_seconds, t.exclusive_seconds) for t in timer.times()}
    assert times == {
        "": (2, 30.0, 2.0),
        "parts.0": (2, 12.0, 4.0),
        "parts.0.parts.0": (2, 8.0, 8.0),
        "parts.1": (2, 16.0, 16.0),
    }
    assert sum(exclusive for _, _, exclusive in times.values()) == times[""][1]


def test_modules_that_are_not_named_count_for_the_one_above():
    clock = FakeClock()
    root = tree(clock)
    timer = ModuleTimer(root, clock, ["", "parts.1"])
    with timer:
        root()
    assert [(t.name, t.exclusive_seconds) for t in timer.times()] == [("", 7.0), ("parts.1", 8.0)]


def test_nothing_waits_while_running_and_marks_go_back():
    clock = FakeClock()
    root = tree(clock)
    timer = ModuleTimer(root, clock, NAMES)
    with timer:
        root()
        assert clock.synchronized == 0
    assert timer.times() and clock.synchronized == 1
    assert len(clock.released) == 2 * len(NAMES)
    assert timer.times() == []


def test_hooks_are_gone_also_after_an_exception_and_what_had_finished_counts():
    clock = FakeClock()
    root = Work(clock, 1.0, Work(clock, 2.0), Work(clock, 4.0, fails=True), Work(clock, 8.0))
    timer = ModuleTimer(root, clock, ["", "parts.0", "parts.1", "parts.2"])
    with pytest.raises(ZeroDivisionError), timer:
        root()
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in root.modules())
    times = {t.name: t.exclusive_seconds for t in timer.times()}
    assert times["parts.0"] == 2.0 and "parts.2" not in times


def test_modules_left_open_by_an_interrupt_are_dropped():
    clock = FakeClock()
    timer = ModuleTimer(tree(clock), clock, NAMES)
    before, after = timer._hooks_of(0)
    before_child, _ = timer._hooks_of(1)
    before(None, None)
    clock.now = 1.0
    before_child(None, None)
    clock.now = 3.0
    after(None, None, None)
    assert [(t.name, t.inclusive_seconds) for t in timer.times()] == [("", 3.0)]


def test_a_timed_unet_makes_the_same_sound(pipe, sound):
    plain = sound()
    timer = ModuleTimer(pipe.unet, CpuClock(), unit_names(pipe.unet))
    with timer:
        assert (sound() == plain).all()
    times = timer.times()
    root = next(t for t in times if t.name == "")
    assert sum(t.exclusive_seconds for t in times) == pytest.approx(root.inclusive_seconds, rel=1e-9)
    assert root.calls == 2 and min(t.exclusive_seconds for t in times) >= 0


def test_the_cpu_clock_counts_seconds():
    clock = CpuClock()
    assert clock.seconds(1_000, 2_000_001_000) == 2.0
    assert isinstance(clock_for("cpu"), CpuClock)
    assert isinstance(clock_for("cuda:1"), CudaClock)
    with pytest.raises(InputError, match="mps"):
        clock_for("mps")


class FakeCuda:
    """torch.cuda, as far as the clock uses it: an event takes the time of its stream when the stream comes to it."""

    made = 0

    def __init__(self):
        self.stream = {"time": 0.0}
        self.streams_asked = []
        self.synchronized = []
        FakeCuda.made = 0

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing
            FakeCuda.made += 1
            self.milliseconds = None

        def record(self, stream):
            stream["time"] += 250.0
            self.milliseconds = stream["time"]

        def elapsed_time(self, end):
            return end.milliseconds - self.milliseconds

    def current_stream(self, device):
        self.streams_asked.append(device)
        return self.stream

    def synchronize(self, device):
        self.synchronized.append(device)


def test_the_cuda_clock_records_on_the_current_stream_and_pools_its_events(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(timers.torch, "cuda", fake)
    device = torch.device("cuda", 1)
    clock = CudaClock(device)
    marks = [clock.mark() for _ in range(4)]
    assert fake.synchronized == [] and fake.streams_asked == [device] * 4
    clock.synchronize()
    assert fake.synchronized == [device]
    assert clock.seconds(marks[0], marks[3]) == pytest.approx(0.75)
    clock.release(marks)
    assert {id(clock.mark()) for _ in range(4)} == {id(m) for m in marks}
    assert FakeCuda.made == 4
    clock.mark()
    assert FakeCuda.made == 5


def test_a_module_timer_over_cuda_events_synchronizes_once(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(timers.torch, "cuda", fake)
    clock = CudaClock(torch.device("cuda"))
    root = tree(FakeClock())
    timer = ModuleTimer(root, clock, NAMES)
    with timer:
        root()
    times = {t.name: t for t in timer.times()}
    assert len(fake.synchronized) == 1
    # Each record moves the fake stream by 0.25 s; between the root's two marks there are seven steps.
    assert times[""].inclusive_seconds == pytest.approx(1.75)
    assert sum(t.exclusive_seconds for t in times.values()) == pytest.approx(1.75)
