"""The log-mel spectrogram of a sound, to be looked at; numpy only.

`focuslab.metrics.mel` has the same bands for torch, gradients and AudioLDM2's own 16 kHz.
"""

import numpy as np

from focuslab.errors import InputError

WINDOW, HOP, MEL_BINS = 1024, 160, 64
FLOOR = 1e-5
HIGHEST = 8000.0
_CHUNK = 2048


def log_mel(samples: np.ndarray, sampling_rate: int, columns: int | None = None) -> np.ndarray:
    """Natural log-mel spectrogram `[frames, 64]` of samples `[n]`: magnitudes of a Hann window of 1024 samples every
    160, 64 Slaney bands from 0 to 8 kHz (or half the sampling rate), at least 1e-5.

    With `columns` neighbouring frames are put together, by the mean of their magnitudes, until there are at most so
    many. Raises `InputError` for fewer than 1024 samples.
    """
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1 or len(samples) < WINDOW:
        raise InputError(f"a spectrogram needs {WINDOW} samples or more in one channel, not {list(samples.shape)}")
    padded = np.pad(samples, (WINDOW - HOP) // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    filters = mel_filters(sampling_rate).T.astype(np.float32)
    # In parts: the windows of a long sound side by side are 13 times the sound.
    mel = np.concatenate(
        [np.abs(np.fft.rfft(frames[i : i + _CHUNK] * window)) @ filters for i in range(0, len(frames), _CHUNK)]
    )
    if columns and len(mel) > columns:
        edges = np.linspace(0, len(mel), columns + 1).astype(int)[:-1]
        mel = np.add.reduceat(mel, edges) / np.diff(edges, append=len(mel))[:, None]
    return np.log(np.maximum(mel, FLOOR))


def mel_filters(sampling_rate: int) -> np.ndarray:
    """Triangles of equal area `[64, 513]` on Slaney's mel scale: linear to 1 kHz, logarithmic above."""
    from transformers.audio_utils import mel_filter_bank

    bins, highest = WINDOW // 2 + 1, min(HIGHEST, sampling_rate / 2)
    return mel_filter_bank(bins, MEL_BINS, 0.0, highest, sampling_rate, norm="slaney", mel_scale="slaney").T


def hertz_to_mel(hertz: float) -> float:
    """A frequency on Slaney's mel scale."""
    from transformers.audio_utils import hertz_to_mel

    return float(hertz_to_mel(float(hertz), mel_scale="slaney"))
