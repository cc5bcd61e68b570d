"""Audio files: what is written is read back, of every kind, whole or not at all."""

import io
import os
import struct
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.io.audio import (
    HEADER_BYTES,
    LONGEST,
    MOST_CHANNELS,
    MOST_FRAMES,
    decode_audio,
    encode_flac,
    encode_wav,
    probe_audio,
    read_audio,
)
from tests.loading import refusal

RATE = 8000
SOUND = (np.sin(np.arange(400) / 9) * 0.9).astype(np.float32)
PCM = np.arange(-25, 25, dtype="<i2")
SAMPLES = PCM.tobytes()


@pytest.fixture
def file(tmp_path):
    def write(content, name="a.wav"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50), st.sampled_from([8000, 16000, 44100]))
def test_what_is_written_is_read_back(tmp_path_factory, samples, rate):
    path = tmp_path_factory.mktemp("audio") / "a.wav"
    path.write_bytes(encode_wav(np.array(samples, np.float32), rate))
    found, found_rate = read_audio(path)
    assert found_rate == rate and found.dtype == np.float32
    assert np.abs(found - np.array(samples)).max() < 1e-4
    assert path.stat().st_size == HEADER_BYTES + 2 * len(samples)
    assert probe_audio(path) == pytest.approx(len(samples) / rate)


def test_a_written_file_is_the_standard_librarys_byte_for_byte():
    samples = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as expected:
        expected.setnchannels(1)
        expected.setsampwidth(2)
        expected.setframerate(16000)
        expected.writeframes((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())
    assert encode_wav(samples, 16000) == buffer.getvalue()


def test_flac_holds_the_same_samples_in_fewer_bytes():
    flac, wav = encode_flac(SOUND, RATE), encode_wav(SOUND, RATE)
    assert soundfile.info(io.BytesIO(flac)).format == "FLAC"
    assert np.array_equal(decode_audio(flac, "a")[0], decode_audio(wav, "a")[0])
    long = np.tile(SOUND, 50)
    assert len(encode_flac(long, RATE)) < len(encode_wav(long, RATE))


KINDS = [
    ("WAV", "PCM_U8", 1e-2),
    ("WAV", "PCM_16", 1e-4),
    ("WAV", "PCM_24", 1e-6),
    ("WAV", "PCM_32", 1e-7),
    ("WAV", "FLOAT", 1e-7),
    ("WAV", "DOUBLE", 1e-7),
    ("WAV", "ULAW", 1e-2),
    ("WAV", "ALAW", 1e-2),
    ("WAV", "IMA_ADPCM", 0.1),
    ("WAVEX", "PCM_24", 1e-6),
    ("RF64", "PCM_16", 1e-4),
    ("FLAC", "PCM_16", 1e-4),
    ("FLAC", "PCM_24", 1e-6),
    ("OGG", "VORBIS", 0.1),
    ("OGG", "OPUS", 0.1),
]


@pytest.mark.parametrize("kind, subtype, tolerance", KINDS)
@pytest.mark.parametrize("name", ["a.wav", "a.raw", "a"])
def test_every_kind_is_read_whatever_its_name(tmp_path, kind, subtype, tolerance, name):
    soundfile.write(tmp_path / name, SOUND, RATE, format=kind, subtype=subtype)
    found, rate = read_audio(tmp_path / name)
    assert rate == RATE and np.abs(found[: len(SOUND)] - SOUND).mean() < tolerance
    assert probe_audio(tmp_path / name) == len(found) / RATE
    assert np.array_equal(decode_audio((tmp_path / name).read_bytes(), name)[0], found)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_channels_become_their_mean(tmp_path, kind):
    soundfile.write(tmp_path / "a", np.stack([SOUND, np.zeros_like(SOUND)], axis=1), RATE, format=kind)
    assert np.abs(read_audio(tmp_path / "a")[0] - SOUND / 2).max() < 1e-4


def chunk(name, content, size=None, padded=True, order="little"):
    size = len(content) if size is None else size
    return name + size.to_bytes(4, order) + content + b"\0" * (padded * len(content) % 2)


def riff(*chunks, magic=b"RIFF", size=None, order="little"):
    body = b"WAVE" + b"".join(chunks)
    return magic + (len(body) if size is None else size).to_bytes(4, order) + body


def form(kind=1, channels=1, rate=RATE, bits=16, order="<"):
    frame = channels * bits // 8
    return chunk(
        b"fmt ",
        struct.pack(f"{order}HHIIHH", kind, channels, rate, rate * frame, frame, bits),
        order="little" if order == "<" else "big",
    )


LIST = chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 200) + b"x" * 200)
EXTENSIBLE = struct.pack("<HHIIHH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16) + struct.pack("<HHI", 22, 16, 0)
EXTENSIBLE = chunk(b"fmt ", EXTENSIBLE + bytes.fromhex("0100000000001000800000aa00389b71"))


def rf64(size, magic=b"RF64"):
    sizes = struct.pack("<QQQI", 0, size, 0, 0)
    return riff(chunk(b"ds64", sizes), form(), chunk(b"data", SAMPLES, 0xFFFFFFFF), magic=magic, size=0xFFFFFFFF)


IN_THE_WILD = {
    **{f"size {size:#x}": riff(form(), chunk(b"data", SAMPLES, size)) for size in (0, 0x7FFFF000, 0x7FFFFFFF)},
    **{
        f"riff and size {size:#x}": riff(form(), chunk(b"data", SAMPLES, size), size=min(size + 36, 0xFFFFFFFF))
        for size in (0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF)
    },
    "riff of 0": riff(form(), chunk(b"data", SAMPLES, 0), size=0),
    "chunk behind": riff(form(), chunk(b"data", SAMPLES), LIST),
    "odd chunk": riff(chunk(b"LIST", b"odd"), form(), chunk(b"data", SAMPLES)),
    "odd chunk unpadded": riff(form(), chunk(b"LIST", b"odd", padded=False), chunk(b"data", SAMPLES)),
    "odd chunk unpadded first": riff(chunk(b"LIST", b"odd", padded=False), form(), chunk(b"data", SAMPLES)),
    "half a sample more": riff(form(), chunk(b"data", SAMPLES + b"x")),
    "extensible": riff(EXTENSIBLE, chunk(b"data", SAMPLES)),
    "big endian": riff(
        form(order=">"), chunk(b"data", PCM.astype(">i2").tobytes(), order="big"), magic=b"RIFX", order="big"
    ),
    "big endian, size 0": riff(
        form(order=">"), chunk(b"data", PCM.astype(">i2").tobytes(), 0), magic=b"RIFX", order="big"
    ),
    "rf64": rf64(len(SAMPLES)),
    "bw64": rf64(len(SAMPLES), b"BW64"),
    "rf64 of a pipe": rf64(0),
    "rf64 of another pipe": rf64(2**64 - 1),
}


@pytest.mark.parametrize("content", IN_THE_WILD.values(), ids=IN_THE_WILD)
def test_wavs_in_the_wild_are_read(file, content):
    path = file(content)
    found, rate = read_audio(path)
    assert rate == RATE and np.array_equal(found * 2**15, PCM)
    assert probe_audio(path) == len(PCM) / RATE


def test_a_flac_that_does_not_say_its_length_is_read(file):
    buffer = io.BytesIO()
    soundfile.write(buffer, SOUND, RATE, format="FLAC")
    content = bytearray(buffer.getvalue())
    # The last 36 bits before the checksum are the number of samples.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path = file(bytes(content))
    assert np.abs(read_audio(path)[0] - SOUND).max() < 1e-4 and probe_audio(path) == len(SOUND) / RATE


def encoded(kind, samples=SOUND):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=kind)
    return buffer.getvalue()


LONG_OGG = encoded("OGG", np.random.default_rng(0).standard_normal(40_000) / 9)


WHOLE = encode_wav(SOUND, RATE)
WRONG = {
    "text": (b"hello", "is no WAV"),
    "empty": (b"", "is no WAV"),
    "zeros": (bytes(1000), "is no WAV"),
    "avi": (b"RIFF\x10\0\0\0AVI " + bytes(100), "is no WAV"),
    "mp3": (b"ID3\x04" + bytes(100), "is no WAV"),
    "aiff": (encoded("AIFF"), "is no WAV"),
    "cut off": (WHOLE[:-10], "is cut off: 790 of 800 bytes"),
    "rf64 cut off": (encoded("RF64")[:-10], "is cut off: 790 of 800 bytes"),
    "flac cut off": (encoded("FLAC")[:-100], "cannot be read|cut off"),
    "ogg cut off": (LONG_OGG[:-100], "cut off"),
    "ogg without its last page": (LONG_OGG[: LONG_OGG.rindex(b"OggS")], "cut off"),
    "header alone": (WHOLE[:36], "holds no samples"),
    "no samples": (riff(form(), chunk(b"data", b"")), "holds no samples"),
    "no samples but a list": (riff(form(), chunk(b"data", b""), LIST), "holds no samples"),
    "no samples but half a list": (riff(form(), chunk(b"data", b""), LIST[:-50]), "holds no samples"),
    "no samples but a tag": (riff(form(), chunk(b"data", b""), chunk(b"id3 ", b"ID3" + b"y" * 90)), "holds no samples"),
    "half a sample": (riff(form(), chunk(b"data", b"\x90")), "holds no samples"),
    "mp3 within": (riff(form(kind=85), chunk(b"data", SAMPLES)), "cannot be read"),
    "no format": (riff(chunk(b"data", SAMPLES)), "cannot be read"),
    "no channels": (riff(form(channels=0), chunk(b"data", SAMPLES)), "cannot be read"),
    "many channels": (riff(form(channels=MOST_CHANNELS + 1), chunk(b"data", SAMPLES * 4)), "at most 32"),
    "no rate": (riff(form(rate=0), chunk(b"data", SAMPLES)), "cannot be read|sampling rate"),
    "rate of 1": (riff(form(rate=1), chunk(b"data", SAMPLES)), "sampling rate of 1 Hz"),
    "NaN": (riff(form(kind=3, bits=32), chunk(b"data", struct.pack("<f", np.nan))), "NaN"),
    "infinite as float32": (riff(form(kind=3, bits=64), chunk(b"data", struct.pack("<d", 1e300))), "infinity"),
    "endless chunks": (riff(bytes(80_000)), "holds no samples"),
}


@pytest.mark.parametrize("content, message", WRONG.values(), ids=WRONG)
def test_what_is_no_audio_is_refused(file, content, message):
    path = file(content)
    with pytest.raises(InputError, match=message) as caught:
        read_audio(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("place", ["fifo", "directory", "none", "/dev/zero"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, place):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    for read in (read_audio, probe_audio):
        assert place in refusal(read, tmp_path / place)


def test_sparse_files_are_refused_by_their_headers(tmp_path):
    for rate, frames in ((RATE, LONGEST * RATE), (192_000, MOST_FRAMES)):
        size = 2 * int(frames) + 2
        path = tmp_path / f"{rate}.wav"
        path.write_bytes(riff(form(rate=rate), chunk(b"data", b"", size)))
        os.truncate(path, HEADER_BYTES + size)
        assert "expected at most" in refusal(read_audio, path) == refusal(probe_audio, path)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([WHOLE, encoded("FLAC"), encoded("OGG"), encoded("RF64")]),
    st.binary(max_size=80),
    st.integers(0, 140),
)
def test_any_bytes_are_read_or_refused(tmp_path_factory, whole, noise, place):
    path = tmp_path_factory.mktemp("audio") / "a.wav"
    path.write_bytes(whole[:place] + noise + whole[place + len(noise) :])
    try:
        samples, rate = read_audio(path)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert samples.size and np.isfinite(samples).all() and rate > 0
