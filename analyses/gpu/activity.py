"""What a profiler trace of one step says about the device: how busy it was, and what the host did to it."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEVICE_WORK = ("kernel", "gpu_memcpy", "gpu_memset")
HOST_CALLS = ("cuda_runtime", "cuda_driver")


def read_trace(path: Path) -> list[dict[str, Any]]:
    """The events of a trace that `focuslab.hooks.trace.write_trace` wrote."""
    with gzip.open(path) as file:
        return json.load(file)["traceEvents"]


def device_activity(events: Sequence[dict[str, Any]], span: str = "unet") -> dict[str, Any] | None:
    """How busy the device was with the work that was launched within a span, and how it was launched.

    Idle time says why a sparse method is not faster: where the host cannot launch kernels as fast as the device
    finishes them, fewer query-key pairs change nothing. Work counts where its launch lies in the span, wherever on
    the device's own time line it ran.

    Parameters
    ----------
    events : sequence of dict
        Chrome trace events, as `read_trace` gives them.
    span : str
        Name of a host span, such as that of a module. All spans of that name count.

    Returns
    -------
    dict or None
        `device_seconds` from the first piece of work to the end of the last, of which `busy_seconds` with at least one
        piece running and `idle_seconds` with none; `host_seconds` of the span; how many `kernels` ran, how many
        `launches` and `synchronizations` the host made, and how many `copies_to_device`. None where the span launched
        no work on a device.
    """
    windows = [
        (e["ts"], e["ts"] + e["dur"]) for e in events if e.get("name") == span and e.get("cat") == "user_annotation"
    ]

    def within(event: dict[str, Any]) -> bool:
        return any(start <= event["ts"] < end for start, end in windows)

    calls = [e for e in events if e.get("cat") in HOST_CALLS and within(e)]
    launched = {e["args"]["correlation"] for e in calls if "correlation" in e.get("args", {})}
    work = [e for e in events if e.get("cat") in DEVICE_WORK and e["args"].get("correlation") in launched]
    if not work:
        return None
    busy, first, last = _union([(e["ts"], e["ts"] + e["dur"]) for e in work])
    return {
        "device_seconds": (last - first) / 1e6,
        "busy_seconds": busy / 1e6,
        "idle_seconds": (last - first - busy) / 1e6,
        "host_seconds": sum(end - start for start, end in windows) / 1e6,
        "kernels": sum(e["cat"] == "kernel" for e in work),
        "launches": sum("Launch" in e["name"] for e in calls),
        "synchronizations": sum("Synchronize" in e["name"] for e in calls),
        "copies_to_device": sum(e["cat"] == "gpu_memcpy" and "HtoD" in e["name"] for e in work),
    }


def _union(intervals: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Length of the union of intervals, where it begins and where it ends."""
    intervals.sort()
    first, last = intervals[0]
    busy = last - first
    for start, end in intervals[1:]:
        busy += max(0, end - max(start, last))
        last = max(last, end)
    return busy, first, last
