import errno
import json
import os
import wave

import numpy as np
import pytest

from focuslab import capture_attention, evaluate, generate
from focuslab.errors import FocuslabError, InputError
from focuslab.measure.generate import Sound, check_free
from focuslab.measure.sensitivity import measure_sensitivity
from focuslab.measure.validation import validate
from focuslab.methods import LiteFocus
from focuslab.models.identity import unet_layout
from tests.plans import plan_of
from tests.schedulers import with_scheduler


def test_the_seed_decides_the_samples(pipe):
    first, second, other = (generate(pipe, "rain", 0.64, steps=2, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.samples, second.samples)
    assert not np.array_equal(first.samples, other.samples)
    assert first.samples.dtype == np.float32 and first.samples.shape == (round(0.64 * 16000),)
    assert first.sampling_rate == 16000


def test_the_method_makes_a_difference_and_is_recorded(pipe):
    dense = generate(pipe, "rain", 0.64, steps=2)
    sparse = generate(pipe, "rain", 0.64, steps=2, method=LiteFocus(cross_fraction=0.2))
    assert not np.array_equal(dense.samples, sparse.samples)
    assert dense.settings["sites"] == [] and len(sparse.settings["sites"]) == 12
    assert "cross_fraction=0.2" in sparse.settings["method"]


def test_progress_counts_the_steps(pipe):
    seen = []
    generate(pipe, "rain", 0.64, steps=3, progress=lambda done, total, text: seen.append((done, total, text)))
    assert [(done, total) for done, total, _ in seen] == [(0, 5), (1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert [text for *_, text in seen[1:]] == ["step 1 of 3", "step 2 of 3", "step 3 of 3", "VAE", "vocoder"]


@pytest.mark.parametrize("name", ["PNDMScheduler", "HeunDiscreteScheduler"])
def test_progress_counts_steps_of_several_calls(name, pipe, monkeypatch):
    with_scheduler(pipe, name, monkeypatch)
    seen = []
    generate(pipe, "rain", 0.16, steps=4, progress=lambda done, total, text: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(7)]


def test_steps_that_a_scheduler_cannot_make_are_refused(pipe, monkeypatch):
    with_scheduler(pipe, "PNDMScheduler", monkeypatch)
    plan = plan_of({0: {}}, unet=unet_layout(pipe))
    for work in (
        lambda: generate(pipe, "rain", 0.16, steps=3),
        lambda: capture_attention(pipe, "rain", (0.16,), steps=3),
        lambda: measure_sensitivity(pipe, "rain", (0.16,), steps=3),
        lambda: validate(pipe, plan, "rain", (0.16,), steps=3),
        lambda: evaluate(pipe, ["rain"], (0.16,), steps=3),
    ):
        with pytest.raises(InputError, match="PNDMScheduler has no schedule of 3 steps") as caught:
            work()
        assert "\n" not in str(caught.value)


def test_a_wav_is_overwritten_only_by_force(pipe, tmp_path):
    sound = generate(pipe, 'quotes " and ü', 0.64, steps=1)
    path = sound.write(tmp_path / "new" / "x.wav")
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert np.abs(pcm / 32767 - np.clip(sound.samples, -1, 1)).max() < 1e-4
    settings = json.loads(path.with_suffix(".json").read_text())
    assert settings == sound.settings
    assert settings["prompt"] == 'quotes " and ü' and settings["model"]["name"] == "random:tiny"
    assert settings["seed"] == 0 and settings["steps"] == 1 and settings["samples"] == pcm.size
    with pytest.raises(InputError, match="exists already.*--force"):
        sound.write(path)
    path.unlink()
    with pytest.raises(InputError, match=r"x\.json exists already"):
        sound.write(path)
    sound.write(path, force=True)


def test_samples_beyond_full_scale_are_clipped(tmp_path):
    path = Sound(np.array([2.0, -2.0, 0.5], np.float32), 16000, {}).write(tmp_path / "loud.wav")
    with wave.open(str(path), "rb") as file:
        assert np.frombuffer(file.readframes(3), "<i2").tolist() == [32767, -32767, 16384]


def test_other_formats_and_places_are_refused(tmp_path, monkeypatch):
    sound = Sound(np.zeros(3, np.float32), 16000, {})
    with pytest.raises(InputError, match=r"ends in \.wav"):
        sound.write(tmp_path / "x.mp3")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file is a file, not a directory"):
        sound.write(tmp_path / "file" / "x.wav")

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(InputError, match=rf"{tmp_path} takes no files \(Permission denied\)"):
        sound.write(tmp_path / "new" / "x.wav")
    monkeypatch.undo()
    (tmp_path / "d.wav").mkdir()
    with pytest.raises(InputError, match="exists already"):
        sound.write(tmp_path / "d.wav", force=True)


def test_samples_that_are_not_finite_are_an_error(pipe, monkeypatch):
    original = pipe.mel_spectrogram_to_waveform
    monkeypatch.setattr(pipe, "mel_spectrogram_to_waveform", lambda mel: original(mel) * float("nan"))
    with pytest.raises(FocuslabError, match="10240 of 10240 samples are not finite in torch.float32"):
        generate(pipe, "rain", 0.64, steps=1)


@pytest.mark.parametrize("arguments", [{"seconds": 0}, {"seconds": -1}, {"seconds": "x"}, {"steps": 0}])
def test_wrong_arguments_are_refused(pipe, arguments):
    with pytest.raises(InputError):
        generate(pipe, "rain", **{"seconds": 0.64, **arguments})


@pytest.mark.parametrize("after", [0, 1])
def test_a_full_disk_leaves_neither_clip_nor_settings(tmp_path, monkeypatch, after):
    synced = []

    def full(_):
        synced.append(1)
        if len(synced) > after:
            raise OSError(28, "No space left on device")

    sound = Sound(np.zeros(100, np.float32), 16_000, {"schema": "x"})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FocuslabError, match="No space left"):
        sound.write(tmp_path / "x.wav")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    sound.write(tmp_path / "x.wav")
    assert {path.name for path in tmp_path.iterdir()} == {"x.wav", "x.json"}


def test_a_name_too_long_for_the_settings_is_refused_before(tmp_path):
    check_free(tmp_path / ("n" * 249 + ".wav"), False)
    with pytest.raises(InputError):
        check_free(tmp_path / ("n" * 251 + ".wav"), False)
