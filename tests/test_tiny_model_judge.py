"""What judges generated clips: class posteriors of sound and of mels, and what is said of the training."""

import json

import numpy as np
import pytest
import torch

from focuslab.metrics.mel import HOP, log_mel
from tests.test_analyses import analysis
from tests.tiny_scripts import importable


@pytest.fixture(scope="module")
def judging(session_pipe):
    """(the module judge, a Judge)"""
    with importable():
        import judge

        yield judge, judge.Judge(session_pipe)


def noise(samples, seed=0):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed)).numpy()


def test_sound_and_its_mels_are_judged_alike(judging):
    _, judge = judging
    frames = judge._clap.window_samples // HOP
    sound = noise(frames * HOP)
    in_sound, in_mel = judge.logits(sound), judge.logits_of_mel(log_mel(torch.from_numpy(sound)[None])[0])
    np.testing.assert_allclose(in_sound, in_mel, atol=1e-4)
    assert in_sound.shape == (1, 30) and judge.name(in_sound) == judge.label(sound)
    assert judge.logits_of_mel(torch.zeros(2 * frames + 1, 64)).shape == (3, 30)


def test_kl_is_that_of_mean_posteriors(judging):
    module, _ = judging
    reference, generated = np.log([[0.8, 0.2], [0.4, 0.6]]), np.log([[0.5, 0.5]])
    assert module.kl(reference, reference[::-1]) == pytest.approx(0, abs=1e-12)
    assert module.kl(reference, generated) == pytest.approx(0.6 * np.log(1.2) + 0.4 * np.log(0.8))


def test_mels_are_kept_while_a_vocoder_is_called(judging):
    module, _ = judging
    vocoder = torch.nn.Linear(64, 1)
    mels = torch.randn(1, 10, 64)
    with module.mels_given(vocoder) as given:
        vocoder(mels)
    vocoder(mels)
    assert len(given) == 1 and torch.equal(given[0], mels[0])


def test_steps_are_counted_by_length(judging, tmp_path):
    module, _ = judging
    log = tmp_path / "unet.jsonl"
    lines = [{"step": 20, "frames": 64.0}, {"step": 40, "frames": 64.0}, {"step": 60, "frames": 256.0}]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert module.steps_by_frames(log) == "40 at 2.56 s, 20 at 10.24 s"


def test_what_is_lost_behind_the_vocoder_is_paired():
    with importable(), analysis("00_tiny_model") as script:
        record = {"seconds": 10.0, "label": "rain", "kl": 2.0, "kl_in_mels": 1.0}
        heard = [("rain", "rain"), ("wind", "rain"), ("rain", "rain"), ("wind", "wind")]
        records = [{**record, "named": sound, "named_in_mels": mel} for sound, mel in heard]
        said = script.behind_the_vocoder([*records, {**record, "seconds": 20.0, "named": "", "named_in_mels": ""}])
    values = [float(line.split(": ")[1].split(" ")[0]) for line in said]
    assert values == [0.75, -0.25, 2.0, 1.0] and all(line.endswith("n = 4).") for line in said)
