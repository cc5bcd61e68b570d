"""A directory of recordings: what is read of it, what is named, what belongs to which caption."""

import os

import numpy as np
import pytest
import soundfile

from focuslab.io.audio import encode_wav
from focuslab.io.captions import Caption
from focuslab.measure.evaluation import reference as module
from focuslab.measure.evaluation.reference import find_reference
from tests.loading import refusal

RATE = 16_000
SOUND = (np.random.default_rng(0).standard_normal(RATE) * 0.1).astype(np.float32)
CAPTIONS = tuple(Caption(name, (name,)) for name in ("one", "two", "three", "four"))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "reference"
    folder.mkdir()
    (folder / "one.wav").write_bytes(encode_wav(SOUND, RATE))
    soundfile.write(folder / "two.flac", SOUND, RATE)
    soundfile.write(folder / "three.ogg", SOUND, RATE)
    return folder


def test_flac_and_ogg_are_recordings_too(folder):
    found = find_reference(folder, CAPTIONS, 3)
    assert found.files == ("one.wav", "three.ogg", "two.flac") and found.unreadable == ()
    assert found.paired == (0, 2, 1, None)


def test_whatever_else_is_there_is_named(folder):
    (folder / "notes.txt").write_text("rain")
    (folder / "cut.wav").write_bytes(encode_wav(SOUND, RATE)[:-10])
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo.wav")
    (folder / "zero.wav").symlink_to("/dev/zero")
    (folder / "gone.wav").symlink_to("nowhere")
    soundfile.write(folder / "five.aiff", SOUND, RATE)
    found = find_reference(folder, CAPTIONS, 3)
    assert len(found.files) == 3
    left = ("cut.wav", "fifo.wav", "five.aiff", "folder", "gone.wav", "notes.txt", "zero.wav")
    assert tuple(reason.split()[0] for reason in found.unreadable) == left
    assert found.to_json()["unreadable"] == list(found.unreadable)


def test_a_name_that_is_no_text_is_left_out(folder):
    (folder / os.fsdecode(b"caf\xe9.wav")).write_bytes(encode_wav(SOUND, RATE))
    found = find_reference(folder, CAPTIONS, 3)
    assert len(found.files) == 3 and len(found.unreadable) == 1
    found.unreadable[0].encode()
    named = folder.rename(folder.with_name(os.fsdecode(b"caf\xe9")))
    refusal(find_reference, named, CAPTIONS, 3).encode()


def test_two_recordings_of_one_caption_are_refused(folder):
    (folder / "two.wav").write_bytes(encode_wav(SOUND, RATE))
    assert "two.flac and two.wav" in refusal(find_reference, folder, CAPTIONS, 3)
    assert len(find_reference(folder, CAPTIONS[:1], 3).files) == 4


def test_too_few_or_too_much_is_refused(folder, monkeypatch):
    assert "holds 3 recordings" in refusal(find_reference, folder, CAPTIONS, 4)
    assert "is no directory" in refusal(find_reference, folder / "one.wav", CAPTIONS, 1)
    monkeypatch.setattr(module, "MOST_HOURS", 2.9 / 3600)
    assert "hours" in refusal(find_reference, folder, CAPTIONS, 3)
