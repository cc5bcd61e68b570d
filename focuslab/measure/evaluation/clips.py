"""Clips out of a pipeline, and how long they took."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from focuslab.hooks.compiled import is_compiled
from focuslab.hooks.denoise import denoise, timed_call
from focuslab.hooks.memory import naming_what_did_not_fit
from focuslab.hooks.timers import clock_for
from focuslab.methods import Attachable
from focuslab.models.conditioning import encode_prompt
from focuslab.models.placement import device_of


@dataclass(frozen=True)
class TimedClip:
    """samples: float32 `[n]`, finite or not. generation_seconds: from the encoded caption to the samples."""

    samples: np.ndarray
    step_seconds: list[float]
    generation_seconds: float


class ClipMaker:
    """A pipeline that makes clips, one at a time."""

    def __init__(self, pipe, methods: Mapping[str, Attachable], steps: int):
        self._pipe = pipe
        self._methods = methods
        self._steps = steps
        self._compiled = is_compiled(pipe.unet)
        self._clock = clock_for(device_of(pipe))
        self.sampling_rate: int = pipe.vocoder.config.sampling_rate

    def encode(self, text: str) -> Any:
        """A caption as `make` takes it."""
        return encode_prompt(self._pipe, text)

    def make(self, caption: Any, seconds: float, label: str, noise_seed: int) -> TimedClip:
        """The clip that `focuslab.generate` gives for this seed. Raises `FocuslabError` where memory runs out."""
        what, instead = f"{label} at {seconds:g} s", "leave out this length or this method"
        with (
            naming_what_did_not_fit(self._pipe, what, instead, lambda: "what was finished is kept"),
            self._methods[label](self._pipe),
        ):
            if self._compiled:
                # A step that is compiled first would count among those whose time is taken.
                denoise(self._pipe, caption, seconds, 1, noise_seed, self._clock)
            start = perf_counter()
            output, step_seconds = timed_call(
                self._pipe, caption, seconds, self._steps, noise_seed, self._clock, output_type="np"
            )
            generation_seconds = perf_counter() - start
        return TimedClip(np.asarray(output[0], dtype=np.float32), step_seconds, generation_seconds)
