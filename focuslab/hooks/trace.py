"""One profiler trace of a run, with a span named after every module (`--trace`)."""

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from focuslab.errors import InputError
from focuslab.hooks.memory import quieten_profiler
from focuslab.io.files import write_atomically


@contextmanager
def module_spans(root: torch.nn.Module, prefix: str = "") -> Iterator[None]:
    """While entered, every forward of `root` and of its submodules is a profiler span named after the module.

    A span's name is the dotted name under `prefix`, as in "unet.down_blocks.1.attentions.0"; `root` itself is
    `prefix`, or its class name where there is no prefix. A module that hangs in the tree under several names has
    the first of them. Leaving removes every hook and closes every span, also when the body raises.
    """
    open_spans: list[tuple[torch.nn.Module, record_function]] = []
    handles = []

    def opener(name: str) -> Callable:
        def open_span(module, args):
            span = record_function(name)
            span.__enter__()
            open_spans.append((module, span))

        return open_span

    def close_span(module, args, output):
        # torch calls this hook also where another hook raised before `open_span` could run.
        if not any(owner is module for owner, _ in open_spans):
            return
        # torch runs no hooks for KeyboardInterrupt and its like: spans of children that ended so are closed here.
        owner = None
        while owner is not module:
            owner, span = open_spans.pop()
            span.__exit__(None, None, None)

    try:
        for name, module in root.named_modules(prefix=prefix):
            # First in, last out: what other hooks of a module take belongs to its span.
            handles.append(module.register_forward_pre_hook(opener(name or type(root).__name__), prepend=True))
            handles.append(module.register_forward_hook(close_span, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
        while open_spans:
            open_spans.pop()[1].__exit__(None, None, None)


def write_trace(
    call: Callable[[], object], root: torch.nn.Module, directory: Path, worker: str, *, prefix: str = "unet"
) -> Path:
    """Run `call()` once under the torch profiler and write `<directory>/<worker>.<ms since 1970>.pt.trace.json.gz`.

    The file opens in Perfetto and, with `directory` or a parent of it as `--logdir`, in TensorBoard's
    torch-tb-profiler plugin, which lists `directory` as a run and `worker` as a worker; characters of `worker` other
    than letters, digits and `._=+-` become `_`. A TensorBoard that already runs does not see files added later to a
    run that it has read.

    Recorded are the start and duration (microseconds) of every forward in `root` as a span under `prefix`, every torch
    operator with the shapes of its inputs, every allocation (bytes, from 0 at the start: weights are not in it) and,
    where CUDA is available, every kernel and copy on the GPU. One step of the full-size AudioLDM2 UNet is half a
    megabyte at every length, so let `call` be one step and not a whole generation. Python stacks are left out, they
    multiply that by five and the spans say the same; so are FLOPs, which the profiler does not know for attention.
    Tracing costs time itself: warm up before, and never time a traced run. The file appears whole or not at all.

    Raises `InputError` before running where `worker` is empty; whatever `call` raises passes through, and then
    nothing is written.
    """
    worker = re.sub(r"[^A-Za-z0-9._=+-]", "_", worker).lstrip(".")
    if not worker:
        raise InputError("a trace needs a worker name that is not empty, such as 'litefocus_10s'")
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
        torch.cuda.synchronize()  # kernels launched before would show up without the operators that launched them

    quieten_profiler()
    with (
        module_spans(root, prefix),
        profile(activities=activities, record_shapes=True, profile_memory=True) as profiler,
    ):
        call()

    # It ends in .gz because that is how the profiler is told to compress.
    with tempfile.TemporaryDirectory() as elsewhere:
        exported = Path(elsewhere) / "trace.gz"
        profiler.export_chrome_trace(str(exported))
        content = exported.read_bytes()
    directory.mkdir(parents=True, exist_ok=True)
    milliseconds = time.time_ns() // 1_000_000
    while (path := directory / f"{worker}.{milliseconds}.pt.trace.json.gz").exists():
        milliseconds += 1
    # A running TensorBoard reads a run's files once, as soon as one matches its pattern: only a whole one does.
    write_atomically(path, content)
    return path
