"""WAV files: 16-bit PCM out; PCM and floating point of any rate and number of channels in."""

import io
import struct
import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np

from focuslab.errors import InputError

HEADER_BYTES = 44
"""Before the samples, in a file that `encode_wav` makes."""
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""What writers that cannot go back to the header leave as the size of the data."""


class WavInfo(NamedTuple):
    """kind: 1 for PCM, 3 for floating point. start, size: of the samples in the file, in bytes."""

    kind: int
    channels: int
    sampling_rate: int
    bits: int
    start: int
    size: int

    @property
    def seconds(self) -> float:
        return self.size / (self.channels * self.bits // 8) / self.sampling_rate


def encode_wav(samples: np.ndarray, sampling_rate: int) -> bytes:
    """A 16-bit mono file of samples `[n]` with full scale at 1; what is beyond is clipped."""
    pcm = (np.clip(samples, -1, 1) * 32767).round().astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sampling_rate)
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Float32 samples `[n]`, the mean of the channels with full scale at 1, and the sampling rate in Hz.

    Raises `InputError` for what is no WAV file, one of another encoding, one that is cut off, and NaN.
    """
    info = probe_wav(path)
    try:
        with open(path, "rb") as file:
            file.seek(info.start)
            content = file.read(info.size)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    return _samples(content, info, path), info.sampling_rate


def decode_wav(content: bytes, source: str) -> tuple[np.ndarray, int]:
    """The same of a file that has been read; `source` is its name in errors."""
    info = _probe(io.BytesIO(content), len(content), source)
    return _samples(content[info.start : info.start + info.size], info, source), info.sampling_rate


def probe_wav(path: Path) -> WavInfo:
    """What the header says, checked against the file's size. Raises `InputError` as `read_wav` does."""
    try:
        with open(path, "rb") as file:
            length = file.seek(0, io.SEEK_END)
            file.seek(0)
            return _probe(file, length, path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None


def _probe(file, length: int, path: Path | str) -> WavInfo:
    riff = file.read(12)
    if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        raise InputError(f"{path} is no WAV file")
    form = None
    while len(head := file.read(8)) == 8:
        name, size = head[:4], int.from_bytes(head[4:], "little")
        start = file.tell()
        if name == b"fmt ":
            form = file.read(min(size, 40))
        elif name == b"data":
            size = length - start if size in _UNKNOWN_SIZES else size
            return _info(form, start, size, length, path)
        # Chunks begin at even places.
        file.seek(start + size + size % 2)
    raise InputError(f"{path} holds no samples")


def _info(form: bytes | None, start: int, size: int, length: int, path: Path | str) -> WavInfo:
    if form is None or len(form) < 16:
        raise InputError(f"{path} does not say how its samples are written")
    kind, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", form)
    if kind == _EXTENSIBLE and len(form) >= 26:
        kind = int.from_bytes(form[24:26], "little")
    known = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}.get(kind, ())
    if bits not in known or not channels or not rate or frame != channels * bits // 8:
        raise InputError(f"{path} is encoded as format {kind} with {bits} bits: expected PCM or floating point")
    if start + size > length:
        raise InputError(f"{path} is cut off: {length - start} of {size} bytes of samples are there")
    if size < frame:
        raise InputError(f"{path} holds no samples")
    return WavInfo(kind, channels, rate, bits, start, size - size % frame)


def _samples(content: bytes, info: WavInfo, path: Path | str) -> np.ndarray:
    samples = _decode(content, info).reshape(-1, info.channels).mean(axis=1, dtype=np.float64).astype(np.float32)
    if not np.isfinite(samples).all():
        raise InputError(f"{path} holds NaN or infinity")
    return samples


def _decode(content: bytes, info: WavInfo) -> np.ndarray:
    if info.kind == _FLOAT:
        return np.frombuffer(content, f"<f{info.bits // 8}")
    if info.bits == 8:
        return np.frombuffer(content, np.uint8) / 128 - 1
    if info.bits == 24:
        # The three bytes above an empty one: their sign is then that of the whole.
        wide = np.zeros((len(content) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0] / 2**31
    return np.frombuffer(content, f"<i{info.bits // 8}") / 2 ** (info.bits - 1)
