"""A sound beside the dense sound of the same seed, and what is wrong with a sound by itself; a value a clip.

Waveforms are floating-point `[B, samples]` with full scale at 1. NaN, integers and other shapes raise `InputError`.
"""

from typing import Any

import numpy as np

from focuslab.errors import InputError
from focuslab.metrics.arrays import waveforms as checked

SILENCE_DBFS = -60.0
SILENCE_FRAME_SECONDS = 0.05
FULL_SCALE = 1 - 2**-15
"""The largest value that 16-bit files hold."""

_WINDOW = 1024
_HOP = 512


def log_mel_l1(sound: Any, dense: Any) -> np.ndarray:
    """Mean absolute difference of AudioLDM2's log-mel spectrograms.

    In natural logarithms of magnitude: 0.1 is 0.87 dB. What is below 1e-5 counts as 1e-5 (`focuslab.metrics.mel`).

    Parameters
    ----------
    sound, dense : array `[B, samples]`
        At 16 kHz, floating-point with full scale at 1; row i of both is one prompt, length and seed.

    Returns
    -------
    array `[B]`, in nats
    """
    import torch

    from focuslab.metrics.mel import WINDOW, log_mel

    sound, dense = _alike(sound, dense)
    if sound.shape[1] < WINDOW:
        raise InputError(f"a log-mel spectrogram needs {WINDOW} samples or more, not {sound.shape[1]}")
    one, other = (log_mel(torch.from_numpy(np.array(w, dtype=np.float32))) for w in (sound, dense))
    return (one - other).abs().mean(dim=(1, 2)).double().numpy()


def rms_ratio(sound: Any, dense: Any) -> np.ndarray:
    """Root mean square of each sound over that of the dense one; 1 is as loud.

    Parameters
    ----------
    sound, dense : array `[B, samples]`
        Floating-point with full scale at 1; row i of both is one prompt, length and seed.

    Returns
    -------
    array `[B]`

    Raises
    ------
    InputError
        A dense sound is all zeros.
    """
    sound, dense = _alike(sound, dense)
    loudness = _rms(dense)
    if not loudness.all():
        raise InputError(f"dense sound {int(loudness.argmin())} is all zeros: leave it out and say how many there were")
    return _rms(sound) / loudness


def spectral_centroid(waveforms: Any, sampling_rate: int) -> np.ndarray:
    """Mean frequency, each frequency weighted by its magnitude.

    Magnitudes are averaged over Hann windows of 1024 samples every 512 first, so that a frame counts by how loud it is
    and silence has no say (librosa gives a value a frame instead).

    Parameters
    ----------
    waveforms : array `[B, samples]`
    sampling_rate : int
        In Hz.

    Returns
    -------
    array `[B]`, in Hz

    Raises
    ------
    InputError
        A sound is all zeros.
    """
    sound = checked(waveforms).astype(np.float64)
    length = sound.shape[1]
    frames = max(0, -(-(length - _WINDOW) // _HOP)) + 1
    padded = np.pad(sound, ((0, 0), (0, (frames - 1) * _HOP + _WINDOW - length)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW, axis=1)[:, ::_HOP]
    window = np.hanning(_WINDOW + 1)[:-1]
    magnitudes = np.stack([np.abs(np.fft.rfft(clip * window)).mean(axis=0) for clip in cut])
    total = magnitudes.sum(axis=1)
    if not total.all():
        raise InputError(f"sound {int(total.argmin())} is all zeros: it has no spectral centroid")
    return magnitudes @ np.fft.rfftfreq(_WINDOW, 1 / sampling_rate) / total


def silence_share(waveforms: Any, sampling_rate: int) -> np.ndarray:
    """Share of frames of 50 ms whose root mean square is below -60 dB of full scale; 1 is a silent clip.

    0 dB is a root mean square of 1. The last frame is what is left.

    Parameters
    ----------
    waveforms, sampling_rate
        As of `spectral_centroid`.

    Returns
    -------
    array `[B]`, 0 to 1
    """
    sound = checked(waveforms).astype(np.float64)
    length = sound.shape[1]
    frame = max(1, round(SILENCE_FRAME_SECONDS * sampling_rate))
    starts = np.arange(0, length, frame)
    energy = np.add.reduceat(sound**2, starts, axis=1) / np.diff(starts, append=length)
    return (energy < 10 ** (SILENCE_DBFS / 10)).mean(axis=1)


def clipping_share(waveforms: Any) -> np.ndarray:
    """Share of samples at or beyond full scale of a 16-bit file, 1 - 2^-15.

    Parameters
    ----------
    waveforms : array `[B, samples]`

    Returns
    -------
    array `[B]`, 0 to 1
    """
    return (np.abs(checked(waveforms)) >= FULL_SCALE).mean(axis=1)


def _alike(sound: Any, dense: Any) -> tuple[np.ndarray, np.ndarray]:
    sound, dense = checked(sound, "sound"), checked(dense, "dense")
    if sound.shape != dense.shape:
        raise InputError(
            f"sound has shape {list(sound.shape)} and dense {list(dense.shape)}, expected the same: row i of both is "
            "one prompt, length and seed"
        )
    return sound, dense


def _rms(sound: np.ndarray) -> np.ndarray:
    return np.sqrt((sound.astype(np.float64) ** 2).mean(axis=1))
