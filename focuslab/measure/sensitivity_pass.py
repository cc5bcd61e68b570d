"""The errors of a sensitivity pass, one after another at the latents of dense generations."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from focuslab.hooks.latents import latents_at
from focuslab.hooks.output_error import Probe
from focuslab.measure.parts_loop import Item, Say
from focuslab.methods import parse_method
from focuslab.methods.base import Attachable
from focuslab.models.placement import device_of
from focuslab.models.schedule import current_schedule
from focuslab.runs.arrays import read_arrays
from focuslab.runs.directory import RunDirectory
from focuslab.runs.method_spec import MethodSpec
from focuslab.search.experiments import Choice, choice_key, choice_of, to_record


def method_at(method: MethodSpec, sites: Sequence[str]) -> Attachable:
    """The method that a spec names, at these sites."""
    return replace(parse_method(str(method)), sites=tuple(sites))


def key_of(record: Mapping[str, Any]) -> Hashable:
    """What the record of an error is of."""
    return record["seconds"], record["prompt"], record["step"], choice_key(choice_of(record))


class SensitivityPass:
    """Measures error after error and puts each on disk at once."""

    def __init__(self, pipe, conditioning: Sequence[dict[str, Tensor]], run: RunDirectory):
        self.pipe = pipe
        self.conditioning = conditioning
        self.run = run
        self.steps: int = run.info.parameters["steps"]

    def item(
        self, place: Mapping[str, Any], sites: Mapping[str, Sequence[str]], choices: Sequence[Choice], work
    ) -> Item:
        """The errors at the latents of one step of one prompt.

        sites: of each group. work: of one error, in FLOPs.
        """
        records = [{"kind": "", **place, **to_record(choice)} for choice in choices]
        by_key = {key_of(record): record for record in records}
        where = f"{place['seconds']:g} s, prompt {place['prompt'] + 1} of {len(self.conditioning)}"

        def measure(keys: Sequence[Hashable], say: Say) -> None:
            every = max(1, len(keys) // 5)
            for count, _ in enumerate(self._measure(place, [by_key[key] for key in keys], sites), start=1):
                if count % every == 0 or count == len(keys):
                    say(count * work, f"{where}, step {place['step']}: {count} of {len(keys)} errors")

        return Item(f"the sensitivity pass at {place['seconds']:g} s", dict.fromkeys(by_key, work), measure)

    def _measure(
        self, place: Mapping[str, Any], records: Sequence[dict[str, Any]], sites: Mapping[str, Sequence[str]]
    ) -> Iterable[None]:
        """Measures what the records are of, and adds the error to each; yields after each."""
        sample = self._latents(place)
        before = perf_counter()
        scheduler, step = self.pipe.scheduler, place["step"]
        scheduler.set_timesteps(self.steps, device=device_of(self.pipe))
        timestep = scheduler.timesteps[current_schedule(scheduler).first_call(step)].item()
        probe = Probe(self.pipe, self.conditioning[place["prompt"]], sample, step)
        for record in records:
            error = probe.error([method_at(method, sites[group]) for group, method in choice_of(record).items()])
            elapsed, before = perf_counter() - before, perf_counter()
            self.run.append({**record, "timestep": timestep, "error": error, "seconds_elapsed": elapsed})
            yield

    def _latents(self, place: Mapping[str, Any]) -> Tensor:
        """From disk, where this run has put them before, or else from a dense generation."""
        seconds, prompt = place["seconds"], place["prompt"]
        name = f"latents-{seconds:g}s-prompt{prompt}"
        key = f"{name}-step{place['step']}"
        if key not in self._kept:
            wanted = self.run.info.parameters["recorded_steps"][f"{seconds:g}"][prompt]
            before = perf_counter()
            found = latents_at(self.pipe, self.conditioning[prompt], seconds, self.steps, wanted, self.run.info.seed)
            arrays = {f"{name}-step{step}": sample.float().numpy() for step, sample in found.items()}
            self.run.write_arrays(name, arrays)
            self.run.append({"kind": "trajectory", **place, "seconds_elapsed": perf_counter() - before})
            self._kept.update(arrays)
        return torch.from_numpy(self._kept[key])

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return read_arrays(self.run.path)
