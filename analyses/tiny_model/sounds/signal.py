"""Small signal tools that the sounds are made of; every signal is [SAMPLES] at SAMPLE_RATE."""

import numpy as np
from scipy import fft, ndimage

SAMPLE_RATE = 16000
SAMPLES = 163_840
TIME = np.arange(SAMPLES) / SAMPLE_RATE
SECONDS = SAMPLES / SAMPLE_RATE
FREQUENCIES = fft.rfftfreq(SAMPLES, 1 / SAMPLE_RATE)


def draw(rng: np.random.Generator, choice: str, **ranges: tuple[float, float]) -> float:
    """A log-uniform number from the range that the attribute value `choice` names."""
    low, high = ranges[choice]
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def filtered(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """`x` [SAMPLES] with its spectrum times `gain` [SAMPLES // 2 + 1]; zero phase, circular."""
    return fft.irfft(fft.rfft(x) * gain, n=SAMPLES)


def band(low: float, high: float, order: int = 2) -> np.ndarray:
    """Gain curve of a band from `low` to `high` Hz with Butterworth-like slopes."""
    f = np.maximum(FREQUENCIES, 1.0)
    return 1 / np.sqrt((1 + (low / f) ** (2 * order)) * (1 + (f / high) ** (2 * order)))


def noise(rng: np.random.Generator, low: float, high: float, order: int = 2) -> np.ndarray:
    """Stationary noise in a band, RMS 1."""
    x = filtered(rng.standard_normal(SAMPLES), band(low, high, order))
    return x / np.sqrt(np.mean(x**2))


def phase(frequency: np.ndarray | float) -> np.ndarray:
    """Phase in radians of an oscillator whose frequency in Hz may change over time."""
    return 2 * np.pi * np.cumsum(np.broadcast_to(frequency, (SAMPLES,))) / SAMPLE_RATE


def tone(angle: np.ndarray, harmonics: tuple[float, ...]) -> np.ndarray:
    """Sum of harmonics 1, 2, ... with the given amplitudes."""
    return sum(a * np.sin((k + 1) * angle) for k, a in enumerate(harmonics) if a)


def axis(seconds: float) -> np.ndarray:
    """Time axis of an event of that duration."""
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def regular(rng: np.random.Generator, period: float, jitter: float = 0.0) -> np.ndarray:
    """Times of events every `period` seconds over the clip from a random start, jittered by a share of the period."""
    times = np.arange(rng.uniform(-period, 0), SECONDS, period)
    return times + jitter * period * rng.standard_normal(len(times))


def place(times: np.ndarray, events: list[np.ndarray], gains: np.ndarray | None = None) -> np.ndarray:
    """Event `i` of the looped list `events` added at `times[i]` seconds; what lies outside the clip is cut."""
    out = np.zeros(SAMPLES)
    for i, start in enumerate(np.round(np.asarray(times) * SAMPLE_RATE).astype(int)):
        event = events[i % len(events)]
        a, b = max(start, 0), min(start + len(event), SAMPLES)
        if a < b:
            out[a:b] += event[a - start : b - start] * (1.0 if gains is None else gains[i])
    return out


def scattered(rng: np.random.Generator, rate: float, event: np.ndarray) -> np.ndarray:
    """`event` at random times, `rate` a second, with log-normal gains."""
    impulses = np.zeros(SAMPLES)
    count = rng.poisson(rate * SECONDS)
    np.add.at(impulses, rng.integers(0, SAMPLES, count), np.exp(0.6 * rng.standard_normal(count)))
    return fft.irfft(fft.rfft(impulses) * fft.rfft(event, n=SAMPLES), n=SAMPLES)


def distant(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """`x` as heard from far away: high frequencies lost in air, and more reverberation than direct sound."""
    tail = axis(1.2)
    echo = rng.standard_normal(len(tail)) * np.exp(-tail / rng.uniform(0.18, 0.3))
    echo *= 1.6 / np.sqrt(np.sum(echo**2))
    echo[0] += 1.0
    air = band(1.0, rng.uniform(900, 1400), 1)
    return filtered(x, fft.rfft(echo, n=SAMPLES) * air)


def levelled(x: np.ndarray, rms_db: float, ceiling: float = 0.97) -> np.ndarray:
    """`x` at an RMS of `rms_db` dBFS, with peaks above `ceiling` turned down by a gain that moves over 20 ms."""
    x = x * (10 ** (rms_db / 20) / np.sqrt(np.mean(x**2)))
    width = SAMPLE_RATE // 50
    peaks = ndimage.maximum_filter1d(np.abs(x), 2 * width + 1)
    gain = ndimage.uniform_filter1d(np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9)), width)
    return x * gain
