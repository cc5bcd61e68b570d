"""The errors of a sensitivity pass, one after another at the latents of dense generations."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from focuslab.hooks.denoise import latents_at
from focuslab.hooks.output_error import OutputError
from focuslab.measure.loop import Report
from focuslab.methods import parse_method
from focuslab.methods.base import Attachable
from focuslab.models.placement import device_of
from focuslab.models.schedule import current_schedule
from focuslab.runs.arrays import read_arrays
from focuslab.runs.directory import RunDirectory
from focuslab.runs.method_spec import MethodSpec
from focuslab.search.experiments import Choice, Group, choice_key, choice_of, to_record


def method_at(method: MethodSpec, sites: Sequence[str]) -> Attachable:
    """The method that a spec names, at these sites."""
    return replace(parse_method(str(method)), sites=tuple(sites))


def key_of(record: Mapping[str, Any]) -> Hashable:
    """What the record of an error is of."""
    return record["seconds"], record["prompt"], record["step"], choice_key(choice_of(record))


@dataclass(frozen=True)
class Latents:
    """What the UNet is given at one step of one prompt at one length, and the experiments there."""

    seconds: float
    prompt: int
    step: int
    groups: Sequence[Group]
    choices: Sequence[Choice]
    flops: float  # of one error

    @property
    def key(self) -> tuple[float, int, int]:
        return self.seconds, self.prompt, self.step

    @property
    def title(self) -> str:
        return f"the sensitivity pass at {self.seconds:g} s"

    @property
    def weight(self) -> float:
        return self.flops * len(self.choices)

    @property
    def place(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "prompt": self.prompt, "step": self.step}

    @cached_property
    def experiments(self) -> dict[Hashable, dict[str, Any]]:
        """What is recorded of each, beside its error."""
        records = [{"kind": "", **self.place, **to_record(choice)} for choice in self.choices]
        return {key_of(record): record for record in records}

    def methods(self, record: Mapping[str, Any]) -> list[Attachable]:
        """What is attached for an experiment."""
        sites = {group.name: group.sites for group in self.groups}
        return [method_at(method, sites[group]) for group, method in choice_of(record).items()]


class SensitivityPass:
    """Measures error after error and puts each on disk at once, without those that are there already."""

    def __init__(self, pipe, conditioning: Sequence[dict[str, Tensor]], run: RunDirectory):
        self.pipe = pipe
        self.conditioning = conditioning
        self.run = run
        self.steps: int = run.info.parameters["steps"]
        self.done = {key_of(record) for record in run.records if record["kind"] in ("sensitivity", "joint")}

    def measure(self, latents: Latents, report: Report) -> None:
        left = [record for key, record in latents.experiments.items() if key not in self.done]
        total, every = len(latents.choices), max(1, len(left) // 5)
        where = f"{latents.seconds:g} s, prompt {latents.prompt + 1} of {len(self.conditioning)}, step {latents.step}"
        sample = self._latents(latents)
        before = perf_counter()
        scheduler = self.pipe.scheduler
        scheduler.set_timesteps(self.steps, device=device_of(self.pipe))
        timestep = scheduler.timesteps[current_schedule(scheduler).first_call(latents.step)].item()
        probe = OutputError(self.pipe, self.conditioning[latents.prompt], sample, latents.step)
        for count, record in enumerate(left, start=total - len(left) + 1):
            error = probe.error(latents.methods(record))
            elapsed, before = perf_counter() - before, perf_counter()
            self.run.append({**record, "timestep": timestep, "error": error, "seconds_elapsed": elapsed})
            if (total - count) % every == 0:
                report(count / total, f"{where}: {count} of {total} errors")

    def _latents(self, of: Latents) -> Tensor:
        """From disk, where this run has put them before, or else from a dense generation."""
        name = f"latents-{of.seconds:g}s-prompt{of.prompt}"
        key = f"{name}-step{of.step}"
        if key not in self._kept:
            wanted = self.run.info.parameters["recorded_steps"][f"{of.seconds:g}"][of.prompt]
            conditioning, before = self.conditioning[of.prompt], perf_counter()
            found = latents_at(self.pipe, conditioning, of.seconds, self.steps, wanted, self.run.info.seed)
            arrays = {f"{name}-step{step}": sample.float().numpy() for step, sample in found.items()}
            self.run.write_arrays(name, arrays)
            self.run.append({"kind": "trajectory", **of.place, "seconds_elapsed": perf_counter() - before})
            self._kept.update(arrays)
        return torch.from_numpy(self._kept[key])

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return read_arrays(self.run.path)
