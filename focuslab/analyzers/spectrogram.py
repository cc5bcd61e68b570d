"""The log-mel spectrogram of a sound, to be looked at; numpy only.

The same bands as `focuslab.quality.mel`, which is for torch, gradients and AudioLDM2's own 16 kHz.
"""

import numpy as np

from focuslab.errors import InputError

WINDOW, HOP, MEL_BINS = 1024, 160, 64
FLOOR = 1e-5
HIGHEST = 8000.0
_BREAK, _PER_LOG, _HERTZ = 1000.0, 27.0 / np.log(6.4), 200.0 / 3.0
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
    top = min(HIGHEST, sampling_rate / 2)
    edges = mel_to_hertz(np.linspace(0, hertz_to_mel(top), MEL_BINS + 2))
    hertz = np.fft.rfftfreq(WINDOW, 1 / sampling_rate)
    rising = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def hertz_to_mel(hertz):
    hertz = np.asarray(hertz, dtype=float)
    above = _BREAK / _HERTZ + _PER_LOG * np.log(np.maximum(hertz, _BREAK) / _BREAK)
    return np.where(hertz < _BREAK, hertz / _HERTZ, above)


def mel_to_hertz(mel):
    mel = np.asarray(mel, dtype=float)
    at_break = _BREAK / _HERTZ
    return np.where(mel < at_break, mel * _HERTZ, _BREAK * np.exp((np.maximum(mel, at_break) - at_break) / _PER_LOG))
