"""Audio files: 16-bit WAV and FLAC are written; WAV of every kind, RF64, FLAC and OGG are read by what they hold."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile

from focuslab.errors import InputError
from focuslab.io.files import open_regular

ByteOrder = Literal["little", "big"]

HEADER_BYTES = 44
"""Bytes before the samples in a file that `encode_wav` makes."""
LONGEST = 1800.0
"""Longest recording that is read, in seconds."""
MOST_FRAMES = 2**26
"""Most samples of one channel that are read: 256 MiB in memory."""
MOST_CHANNELS = 32
RATES = (1_000, 768_000)
"""Lowest and highest sampling rate that is read, in Hz."""

_BLOCK = 2**20
"""Samples of all channels that are decoded at a time."""
_NO_SIZE = 0x7FFF0000
"""From here on the size of a data chunk is what programs that write to a pipe leave in the header."""
_OGG_PAGE = 65_307
"""Most bytes of a page of an OGG file."""
_MOST_CHUNKS = 1_000
_MOST_MENDED = 2**26
"""Most bytes of samples of a WAV whose chunks are put right in memory."""


def encode_wav(samples: np.ndarray, sampling_rate: int) -> bytes:
    """A 16-bit mono WAV file of samples `[n]` with full scale at 1; samples beyond full scale are clipped."""
    return _encoded(samples, sampling_rate, "WAV")


def encode_flac(samples: np.ndarray, sampling_rate: int) -> bytes:
    """The same samples as `encode_wav` in about half the bytes."""
    return _encoded(samples, sampling_rate, "FLAC")


def _encoded(samples: np.ndarray, sampling_rate: int, kind: str) -> bytes:
    pcm = (np.clip(samples, -1, 1) * 32767).round().astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, sampling_rate, format=kind, subtype="PCM_16")
    return buffer.getvalue()


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Decode an audio file.

    Returns
    -------
    samples : float32 `[n]`, the mean of the channels with full scale at 1
    sampling_rate : int, in Hz

    Raises
    ------
    InputError
        The file is no regular file, is of another kind, is cut off, holds no samples, NaN or infinity, or exceeds the
        limits of this module.
    """
    with _opened(path) as file, _decoder(file, path) as sound:
        return _samples(sound, path), sound.samplerate


def decode_audio(content: bytes, source: str) -> tuple[np.ndarray, int]:
    """The same as `read_audio` for the content of a file; `source` is its name in errors."""
    with _decoder(io.BytesIO(content), source) as sound:
        return _samples(sound, source), sound.samplerate


def probe_audio(path: Path) -> float:
    """Seconds of audio in a file, by its header where the header says so. Raises `InputError` as `read_audio` does."""
    with _opened(path) as file, _decoder(file, path) as sound:
        frames = sound.frames if _is_known(sound) else len(_samples(sound, path))
        return frames / sound.samplerate


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        # A file that knows its name would be taken for what that ends in, by soundfile.
        with open(open_regular(path), "rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None


class _Stream(soundfile.SoundFile):
    """Read from its begin to its end: soundfile seeks after each block else, which a FLAC of a pipe does not allow."""

    def seekable(self) -> bool:
        return False


@contextmanager
def _decoder(file: BinaryIO, source: Path | str) -> Iterator[_Stream]:
    """The file, open at its first sample and within the limits."""
    try:
        with _Stream(_mended(file, source)) as sound:
            if not sound.frames:
                raise InputError(f"{source} holds no samples")
            if not RATES[0] <= sound.samplerate <= RATES[1]:
                raise InputError(
                    f"{source} has a sampling rate of {sound.samplerate} Hz: expected {RATES[0]} to {RATES[1]}"
                )
            if sound.channels > MOST_CHANNELS:
                raise InputError(f"{source} has {sound.channels} channels: expected at most {MOST_CHANNELS}")
            if _is_known(sound):
                _check_length(sound.frames, sound.samplerate, source)
            yield sound
    except soundfile.LibsndfileError as error:
        raise InputError(f"{source} cannot be read ({error.error_string.rstrip('.')})") from None


def _is_known(sound: _Stream) -> bool:
    """Whether the header says how long the sound is; a FLAC that was written to a pipe does not."""
    return sound.frames < 2**63 - 1


def _check_length(frames: int, rate: int, source: Path | str) -> None:
    most = min(LONGEST, MOST_FRAMES / rate)
    if frames > most * rate:
        raise InputError(f"{source} lasts {frames / rate:.0f} s: expected at most {most:.0f} s at {rate} Hz")


def _samples(sound: _Stream, source: Path | str) -> np.ndarray:
    blocks, count = [], 0
    while len(block := sound.read(_BLOCK // sound.channels, dtype="float32", always_2d=True)):
        if not np.isfinite(block).all():
            raise InputError(f"{source} holds NaN or infinity")
        blocks.append(block.mean(axis=1, dtype=np.float64).astype(np.float32))
        count += len(block)
        _check_length(count, sound.samplerate, source)
    if not blocks:
        raise InputError(f"{source} holds no samples")
    if _is_known(sound) and count < sound.frames:
        raise InputError(f"{source} is cut off: {count} of {sound.frames} samples are there")
    return np.concatenate(blocks)


def _mended(file: BinaryIO, source: Path | str) -> BinaryIO:
    """The file, or a copy of a WAV whose chunks are not where libsndfile looks for them. Other kinds are refused.

    libsndfile takes an unfilled size of 0 for no samples, fails on a chunk of odd size without its padding byte, and
    reads a file that is cut off as if it were whole.
    """
    start = file.read(12)
    file.seek(0)
    if start[:4] == b"OggS":
        _check_end_of_ogg(file, source)
    if start[:4] in (b"fLaC", b"OggS"):
        return file
    if start[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or start[8:] != b"WAVE":
        raise InputError(f"{source} is no WAV, RF64, FLAC or OGG file")
    length = file.seek(0, io.SEEK_END)
    order: ByteOrder = "big" if start[:4] == b"RIFX" else "little"
    padded = _chunks(file, length, order, padding=1)
    chunks = padded if b"data" in padded else _chunks(file, length, order, padding=0)
    if b"data" not in chunks:
        raise InputError(f"{source} holds no samples: a WAV file without a data chunk")
    begin, size = chunks[b"data"]
    there = length - begin
    file.seek(begin)
    unfilled = size == 0 and there and not re.fullmatch(rb"[ -~]{4}", file.read(4))
    if size > there and not _NO_SIZE <= size < 2**32:
        raise InputError(f"{source} is cut off: {there} of {size} bytes of samples are there")
    file.seek(0)
    if chunks is padded and not unfilled and start[:4] != b"BW64":
        return file
    size = there if unfilled else min(size, there)
    if size > _MOST_MENDED or b"fmt " not in chunks:
        raise InputError(f"{source} has chunks that are not where their sizes say")
    return _rewritten(file, start[:4] == b"RIFX", chunks[b"fmt "], (begin, size))


def _check_end_of_ogg(file: BinaryIO, source: Path | str) -> None:
    """Raise `InputError` where the last page is not whole or not marked as the last, which libsndfile overlooks."""
    file.seek(-min(file.seek(0, io.SEEK_END), _OGG_PAGE), io.SEEK_END)
    end = file.read()
    file.seek(0)
    page = end[end.rfind(b"OggS") :]
    # Byte 5 holds the flags, byte 26 the number of segments, whose sizes follow.
    size = 27 + page[26] + sum(page[27 : 27 + page[26]]) if len(page) > 26 else _OGG_PAGE
    if len(page) < size or not page[5] & 4:
        raise InputError(f"{source} is cut off: its last page is missing")


def _chunks(file: BinaryIO, length: int, order: ByteOrder, padding: int) -> dict[bytes, tuple[int, int]]:
    """The chunks of a WAV up to its data, by name: where the content begins, and its size in bytes."""
    found: dict[bytes, tuple[int, int]] = {}
    place = 12
    for _ in range(_MOST_CHUNKS):
        if place + 8 > length or b"data" in found:
            break
        file.seek(place)
        head = file.read(8)
        size = int.from_bytes(head[4:], order)
        if head[:4] == b"ds64":
            samples = int.from_bytes(file.read(16)[8:], order)
        if head[:4] == b"data" and size == 0xFFFFFFFF and b"ds64" in found:
            # RF64 keeps the size of its samples apart, since 32 bits do not hold it.
            size = samples if samples < 2**62 else 0
        found.setdefault(head[:4], (place + 8, size))
        place += 8 + size + size % 2 * padding
    return found


def _rewritten(file: BinaryIO, big: bool, form: tuple[int, int], data: tuple[int, int]) -> BinaryIO:
    """A WAV file in memory of the format chunk and the samples at these places (start, size) of another."""
    order: ByteOrder = "big" if big else "little"
    parts = [b"WAVE"]
    for name, (place, size) in ((b"fmt ", form), (b"data", data)):
        file.seek(place)
        content = file.read(size)
        parts += [name, len(content).to_bytes(4, order), content, b"\0" * (len(content) % 2)]
    size = sum(map(len, parts))
    return io.BytesIO(b"".join([b"RIFX" if big else b"RIFF", size.to_bytes(4, order), *parts]))
