"""The training of the bundled model: what its loop promises, on a toy; and the parts that must agree with libraries."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from focuslab.models.specs import BUNDLED
from tests.tiny_scripts import importable


@pytest.fixture(scope="module", autouse=True)
def _as_the_scripts_see_it():
    with importable():
        yield


@pytest.fixture
def toy():
    """toy(steps) -> a Training that learns to double its input."""
    import training

    def make(steps, stop_at=None):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
        model.register_parameter("never_used", nn.Parameter(torch.ones(2)))

        def losses(step, generator):
            if step == stop_at:
                raise KeyboardInterrupt
            x = torch.randn(16, 4, generator=generator)
            return {"loss": (model(x) - 2 * x).square().mean()}

        job = training.Training("toy", model, losses, steps, warmup=5, log_every=5, save_every_seconds=0.0)
        job.held_out = lambda: {"norm": float(model[0].weight.norm())}
        job.held_out_every = 10
        return job

    return make


def weights(job):
    return {name: tensor.clone() for name, tensor in job.model.state_dict().items()}


def test_training_learns_and_logs(toy, tmp_path):
    job = toy(200)
    job.run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "toy.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(5, 201, 5))
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert lines[-1]["rate"] < 0.1 * lines[20]["rate"] and lines[0]["rate"] == lines[20]["rate"]
    assert ["held_out_norm" in line for line in lines[:4]] == [False, True, False, True]


def test_a_killed_training_goes_on_as_if_it_had_not_been(toy, tmp_path):
    whole = toy(30)
    whole.run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        toy(30, stop_at=17).run(tmp_path / "killed")
    resumed = toy(30)
    resumed.run(tmp_path / "killed")
    expected = weights(whole)
    for name, tensor in weights(resumed).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0, msg=name)
    steps = [[json.loads(x)["step"] for x in (tmp_path / d / "toy.jsonl").open()] for d in ("whole", "killed")]
    assert steps[0] == steps[1]


def test_the_average_is_what_is_exported(toy, tmp_path):
    import training

    job = toy(30)
    job.run(tmp_path)
    fresh = toy(30).model
    assert training.load_averaged(fresh, tmp_path / "toy.safetensors") == 30
    for name, tensor in fresh.state_dict().items():
        torch.testing.assert_close(tensor, job.model.state_dict()[name], rtol=0, atol=0, msg=name)
    assert not fresh.training and not any(p.requires_grad for p in fresh.parameters())


def test_training_goes_on_from_weights_without_their_optimizer(toy, tmp_path):
    import training

    shipped = toy(1).model
    training.write_start(shipped, tmp_path / "toy.safetensors", 100)
    assert training.load_averaged(toy(1).model, tmp_path / "toy.safetensors") == 100
    whole = toy(140)
    whole.run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "toy.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(105, 141, 5))
    # The rate rises again over five steps, and so it does when the training is killed among them.
    assert whole.since == 100 and whole._rate(100) == pytest.approx(whole._rate(104) / 5, rel=0.02)
    training.write_start(shipped, tmp_path / "killed" / "toy.safetensors", 100)
    with pytest.raises(KeyboardInterrupt):
        toy(140, stop_at=103).run(tmp_path / "killed")
    resumed = toy(140)
    resumed.run(tmp_path / "killed")
    expected = weights(whole)
    for name, tensor in weights(resumed).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0, msg=name)


def test_shipped_weights_become_the_checkpoints_that_are_missing(tmp_path):
    import components
    import shipped
    import training

    (tmp_path / "vae.safetensors").write_bytes(b"kept")
    shipped.write_checkpoints(BUNDLED, tmp_path)
    assert (tmp_path / "vae.safetensors").read_bytes() == b"kept"
    names = {file.stem for file in tmp_path.glob("*.safetensors")}
    assert names == {"vae", "clap", "text", "vocoder", "unet"}
    steps = json.loads((BUNDLED / "training.json").read_text())["steps"]
    vocoder = components.vocoder()
    assert training.load_averaged(vocoder, tmp_path / "vocoder.safetensors") == steps["vocoder"]
    for name, tensor in load_file(BUNDLED / "vocoder" / "model.safetensors").items():
        torch.testing.assert_close(vocoder.state_dict()[name], tensor.float(), rtol=1e-3, atol=1e-4, msg=name)


def test_latents_are_encoded_when_they_are_asked_for(tmp_path, monkeypatch):
    import components
    import latents
    import training

    class Clips:
        mels = np.random.default_rng(0).normal(size=(3, 16, 64)).astype(np.float16)

        def __len__(self):
            return 3

    monkeypatch.setattr(components, "LATENT_FRAMES", 4)
    training.write_start(components.vae(), tmp_path / "vae.safetensors", 1)
    kept = latents.Latents(Clips(), tmp_path)
    first = kept.of(1).copy()
    assert first.shape == (8, 4, 16) and np.isfinite(first).all()
    stored = np.load(tmp_path / "latents.npy")
    assert np.isnan(stored[[0, 2]]).all() and np.array_equal(stored[1], first)
    monkeypatch.setattr(latents, "encode_clip", lambda *_: pytest.fail("encoded twice"))
    assert np.array_equal(latents.Latents(Clips(), tmp_path).of(1), first)


def test_a_missing_checkpoint_is_named(toy, tmp_path):
    import training

    with pytest.raises(SystemExit, match=r"nothing\.safetensors is missing: train it first \(train\.py nothing\)"):
        training.load_averaged(toy(1).model, tmp_path / "nothing.safetensors")


def test_clap_features_are_those_of_the_feature_extractor():
    import clap
    import components

    waveforms = torch.randn(2, clap.SAMPLES, generator=torch.Generator().manual_seed(0)) * 0.1
    expected = components.feature_extractor()(
        list(waveforms.numpy()), sampling_rate=16000, return_tensors="pt"
    ).input_features
    torch.testing.assert_close(clap.Features()(waveforms), expected, rtol=0, atol=1e-2)


def test_clips_are_read_as_they_were_rendered(tmp_path):
    import data

    (tmp_path / "train").mkdir()
    samples = np.random.default_rng(0).integers(-20000, 20000, (5, 16000), dtype=np.int16)
    for number, rows in enumerate((slice(0, 3), slice(3, 5))):
        np.save(tmp_path / "train" / f"{number:05d}.npy", samples[rows])
        lines = [{"caption": f"clip {i}", "label": "bell", "attributes": {}} for i in range(5)][rows]
        (tmp_path / "train" / f"{number:05d}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    clips = data.Clips(tmp_path, "train")
    assert len(clips) == 5 and clips.captions[3] == "clip 3"
    np.testing.assert_array_equal(clips.waveform(4, 10, 20).numpy(), samples[4, 10:30].astype("f4") / 32768)
    assert clips.mels.shape == (5, 100, 64)
    assert len(data.Clips(tmp_path, "train", 2)) == 2 and data.Clips(tmp_path, "train", 2).mels.shape[0] == 2
    crop = data.crops(clips.mels, 3, 40, torch.Generator().manual_seed(0))
    assert crop.shape == (3, 40, 64) and crop.isfinite().all()
    with pytest.raises(SystemExit, match=r"run render\.py"):
        data.Clips(tmp_path, "test")
