"""One sound from one prompt, by any method, reproducibly."""

import io
import time
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from focuslab.environment import machine, versions
from focuslab.errors import FocuslabError, InputError
from focuslab.methods import Dense, Method
from focuslab.methods.base import check_count
from focuslab.models.conditioning import GUIDANCE_SCALE
from focuslab.models.identity import describe
from focuslab.models.lengths import check_seconds
from focuslab.models.placement import device_of
from focuslab.records import Progress
from focuslab.store import now, to_json_bytes, write_atomically

SCHEMA = "focuslab/generation/1"


@dataclass(frozen=True)
class Sound:
    """samples: float32 `[n]`, full scale at 1. settings: all that made them, as written beside the file."""

    samples: np.ndarray
    sampling_rate: int
    settings: dict[str, Any]

    def write(self, path: str | Path, *, force: bool = False) -> Path:
        """Write a 16-bit WAV, and the settings beside it as .json. Raises `InputError` if either exists already."""
        path = Path(path)
        settings = path.with_suffix(".json")
        check_free(path, force)
        pcm = (np.clip(self.samples, -1, 1) * 32767).round().astype("<i2")
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.sampling_rate)
            file.writeframes(pcm.tobytes())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(settings, to_json_bytes(self.settings))
            write_atomically(path, buffer.getvalue())
        except OSError as error:
            raise FocuslabError(f"{path} cannot be written ({error.strerror})") from None
        return path


def check_free(path: Path, force: bool) -> None:
    """Raise `InputError` where writing a sound to `path` would replace something, or `path` is no .wav."""
    if path.suffix.lower() != ".wav":
        raise InputError(f"a sound is written as WAV: expected a name that ends in .wav, not {path}")
    for existing in (path, path.with_suffix(".json")):
        if existing.is_dir() or (existing.exists() and not force):
            raise InputError(f"{existing} exists already: give another name, or --force to replace it")


def generate(
    pipe,
    prompt: str,
    seconds: float,
    *,
    method: Method | None = None,
    steps: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sound:
    """Generate `seconds` of sound with `method` attached (None: dense).

    The same seed gives the same samples on the same machine; the first noise is drawn on the CPU, so it is the same
    everywhere. Raises `InputError` for a wrong argument and `FocuslabError` if the samples are not finite.
    """
    method = method or Dense()
    seconds = check_seconds(pipe, seconds)
    check_count("steps", steps)

    def on_step_end(step, _timestep, _latents) -> None:
        if progress:
            progress(step + 1, steps, f"step {step + 1} of {steps}")

    before = time.perf_counter()
    with method(pipe) as handle:
        samples = pipe(
            prompt,
            audio_length_in_s=seconds,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE_SCALE,
            generator=torch.Generator().manual_seed(seed),
            callback=on_step_end,
        ).audios[0]
    wall_seconds = time.perf_counter() - before
    samples = np.asarray(samples, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise FocuslabError(
            f"{(~np.isfinite(samples)).sum()} of {samples.size} samples are not finite in {pipe.unet.dtype} on "
            f"{device_of(pipe)}: try another dtype"
        )
    settings = {
        "schema": SCHEMA,
        "model": describe(pipe),
        "prompt": prompt,
        "seconds": seconds,
        "steps": steps,
        "guidance_scale": GUIDANCE_SCALE,
        "seed": seed,
        "method": repr(method),
        "sites": [site.name for site in handle.sites],
        "sampling_rate": pipe.vocoder.config.sampling_rate,
        "samples": samples.size,
        "wall_seconds": wall_seconds,
        "device": str(device_of(pipe)),
        "dtype": str(pipe.unet.dtype).removeprefix("torch."),
        "machine": machine(device_of(pipe)),
        "versions": versions(),
        "made": now(),
    }
    return Sound(samples, pipe.vocoder.config.sampling_rate, settings)
