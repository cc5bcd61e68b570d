"""Module spans, trace files, and TensorBoard's torch profiler plugin reading one."""

import gzip
import itertools
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from focuslab.errors import InputError
from focuslab.hooks import trace
from focuslab.hooks.trace import module_spans, write_trace


class Net(nn.Module):
    """Nested blocks, one of them called twice in a forward."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(2))
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        for block in self.blocks:
            x = self.norm(block(x))
        return x


CALLS = {
    "net": 1,
    "net.blocks.0": 1,
    "net.blocks.0.0": 1,
    "net.blocks.0.1": 1,
    "net.blocks.1": 1,
    "net.blocks.1.0": 1,
    "net.blocks.1.1": 1,
    "net.norm": 2,
}


class Countdown(nn.Module):
    """Calls itself until `depth` forwards are open."""

    def __init__(self, depth):
        super().__init__()
        self.depth = depth

    def forward(self, x, level=1):
        return self(x + 1, level + 1) if level < self.depth else x + 1


class Raises(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


class Catches(nn.Module):
    """Goes on with `after` when `inner` has raised."""

    def __init__(self, error):
        super().__init__()
        self.error = type(error)
        self.inner = nn.Sequential(Raises(error))
        self.after = nn.Identity()

    def forward(self, x):
        try:
            return self.inner(x)
        except self.error:
            return self.after(x)


def hooks(root):
    return [
        hook
        for module in root.modules()
        for kind in (module._forward_pre_hooks, module._forward_hooks, module._forward_hooks_always_called)
        for hook in kind
    ]


def record(call):
    """What the profiler saw while `call` ran."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        call()
    return profiler.events()


def spans(events, prefix):
    return [event for event in events if event.name == prefix or event.name.startswith(prefix + ".")]


def read(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def span_names(trace_json):
    return Counter(event["name"] for event in trace_json["traceEvents"] if event.get("cat") == "user_annotation")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().requires_grad_(False)


def test_every_forward_has_a_span_inside_its_parents(net):
    x = torch.randn(2, 4)
    plain = net(x)

    def call():
        with module_spans(net, "net"):
            assert torch.equal(net(x), plain)

    found = spans(record(call), "net")
    assert Counter(event.name for event in found) == CALLS
    ranges = {event.name: event.time_range for event in found}
    for name, inner in ranges.items():
        parent = ranges.get(name.rpartition(".")[0].removesuffix(".blocks"))
        if parent:
            assert parent.start <= inner.start <= inner.end <= parent.end


def test_without_prefix_children_have_bare_names_and_the_root_its_class_name(net):
    def call():
        with module_spans(net):
            net(torch.zeros(1, 4))

    names = {event.name for event in record(call)}
    assert {"Net", "norm", "blocks.1.0"} <= names


def test_a_module_that_calls_itself_nests(net):
    module = Countdown(3)

    def call():
        with module_spans(module, "m"):
            assert module(torch.zeros(1)) == 3

    found = sorted(spans(record(call), "m"), key=lambda event: event.time_range.start)
    assert len(found) == 3
    for outer, inner in itertools.pairwise(found):
        assert outer.time_range.start <= inner.time_range.start <= inner.time_range.end <= outer.time_range.end


def test_hooks_of_others_stay_and_ours_go(net):
    seen = []
    net.norm.register_forward_hook(lambda *_: seen.append("theirs"))
    before = hooks(net)
    with module_spans(net, "net"):
        assert len(hooks(net)) > len(before)
        net(torch.zeros(1, 4))
    assert hooks(net) == before
    assert seen == ["theirs", "theirs"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_in_forward_leaves_no_hook_and_no_open_span(net, error):
    net.blocks.append(Raises(error))

    def call():
        with pytest.raises(type(error)), module_spans(net, "net"):
            net(torch.zeros(1, 4))
        torch.arange(5)

    events = record(call)
    assert hooks(net) == []
    found = spans(events, "net")
    assert {event.name for event in found} == {*CALLS, "net.blocks.2"}
    later = next(event for event in events if event.name == "aten::arange")
    assert all(event.time_range.end <= later.time_range.start for event in found)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_caught_inside_a_forward_closes_the_spans_below_it(error):
    module = Catches(error)

    def call():
        with module_spans(module, "m"):
            module(torch.zeros(1))
            module(torch.zeros(1))
            torch.arange(5)

    events = record(call)
    found = spans(events, "m")
    assert Counter(event.name for event in found) == {"m": 2, "m.inner": 2, "m.inner.0": 2, "m.after": 2}
    later = next(event for event in events if event.name == "aten::arange")
    assert all(event.time_range.end <= later.time_range.start for event in found)
    if isinstance(error, Exception):  # for the others torch calls no hook, and the parent's end is the first chance
        inner, after = (next(event for event in found if event.name == name) for name in ("m.inner", "m.after"))
        assert inner.time_range.end <= after.time_range.start


def test_a_forward_refused_before_its_span_opened_closes_no_other():
    module = Catches(ValueError("no"))

    def call():
        with module_spans(module, "m"):
            # Prepended after ours, so it runs before: `m.inner` then ends without having begun.
            module.inner.register_forward_pre_hook(lambda *_: module.inner[0](None), prepend=True)
            module(torch.zeros(1))

    found = {event.name: event.time_range for event in spans(record(call), "m")}
    assert set(found) == {"m", "m.inner.0", "m.after"}
    assert found["m"].start <= found["m.after"].start <= found["m.after"].end <= found["m"].end


def test_write_trace_writes_one_json_with_spans_shapes_and_memory(net, tmp_path):
    calls = []

    def call():
        calls.append(net(torch.zeros(3, 4)))

    directory = tmp_path / "runs" / "trace"
    path = write_trace(call, net, directory, "litefocus_10s", prefix="net")
    assert len(calls) == 1
    assert list(directory.iterdir()) == [path]
    assert hooks(net) == []

    content = read(path)
    names = span_names(content)
    assert {name: names[name] for name in CALLS} == CALLS
    shapes = [event["args"]["Input Dims"] for event in content["traceEvents"] if event["name"] == "aten::linear"]
    assert shapes == [[[3, 4], [4, 4], [4]]] * 2
    assert any(event["name"] == "[memory]" for event in content["traceEvents"])


def test_a_gpu_is_recorded_from_a_quiet_start(net, tmp_path, monkeypatch):
    seen = []

    class Profile:
        def __init__(self, activities, **options):
            seen.append(activities)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def export_chrome_trace(self, path):
            Path(path).touch()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: seen.append("synchronize"))
    monkeypatch.setattr(trace, "profile", Profile)
    write_trace(lambda: seen.append("call"), net, tmp_path, "dense_10s")
    assert seen == ["synchronize", [ProfilerActivity.CPU, ProfilerActivity.CUDA], "call"]


@pytest.mark.parametrize(
    ("worker", "expected"),
    [
        ("litefocus_10s", "litefocus_10s"),
        ("dense_2.5s", "dense_2.5s"),
        ("litefocus:cross_fraction=0.2_10s", "litefocus_cross_fraction=0.2_10s"),
        ("../up and away/ü", "_up_and_away__"),
    ],
)
def test_the_plugins_own_pattern_finds_worker_and_time(net, tmp_path, worker, expected):
    consts = pytest.importorskip("torch_tb_profiler.consts")
    before = time.time_ns() // 1_000_000
    path = write_trace(lambda: None, net, tmp_path, worker)
    assert path.parent == tmp_path
    match = consts.WORKER_PATTERN.match(path.name)
    assert match and match.group(1) == expected
    assert before <= int(match.group(2)[1:]) <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("worker", ["", "..."])
def test_an_empty_worker_name_is_refused_before_the_call(net, tmp_path, worker):
    with pytest.raises(InputError, match="worker name"):
        write_trace(lambda: pytest.fail("was called"), net, tmp_path / "new", worker)
    assert not (tmp_path / "new").exists()


def test_two_traces_in_one_millisecond_are_two_files(net, tmp_path, monkeypatch):
    monkeypatch.setattr(trace.time, "time_ns", lambda: 1_700_000_000_000_000_000)
    first = write_trace(lambda: None, net, tmp_path, "dense_10s")
    second = write_trace(lambda: None, net, tmp_path, "dense_10s")
    assert first != second and set(tmp_path.iterdir()) == {first, second}


def test_a_call_that_raises_writes_nothing(net, tmp_path):
    with pytest.raises(RuntimeError):
        write_trace(lambda: net(torch.zeros(1, 5)), net, tmp_path / "new", "dense_10s")
    assert hooks(net) == []
    assert not (tmp_path / "new").exists()


def test_a_half_written_file_is_hidden_from_the_plugin_and_taken_away(net, tmp_path, monkeypatch):
    consts = pytest.importorskip("torch_tb_profiler.consts")
    partial = []

    def disk_full(descriptor):
        partial.extend(path.name for path in tmp_path.iterdir())
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="no space"):
        write_trace(lambda: None, net, tmp_path, "dense_10s")
    assert len(partial) == 1 and not consts.WORKER_PATTERN.match(partial[0])
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_serves_the_trace(net, tmp_path):
    pytest.importorskip("tensorboard")
    pytest.importorskip("torch_tb_profiler")
    logdir = tmp_path / "logs"
    for worker in ("dense_10s", "litefocus_10s"):
        write_trace(lambda: net(torch.zeros(3, 4)), net, logdir / "profile", worker, prefix="net")

    deadline = time.monotonic() + 90
    log = tmp_path / "tensorboard.log"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with log.open("w") as output:
        server = subprocess.Popen(
            # Port 0: the server takes a free one and says which. No data server: a second process to look after.
            [
                sys.executable,
                "-m",
                "tensorboard.main",
                "--logdir",
                logdir,
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--load_fast",
                "false",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )

    def wait_for(condition, what):
        while time.monotonic() < deadline:
            if server.poll() is not None:
                pytest.fail(f"TensorBoard ended with {server.returncode}:\n{log.read_text()}")
            if found := condition():
                return found
            time.sleep(0.2)
        pytest.fail(f"no {what} within 90 seconds:\n{log.read_text()}")

    def get(route, **query):
        with opener.open(f"{address}data/{route}?{urllib.parse.urlencode(query)}", timeout=30) as response:
            body = response.read()
            if response.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            return json.loads(body)

    def listed_runs():
        try:
            answer = get("plugin/pytorch_profiler/runs")
        except urllib.error.URLError:
            return None
        return answer["runs"] if not answer["loading"] else None

    try:
        address = wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()), "address").group()
        assert wait_for(listed_runs, "run") == ["profile"]
        assert get("plugins_listing")["pytorch_profiler"]["enabled"]
        views = get("plugin/pytorch_profiler/views", run="profile")
        assert {"Operator", "Trace", "Memory"} <= set(views)
        for view in ("Operator", "Trace", "Memory"):
            workers = get("plugin/pytorch_profiler/workers", run="profile", view=view)
            assert workers == ["dense_10s", "litefocus_10s"]

        for worker in workers:
            one = {"run": "profile", "worker": worker}
            (one["span"],) = get("plugin/pytorch_profiler/spans", **one)
            served = span_names(get("plugin/pytorch_profiler/trace", **one))
            assert {name: served[name] for name in CALLS} == CALLS
            operators = get("plugin/pytorch_profiler/operation/table", group_by="Operation", **one)["data"]
            assert {row["name"]: row["calls"] for row in operators}["aten::linear"] == 2
            assert get("plugin/pytorch_profiler/memory_curve", **one)["rows"]["CPU"]
    finally:
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
