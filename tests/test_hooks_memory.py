import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from focuslab.hooks import memory
from focuslab.hooks.memory import PeakMemory, available_bytes

PEAKS = """
import torch
from focuslab.hooks.memory import PeakMemory
with PeakMemory("cpu") as earlier:
    block = torch.ones(40_000_000)
del block
with PeakMemory("cpu") as large:
    block = torch.ones(20_000_000)
    del block
with PeakMemory("cpu") as small:
    torch.ones(1)
print(*(peak.peak_bytes for peak in (earlier, large, small)))
"""


@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="only Linux lets a process reset its peak")
def test_the_peak_of_the_process_is_that_of_the_block_alone():
    # A process of its own: in a used one a block may fit into what was freed before.
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    if "None" in done.stdout:
        pytest.skip("this system does not let a process reset its peak")
    earlier, large, small = map(int, done.stdout.split())
    assert 70e6 < large - small < 90e6
    assert earlier > large + 70e6


def test_where_the_peak_cannot_be_reset_it_is_not_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "missing" / "clear_refs")
    with PeakMemory("cpu") as peak:
        pass
    assert peak.peak_bytes is None


def test_available_memory_is_no_more_than_the_control_group_allows(monkeypatch, tmp_path):
    limit, usage = tmp_path / "memory.max", tmp_path / "memory.current"
    usage.write_text("1000\n")
    monkeypatch.setattr(memory, "CGROUP_LIMITS", ((limit, usage), (Path("/nowhere"), Path("/nowhere"))))
    limit.write_text("max\n")
    assert available_bytes("cpu") > 10**6
    limit.write_text("5000\n")
    assert available_bytes("cpu") == 4000
    limit.write_text("500\n")
    assert available_bytes("cpu") == 0


def test_on_cuda_the_allocator_is_asked(monkeypatch):
    calls = []
    fake = SimpleNamespace(
        mem_get_info=lambda device: (7_000, 9_000),
        memory_reserved=lambda device: 500,
        memory_allocated=lambda device: 200,
        synchronize=lambda device: calls.append("synchronize"),
        reset_peak_memory_stats=lambda device: calls.append("reset"),
        max_memory_allocated=lambda device: 1_234,
    )
    monkeypatch.setattr(memory.torch, "cuda", fake)
    assert available_bytes("cuda") == 7_300
    with PeakMemory("cuda") as peak:
        calls.append("work")
    assert peak.peak_bytes == 1_234
    assert calls == ["synchronize", "reset", "work", "synchronize"]
