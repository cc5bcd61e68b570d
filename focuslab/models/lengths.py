"""Lengths of audio, in seconds, and what a pipeline makes of them."""

import math
from collections.abc import Iterable

from focuslab.attention.grid import Grid
from focuslab.checks import number, several
from focuslab.errors import InputError
from focuslab.models.sites import Site, no_mel_axis, unet_of

LONGEST = 1e9
"""Longest audio that can be asked for, in seconds."""


def frame_seconds(pipe) -> float:
    """Seconds of audio in one frame of the mel spectrogram."""
    return math.prod(pipe.vocoder.config.upsample_rates) / pipe.vocoder.config.sampling_rate


def latent_frames(pipe, seconds: float) -> int:
    """Time steps of the latent for `seconds` of audio, rounded up as the pipeline does: 10.0 s are 250."""
    return frames_of(seconds, frame_seconds(pipe), pipe.vae_scale_factor)


def frames_of(seconds: float, frame_seconds: float, frames_per_latent: int) -> int:
    """The same from the seconds of a mel frame and the frames in a time step of the latent, without a pipeline."""
    return math.ceil(int(seconds / frame_seconds) / frames_per_latent)


def latent_mel_rows(pipe) -> int:
    """Mel rows of the latent: 16 for AudioLDM2."""
    return pipe.vocoder.config.model_in_dim // pipe.vae_scale_factor


def latent_frame_seconds(pipe) -> float:
    """Seconds of audio in one time step of the latent."""
    return frame_seconds(pipe) * pipe.vae_scale_factor


def training_frames(unet) -> int | None:
    """Time steps of the latent that the UNet's configuration names as the size of its samples; None if it does not."""
    size = unet.config.sample_size
    # Tango's own names height and width, of something else than its latents.
    return size if isinstance(size, int) else None


def training_grid(unet, site: Site, grid: Grid) -> Grid | None:
    """The grid of a site at the length that the UNet was trained at, of as many mel rows as `grid`; None if unknown."""
    frames = training_frames(unet)
    return None if frames is None else Grid(site.time_steps(frames), grid.mel_rows)


def training_seconds(pipe) -> float:
    """The same length in seconds: 10.24 s for AudioLDM2. Raises `InputError` where the UNet does not name it."""
    frames = training_frames(pipe.unet)
    if frames is None:
        raise InputError(
            "the configuration of this UNet has no sample_size, which says how long its training clips were: set it "
            "with pipe.unet.register_to_config(sample_size=N), N the time steps of their latents"
        )
    return frames * latent_frame_seconds(pipe)


def check_seconds(pipe, seconds: float) -> float:
    """`seconds` as a float. Raises `InputError` unless it is a number the pipeline can make audio of."""
    shortest = latent_frame_seconds(pipe)
    seconds = float(number("a length", seconds, f"a number of seconds up to {LONGEST:g}", -LONGEST, LONGEST))
    if seconds < shortest or latent_frames(pipe, seconds) < 1:
        raise InputError(f"{seconds:g} s is too short for this model: it makes {shortest:g} s or more")
    return seconds


def check_lengths(pipe, seconds: Iterable[float] | float) -> list[float]:
    """Lengths as floats. Raises `InputError` as `check_seconds` does, for none, and for one that is there twice."""
    if not hasattr(unet_of(pipe), "config") or not hasattr(pipe, "vocoder"):
        raise InputError(no_mel_axis(pipe))
    lengths = [check_seconds(pipe, s) for s in several(seconds)]
    if not lengths or len(set(lengths)) < len(lengths):
        raise InputError(f"expected one or more different lengths in seconds, not {lengths}")
    return lengths
