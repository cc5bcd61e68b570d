"""focuslab.hooks.memory: what a piece of work adds, and that a dry run predicts the same."""

import pytest
import torch
import torch.nn.functional as F

from focuslab.hooks.denoise import first_steps
from focuslab.hooks.memory import AddedMemory, quieten_profiler
from focuslab.hooks.meta_cost import meta_cost
from focuslab.methods import Dense, Eager, LiteFocus, TokenMerging
from focuslab.models.conditioning import encode_prompt
from tests.quick import CountingClock


def test_the_peak_is_of_what_is_added(capfd):
    held = torch.zeros(50_000)
    with AddedMemory("cpu") as memory:
        x = torch.zeros(1000)  # 4,000 bytes
        y = x + 1  # 8,000
        del x, held
        z = torch.cat([y, y])  # 12,000
        del y
        torch.zeros(500)  # 10,000
    del z
    assert memory.peak_bytes == 12_000 and memory.held_bytes > 1_000_000
    assert "profiler_start" not in capfd.readouterr().err


def test_copies_within_a_kernel_are_counted():
    x, weight = torch.zeros(2, 64, 50, 16), torch.zeros(32, 64, 3, 3)
    with AddedMemory("cpu") as memory, torch.no_grad():
        out = F.conv2d(x, weight, padding=1)
    assert memory.peak_bytes >= out.nbytes
    if torch.backends.mkldnn.is_available():
        assert memory.peak_bytes > 2 * out.nbytes


def test_under_another_profiler_the_peak_is_not_known():
    quieten_profiler()
    with torch.autograd.profiler.profile(), AddedMemory("cpu") as memory:
        torch.zeros(1000)
    assert memory.peak_bytes is None and memory.held_bytes > 0


def test_on_cuda_it_is_the_peak_of_the_allocator_above_what_it_held(monkeypatch):
    calls = []
    for name, value in (
        ("synchronize", None),
        ("reset_peak_memory_stats", None),
        ("memory_allocated", 1_000),
        ("max_memory_allocated", 1_234),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda _device, name=name, value=value: calls.append(name) or value)
    with AddedMemory("cuda") as memory:
        calls.append("work")
    assert (memory.held_bytes, memory.peak_bytes) == (1_000, 234)
    before, after = calls[: calls.index("work")], calls[calls.index("work") + 1 :]
    assert before == ["synchronize", "reset_peak_memory_stats", "memory_allocated"]
    assert after == ["synchronize", "max_memory_allocated"]


@pytest.mark.parametrize(
    "method", [Dense(), LiteFocus(sites="*"), Eager(), TokenMerging(ratio=0.5)], ids=lambda m: type(m).__name__
)
def test_a_dry_run_predicts_what_a_step_adds(pipe, twin, inputs, method):
    conditioning = encode_prompt(pipe, "rain")
    for seconds in (1.28, 6.0):
        with method(pipe), AddedMemory("cpu") as memory, torch.no_grad():
            first_steps(pipe, conditioning, seconds, 1, 0, CountingClock())
        assert meta_cost(twin, inputs(seconds), method).peak_bytes == pytest.approx(memory.peak_bytes, rel=0.2)


def test_a_prediction_for_cuda_has_no_copies_of_onednn(twin, inputs):
    on_cpu, on_cuda = (meta_cost(twin, inputs(2), Dense(), device) for device in ("cpu", "cuda"))
    assert on_cuda.peak_bytes < on_cpu.peak_bytes and on_cuda.flops == on_cpu.flops
