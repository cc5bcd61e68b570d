"""WAV files: what is written is read back, of every encoding, whole or not at all."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from focuslab.errors import InputError
from focuslab.wav import HEADER_BYTES, encode_wav, probe_wav, read_wav

SOUND = (np.sin(np.arange(50)) * 0.9).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50), st.sampled_from([8000, 16000, 44100]))
def test_what_is_written_is_read_back(tmp_path_factory, samples, rate):
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    path.write_bytes(encode_wav(np.array(samples, np.float32), rate))
    found, found_rate = read_wav(path)
    assert found_rate == rate and found.dtype == np.float32
    assert np.abs(found - np.array(samples)).max() < 1e-4
    assert path.stat().st_size == HEADER_BYTES + 2 * len(samples)
    assert probe_wav(path).seconds == pytest.approx(len(samples) / rate)


@pytest.mark.parametrize(
    "samples, tolerance",
    [
        (SOUND, 1e-7),
        (SOUND.astype(np.float64), 1e-7),
        ((SOUND * 2**31).astype(np.int32), 1e-7),
        ((SOUND * 2**15).astype(np.int16), 1e-4),
        (((SOUND + 1) * 128).astype(np.uint8), 1e-2),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_encodings_of_other_writers(tmp_path, samples, tolerance):
    wavfile.write(tmp_path / "a.wav", 22050, samples)
    found, rate = read_wav(tmp_path / "a.wav")
    assert rate == 22050 and np.abs(found - SOUND).max() < tolerance
    # The mean of the channels.
    other = np.zeros_like(samples) + (128 if samples.dtype == np.uint8 else 0)
    wavfile.write(tmp_path / "b.wav", 22050, np.stack([samples, other], axis=1).astype(samples.dtype))
    assert np.abs(read_wav(tmp_path / "b.wav")[0] - SOUND / 2).max() < tolerance


def riff(*chunks):
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def form(kind=1, channels=1, rate=8000, bits=16):
    frame = channels * bits // 8
    return struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)


def test_24_bits_extensible_and_chunks_of_odd_length_before(tmp_path):
    values = np.array([0, 1, -1, 2**23 - 1, -(2**23)])
    packed = b"".join(int(value).to_bytes(3, "little", signed=True) for value in values)
    extensible = form(0xFFFE, bits=24) + struct.pack("<HHI", 22, 24, 0) + struct.pack("<H", 1) + bytes(14)
    (tmp_path / "a.wav").write_bytes(riff((b"LIST", b"odd"), (b"fmt ", extensible), (b"data", packed)))
    assert read_wav(tmp_path / "a.wav")[0] == pytest.approx(values / 2**23)


def test_a_size_that_was_never_filled_in_is_the_rest_of_the_file(tmp_path):
    content = bytearray(encode_wav(SOUND, 8000))
    content[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read_wav(tmp_path / "a.wav")[0]) == len(SOUND)


WHOLE = encode_wav(SOUND, 8000)
WRONG = {
    "text": (b"hello", "is no WAV file"),
    "empty": (b"", "is no WAV file"),
    "cut off": (WHOLE[:-10], "is cut off: 90 of 100 bytes"),
    "no samples": (WHOLE[:36], "holds no samples"),
    "none at all": (riff((b"fmt ", form()), (b"data", b"")), "holds no samples"),
    "mp3 within": (riff((b"fmt ", form(kind=85)), (b"data", b"1234")), "encoded as format 85"),
    "no format": (riff((b"data", b"1234")), "does not say"),
    "no channels": (riff((b"fmt ", form(channels=0)), (b"data", b"1234")), "expected PCM"),
    "no rate": (riff((b"fmt ", form(rate=0)), (b"data", b"1234")), "expected PCM"),
    "NaN": (riff((b"fmt ", form(kind=3, bits=32)), (b"data", struct.pack("<f", np.nan))), "NaN"),
}


@pytest.mark.parametrize("content, message", WRONG.values(), ids=WRONG)
def test_what_is_no_sound_is_refused(tmp_path, content, message):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_wav(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 140))
def test_any_bytes_are_read_or_refused(tmp_path_factory, noise, place):
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    path.write_bytes(WHOLE[:place] + noise + WHOLE[place + len(noise) :])
    try:
        samples, rate = read_wav(path)
    except InputError:
        return
    assert samples.size and np.isfinite(samples).all() and rate > 0
