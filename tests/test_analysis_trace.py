import gzip
import json

import pytest

from tests.test_analyses import analysis

with analysis("09_gpu"):
    from activity import device_activity, read_trace


def event(cat, name, ts, dur, correlation=None):
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "args": {"correlation": correlation}}


EVENTS = [
    {"ph": "M", "name": "process_name"},
    event("user_annotation", "unet", 100, 50),
    event("user_annotation", "unet.conv_in", 100, 5),
    event("cuda_runtime", "cudaLaunchKernel", 105, 2, 1),
    event("cuda_runtime", "cudaMemcpyAsync", 108, 2, 2),
    event("cuda_driver", "cuLaunchKernelEx", 111, 2, 3),
    event("cuda_runtime", "cudaStreamSynchronize", 120, 20),
    event("kernel", "gemm", 200, 40, 1),
    event("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 230, 20, 2),
    event("kernel", "softmax", 270, 30, 3),
    # Outside of the span: the scheduler.
    event("cuda_runtime", "cudaLaunchKernel", 160, 2, 4),
    event("kernel", "add", 400, 10, 4),
    event("cuda_runtime", "cudaDeviceSynchronize", 170, 2),
]


def test_work_launched_within_the_span_counts():
    found = device_activity(EVENTS)
    assert found == {
        "device_seconds": pytest.approx(100e-6),
        "busy_seconds": pytest.approx(80e-6),
        "idle_seconds": pytest.approx(20e-6),
        "host_seconds": pytest.approx(50e-6),
        "kernels": 2,
        "launches": 2,
        "synchronizations": 1,
        "copies_to_device": 1,
    }


def test_a_kernel_inside_another_adds_no_busy_time():
    inside = [
        event("cuda_runtime", "cudaLaunchKernel", 112, 1, 5),
        event("kernel", "inside", 205, 5, 5),
    ]
    assert device_activity(EVENTS + inside)["busy_seconds"] == pytest.approx(80e-6)


def test_a_span_without_device_work_has_no_activity():
    assert device_activity(EVENTS, "unet.conv_in") is None
    assert device_activity([]) is None


def test_a_trace_is_read_back_from_its_file(tmp_path):
    path = tmp_path / "trace.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": EVENTS}).encode()))
    assert device_activity(read_trace(path)) == device_activity(EVENTS)
