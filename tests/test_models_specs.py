"""Loading: names, devices, types, directories, the hub, and what each kind of wrong input gets."""

import subprocess
import sys

import pytest
import torch

from focuslab.models import specs
from focuslab.models.specs import load, stand_ins
from tests.loading import refused, sound


@pytest.fixture(scope="module")
def tiny():
    return load("random:tiny", "cpu")


def test_importing_the_loader_imports_no_torch():
    code = "import sys, focuslab.models, focuslab.models.specs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("seconds", [0.5, 2, 5])
def test_random_tiny_runs_end_to_end(tiny, seconds):
    audio = sound(tiny, seconds=seconds)
    assert audio.shape == (1, int(seconds * 16000))
    assert audio.isfinite().all() and audio.std() > 1e-3
    assert stand_ins(tiny) == ()


@pytest.mark.parametrize("dtype", ["float16", torch.bfloat16])
def test_half_precision_on_the_cpu_is_finite(dtype):
    pipe = load("random:tiny", "cpu", dtype)
    expected = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    parts = (pipe.unet, pipe.vae, pipe.vocoder, pipe.text_encoder, pipe.text_encoder_2, pipe.language_model)
    assert {p.dtype for part in (*parts, pipe.projection_model) for p in part.parameters()} == {expected}
    assert sound(pipe, seconds=1).isfinite().all()


def test_auto_is_float32_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    pipe = load("random:tiny", "auto", "auto")
    assert pipe.device.type == "cpu" and pipe.unet.dtype == torch.float32


def test_auto_prefers_cuda_in_float16(monkeypatch):
    from focuslab.models.placement import resolve_device, resolve_dtype

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device(None) == resolve_device("auto") == torch.device("cuda")
    assert resolve_dtype(None, torch.device("cuda")) == torch.float16
    assert resolve_dtype("float32", torch.device("cuda")) == torch.float32


@pytest.mark.parametrize("device", ["cuda:97", "nonsense", "meta", -3, object()])
def test_device_that_is_not_there(device):
    message = refused("random:tiny", device)
    assert str(device) in message and "'auto'" in message and "cpu" in message


@pytest.mark.parametrize("dtype", ["float64", "half precision", torch.int8, 16])
def test_dtype_that_is_not_supported(dtype):
    message = refused("random:tiny", "cpu", dtype)
    assert str(dtype) in message and "'bfloat16'" in message


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("tinny", "tiny"), ("random:audiolmd2", "random:audioldm2"), ("random:audioldm2_large", "random:audioldm2-large")],
)
def test_slip_of_the_pen_gets_the_nearest_name(wrong, meant):
    assert f"did you mean {meant!r}?" in refused(wrong, "cpu")


@pytest.mark.parametrize("wrong", ["", "whatever", "random:", "a/b/c", "./nowhere", "/nowhere/at/all"])
def test_unknown_model_lists_what_there_is(wrong):
    message = refused(wrong, "cpu")
    assert all(repr(name) in message for name in specs.names()) and "org/name" in message
    assert ("no such directory" in message) == ("/" in wrong)


def test_no_bundled_model_says_what_to_use_instead(monkeypatch, tmp_path):
    monkeypatch.setattr(specs, "BUNDLED", tmp_path / "tiny")
    message = refused("tiny", "cpu")
    assert "no bundled model" in message
    assert all(word in message for word in ("'random:tiny'", "'random:audioldm2'", "directory", "hub id"))


def test_bundled_model_is_loaded_where_there_is_one(monkeypatch, tmp_path, tiny):
    tiny.save_pretrained(tmp_path)
    monkeypatch.setattr(specs, "BUNDLED", tmp_path)
    assert torch.equal(sound(load("tiny", "cpu")), sound(tiny))
