"""The parts of 09_gpu.py. Each is a function that returns what it measured."""

import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import torch
from activity import device_activity, read_trace

import focuslab
from focuslab.hooks.denoise import first_steps, timed_call
from focuslab.hooks.timers import Clock, clock_for
from focuslab.hooks.trace import write_trace
from focuslab.methods import parse_methods
from focuslab.models.conditioning import STAGES, components_of, encode_prompt, guided_inputs, run_stage, unet_inputs
from focuslab.models.placement import device_of
from focuslab.models.specs import stand_ins

ROOT = Path(__file__).parents[2]
PROMPT = "gentle rain on a tin roof, distant thunder"
UNBIASED = "litefocus:cross_weight=unbiased"
METHODS = ("dense", "litefocus", UNBIASED, "sampled", "same-frequency", "tome", "naive")
"""Bounds are measured beside them by `profile` itself."""
COMPILED = ("litefocus", UNBIASED, "sampled", "bound", "same-frequency", "tome", "naive")
"""In the order of importance. Dense is compiled beside each."""
REPEATS = 5
STEPS = 20
"""Denoising steps of the whole generation."""
TESTS_SHARE = 0.4
"""Of the remaining time, what the tests may take."""


@dataclass(frozen=True)
class Part:
    """One thing to measure, at a length in seconds and of a method where it has them."""

    kind: str
    seconds: float | None = None
    method: str | None = None

    @property
    def title(self) -> str:
        what = self.kind if self.method is None else f"{self.kind} {self.method}"
        return what if self.seconds is None else f"{what} at {self.seconds:g} s"


@dataclass
class Work:
    """What all parts share.

    Parameters
    ----------
    pipe : DiffusionPipeline
    out : Path
        The directory of the results.
    deadline : float
        The moment at which time is over, by `time.monotonic`.
    dense : dict
        The dense UNet of the last compiled length, so that it is compiled once a length.
    """

    pipe: Any
    out: Path
    deadline: float
    dense: dict[float, "Timed"] = field(default_factory=dict)

    def remaining(self) -> float:
        return self.deadline - time.monotonic()

    @cached_property
    def conditioning(self) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return encode_prompt(self.pipe, PROMPT)

    @cached_property
    def clock(self) -> Clock:
        return clock_for(device_of(self.pipe))

    def time(self, call: Callable[[], Any]) -> float:
        """Seconds of one call, until the device has finished it."""
        self.clock.synchronize()
        start = self.clock.mark()
        call()
        end = self.clock.mark()
        self.clock.synchronize()
        return self.clock.seconds(start, end)


def run_tests(work: Work, _part: Part) -> dict[str, Any]:
    """The tests marked `cuda`; their whole output goes to tests.txt."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("test_cuda*.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", "--durations=10", *files]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    with open(work.out / "tests.txt", "wb") as output:
        try:
            code = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=max(TESTS_SHARE * work.remaining(), 1),
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    lines = (work.out / "tests.txt").read_text(errors="replace").splitlines()
    return {"exit_code": code, "last_line": lines[-1] if lines else ""}


def profile(work: Work, part: Part) -> dict[str, Any]:
    """Steps of every method, interleaved, with the raw values in the rows."""
    summary = focuslab.profile(work.pipe, (part.seconds,), METHODS, prompt=PROMPT, repeats=REPEATS).summary
    return {**summary, "rows": [{k: v for k, v in row.items() if k != "modules"} for row in summary["rows"]]}


def trace(work: Work, part: Part) -> dict[str, Any]:
    """One step of dense and of LiteFocus under the profiler, and what the device did in it."""
    activity = {}
    for label, method in parse_methods(["dense", "litefocus"]).items():
        with torch.no_grad(), method(work.pipe):

            def step() -> None:
                first_steps(work.pipe, work.conditioning, part.seconds, 1, 0, work.clock)

            step()
            path = write_trace(step, work.pipe.unet, work.out / "trace", f"{label}_{part.seconds:g}s")
        activity[label] = device_activity(read_trace(path))
    return {"activity": activity}


def capture(work: Work, part: Part) -> dict[str, Any]:
    """Plain and recorded steps that alternate, with the three exact statistics at one fraction."""
    run = focuslab.capture_attention(
        work.pipe,
        PROMPT,
        (part.seconds,),
        steps=8,
        capture_steps=range(1, 8, 2),
        statistics=("mass", "recall", "output_error"),
        cross_fractions=(0.1,),
    )
    return run.summary["cost"][0]


def compiled(work: Work, part: Part) -> dict[str, Any]:
    """UNet calls of dense and of one method, eager and compiled, interleaved. The first compiled call compiles."""
    if part.seconds not in work.dense:
        # Each UNet is one more specialisation of the same code; beyond torch's limit it would silently run eagerly.
        torch._dynamo.reset()
        torch._dynamo.config.recompile_limit = 16 * len(COMPILED)
        work.dense = {part.seconds: Timed(work, part.seconds, "dense")}
    dense, sparse = work.dense[part.seconds], Timed(work, part.seconds, part.method)
    for _ in range(REPEATS):
        dense.time()
        sparse.time()
    return {"rows": [*dense.rows(), *sparse.rows()]}


class Timed:
    """One method in two copies of the UNet, an eager and a compiled one.

    Each copy keeps its method attached: attached anew, the method would be compiled anew.
    """

    def __init__(self, work: Work, seconds: float, label: str):
        self._work, self._label = work, label
        self._inputs = real_inputs(work, seconds)
        self._unets = {form: copy.deepcopy(work.pipe.unet) for form in ("eager", "compiled")}
        self._unets["compiled"].compile()
        for unet in self._unets.values():
            parse_methods([label])[label].attach(unet)
        self._first_call = {form: self._call(form) for form in self._unets}
        self._values: dict[str, list[float]] = {form: [] for form in self._unets}

    @torch.no_grad()
    def _call(self, form: str) -> float:
        return self._work.time(lambda: self._unets[form](**self._inputs))

    def time(self) -> None:
        for form, values in self._values.items():
            values.append(self._call(form))

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "method": self._label,
                "form": form,
                "unet_seconds_median": median(values[-REPEATS:]),
                "unet_seconds": values[-REPEATS:],
                "first_call_seconds": self._first_call[form],
            }
            for form, values in self._values.items()
        ]


def real_inputs(work: Work, seconds: float) -> dict[str, Any]:
    """The UNet's keyword arguments in one guided step, with contents."""
    shapes = unet_inputs(work.pipe, work.conditioning, seconds)
    noise = torch.randn(shapes["sample"].shape, generator=torch.Generator().manual_seed(0))
    device = device_of(work.pipe)
    return {
        **guided_inputs(work.pipe, work.conditioning),
        "sample": noise.to(device, shapes["sample"].dtype),
        "timestep": torch.tensor(500, device=device),
    }


def generation(work: Work, part: Part) -> dict[str, Any]:
    """A whole generation from the encoded prompt to samples, and its stages by themselves."""
    pipe, rows = work.pipe, []
    with torch.no_grad():
        for label, method in parse_methods(["dense", "litefocus"]).items():
            with method(pipe):
                timed_call(pipe, work.conditioning, part.seconds, 2, 0, work.clock)
                start = time.perf_counter()
                _samples, step_seconds = timed_call(pipe, work.conditioning, part.seconds, STEPS, 0, work.clock)
                whole = time.perf_counter() - start
            rows.append(
                {"method": label, "steps": STEPS, "whole_seconds": whole, "denoising_seconds": sum(step_seconds)}
            )
        stages = {
            stage: work.time(lambda stage=stage: run_stage(pipe, stage, PROMPT, part.seconds, 0))
            for stage in STAGES
            if not set(components_of(pipe, stage)) & set(stand_ins(pipe))
        }
    return {"rows": rows, "stages": stages}


PARTS: dict[str, Callable[[Work, Part], dict[str, Any]]] = {
    "tests": run_tests,
    "profile": profile,
    "trace": trace,
    "capture": capture,
    "compiled": compiled,
    "generation": generation,
}
