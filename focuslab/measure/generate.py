"""One clip from one prompt, by any method, reproducibly."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from focuslab.checks import text
from focuslab.errors import FocuslabError, InputError
from focuslab.hooks.memory import naming_what_did_not_fit
from focuslab.hooks.stages import StageTimes
from focuslab.io.audio import encode_wav
from focuslab.io.files import already_there, check_place, write_new
from focuslab.measure.loop import peak_of_clip
from focuslab.methods import AnyMethod, Composition, Dense, Plan, as_method
from focuslab.methods.base import check_count, check_seed
from focuslab.models.callables import as_recorded
from focuslab.models.conditioning import encode_prompt, guidance_scale
from focuslab.models.decoding import decoding_in_windows
from focuslab.models.identity import describe, machine_of
from focuslab.models.lengths import check_seconds, latent_frames
from focuslab.models.placement import device_of
from focuslab.models.schedule import schedule_of
from focuslab.models.schedulers import using_scheduler
from focuslab.runs import GENERATION_SCHEMA, Progress
from focuslab.runs.directory import now, to_json_bytes
from focuslab.runs.info import versions

SHORTER = "ask for a shorter one, or a sparse method"
_STAGE_NAMES = {"vae_decoder": "VAE", "vocoder": "vocoder"}


@dataclass(frozen=True)
class Sound:
    """A generated clip.

    Attributes
    ----------
    samples : array `[n]`, float32
        Full scale at 1.
    sampling_rate : int
        In Hz.
    settings : dict
        All that made them, as written beside the file.
    """

    samples: np.ndarray
    sampling_rate: int
    settings: dict[str, Any]

    def write(self, path: str | Path, *, force: bool = False) -> Path:
        """Write a 16-bit WAV, and the settings beside it as .json. Raises `InputError` if either exists already."""
        path = Path(path)
        check_free(path, force)
        both = {
            path: encode_wav(self.samples, self.sampling_rate),
            path.with_suffix(".json"): to_json_bytes(self.settings),
        }
        write_new(both, force=force)
        return path


def check_free(path: Path, force: bool) -> None:
    """Raise `InputError` where writing a clip to `path` would replace something or cannot be, or it is no .wav."""
    if path.suffix.lower() != ".wav":
        raise InputError(f"a clip is written as WAV: expected a name that ends in .wav, not {path}")
    for file in (path, path.with_suffix(".json")):
        check_place(file)
        if file.is_dir() or (os.path.lexists(file) and not force):
            raise already_there(file)


def generate(
    pipe,
    prompt: str,
    seconds: float,
    *,
    method: AnyMethod | None = None,
    steps: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
    scheduler: str | None = None,
) -> Sound:
    """Generate one clip.

    The same seed gives the same samples on the same machine. The first noise is made on the CPU, so it is the same
    everywhere.

    Parameters
    ----------
    pipe
        The pipeline.
    prompt : str
        What to generate.
    seconds : float
        The length of the clip.
    method : method, str or plan, optional
        What is attached meanwhile. By default dense.
    steps : int
        Denoising steps.
    seed : int
        Of the first noise.
    progress : Progress, optional
    scheduler : str, optional
        A name of `focuslab.models.schedulers`. By default the pipeline's own.

    Returns
    -------
    Sound

    Raises
    ------
    InputError
        A wrong argument.
    FocuslabError
        The samples are not finite.
    """
    if scheduler is not None:
        with using_scheduler(pipe, scheduler):
            made = generate(pipe, prompt, seconds, method=method, steps=steps, seed=seed, progress=progress)
        return replace(made, settings={**made.settings, "scheduler": scheduler})
    method = Dense() if method is None else as_method(method)
    prompt = text("a prompt", prompt)
    seconds = check_seconds(pipe, seconds)
    steps, seed = check_count("steps", steps), check_seed(seed)
    schedule_of(pipe, steps)

    # Whatever in it cannot be read fails now and not after the generation.
    making = what_makes(pipe, prompt, seconds, method=method, steps=steps, seed=seed)
    with StageTimes(pipe) as encoding:
        conditioning = encode_prompt(pipe, prompt)
    peak_bytes = peak_of_clip(pipe, conditioning, seconds, method, SHORTER)
    reports = _Reports(steps, progress)
    reports.begin(f"peak memory beside the weights: about {peak_bytes / 1e9:.2g} GB")
    did_not_fit = naming_what_did_not_fit(pipe, f"a clip of {seconds:g} s", SHORTER, lambda: "nothing was written")
    windows = decoding_in_windows(pipe, seconds, reports.on_window)
    with method(pipe) as handle, did_not_fit, windows, StageTimes(pipe) as stages:
        before = time.perf_counter()
        samples = pipe(
            **conditioning,
            audio_length_in_s=seconds,
            num_inference_steps=steps,
            guidance_scale=guidance_scale(pipe),
            generator=torch.Generator().manual_seed(seed),
            callback=reports.on_step_end,
        ).audios[0]
    wall_seconds = time.perf_counter() - before
    stage_seconds = stages.seconds()
    for stage, taken in encoding.seconds().items():
        stage_seconds[stage] += taken
        wall_seconds += taken
    samples = np.asarray(samples, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise FocuslabError(
            f"{(~np.isfinite(samples)).sum()} of {samples.size} samples are not finite in {pipe.unet.dtype} on "
            f"{device_of(pipe)}: try another dtype"
        )
    rate, sites = pipe.vocoder.config.sampling_rate, list(handle.grids)
    outcome = {
        "sampling_rate": rate,
        "samples": samples.size,
        "wall_seconds": wall_seconds,
        "stage_seconds": stage_seconds,
        "predicted_peak_bytes": peak_bytes,
        "made": now(),
    }
    return Sound(samples, rate, {**making, "sites": sites, **outcome})


class _Reports:
    """Tells how much of a generation is done: VAE and vocoder count as much as a step each."""

    def __init__(self, steps: int, progress: Progress | None):
        self._steps = steps
        self._progress = progress
        # The pipeline calls back once a step, but some schedulers let it count from another number than 0.
        self._step = 0

    def begin(self, text: str) -> None:
        self._tell(0, text)

    def on_step_end(self, _step, _timestep, _latents) -> None:
        self._step += 1
        self._tell(self._step, f"step {self._step} of {self._steps}")

    def on_window(self, stage: str, done: int, windows: int) -> None:
        before = self._steps + (stage == "vocoder")
        self._tell(
            before + done / windows,
            f"{_STAGE_NAMES[stage]}, {done} of {windows}" if windows > 1 else _STAGE_NAMES[stage],
        )

    def _tell(self, done: float, text: str) -> None:
        if self._progress:
            self._progress(done, self._steps + 2, text)


def what_makes(
    pipe, prompt: str, seconds: float, *, method: AnyMethod | None = None, steps: int = 200, seed: int = 0
) -> dict[str, Any]:
    """All that the samples of `generate` depend on, as it stands in the settings of the clip."""
    method = Dense() if method is None else as_method(method)
    frames, parts = latent_frames(pipe, seconds), method.parts if isinstance(method, Composition) else (method,)
    return {
        "schema": GENERATION_SCHEMA,
        "model": describe(pipe),
        "prompt": prompt,
        "seconds": seconds,
        "steps": steps,
        "guidance_scale": guidance_scale(pipe),
        "seed": seed,
        "method": as_recorded(method),
        "plan": next((plan.entry_of(frames).to_json() for plan in parts if isinstance(plan, Plan)), None),
        "device": str(device_of(pipe)),
        "dtype": str(pipe.unet.dtype).removeprefix("torch."),
        "machine": machine_of(pipe),
        "versions": versions(),
    }
