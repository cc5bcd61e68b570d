"""The bundled model: its weights as they are shipped."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import focuslab
from focuslab.errors import InputError
from focuslab.models.families import AUDIOLDM2
from focuslab.models.sites import find_sites
from focuslab.models.specs import BUNDLED, stand_ins

MATCHING = "a fast high siren"
OTHER = "a slow low melody on a piano"


@pytest.fixture(scope="module")
def tiny():
    pipe = focuslab.load("tiny", "cpu", "float32")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def samples(pipe, prompt="a slow siren", seconds=2.0, steps=4, seed=0, guidance=3.5):
    return pipe(
        prompt,
        audio_length_in_s=seconds,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed),
        output_type="pt",
    ).audios[0]


def test_it_loads_offline_and_whole(tiny, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pipe = focuslab.load("tiny", "cpu", offline=True)
    assert stand_ins(pipe) == ()
    assert all(torch.isfinite(p).all() for part in pipe.components.values() if hasattr(part, "parameters")
               for p in part.parameters())  # fmt: skip


def test_every_component_is_of_the_class_that_the_pipeline_asks_for(tiny):
    assert type(tiny).__name__ == "AudioLDM2Pipeline"
    for name, classes in AUDIOLDM2.classes.items():
        assert type(getattr(tiny, name)).__name__ in (classes or ("DDIMScheduler",)), name
    assert tiny.unet.config.cross_attention_dim[0][0] is None
    assert {site.block for site in find_sites(tiny.unet)} >= {"down_blocks.1", "mid_block", "up_blocks.2"}


def test_size_and_licence_of_what_is_shipped():
    files = [file for file in BUNDLED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 25e6
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".txt", ".md"}
    card = (BUNDLED / "MODEL_CARD.md").read_text()
    assert "not AudioLDM2" in card and "FluidR3" in card
    assert set(json.loads((BUNDLED / "training.json").read_text())["steps"]) == {
        "vae", "vocoder", "text_encoder", "unet"
    }  # fmt: skip


def test_same_seed_same_samples_and_another_seed_others(tiny):
    first, again, other = samples(tiny), samples(tiny), samples(tiny, seed=1)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-2)
    assert first.isfinite().all() and first.abs().max() <= 1 and first.std() > 1e-3


@pytest.mark.parametrize("seconds", [0.5, 5.0, 12.3])
def test_any_length_runs(tiny, seconds):
    sound = samples(tiny, seconds=seconds, steps=2)
    assert sound.shape == (int(seconds * 16000),) and sound.isfinite().all()


@pytest.mark.parametrize("prompt", ["", "a zebra quaffing überkvass 🦓", "雨の音", "rain " * 200])
def test_any_caption_is_accepted(tiny, prompt):
    assert samples(tiny, prompt, seconds=0.5, steps=2).isfinite().all()


@torch.no_grad()
def clap_score(pipe, sound, caption):
    audio = pipe.feature_extractor([sound.numpy()], sampling_rate=16000, return_tensors="pt").input_features
    text = pipe.tokenizer([caption], return_tensors="pt")
    a = pipe.text_encoder.get_audio_features(audio).pooler_output
    t = pipe.text_encoder.get_text_features(text.input_ids, attention_mask=text.attention_mask).pooler_output
    return float(torch.cosine_similarity(a, t))


def test_guidance_moves_the_sound_towards_the_caption(tiny):
    def pull(caption, other, guidance):
        sound = samples(tiny, caption, seconds=5.0, steps=10, guidance=guidance)
        return clap_score(tiny, sound, caption) - clap_score(tiny, sound, other)

    pairs = ((MATCHING, OTHER), (OTHER, MATCHING))
    with_guidance = [pull(*pair, 3.5) for pair in pairs]
    assert min(with_guidance) > 0
    # Guidance below 1 is none: the caption still steers, but less.
    assert sum(with_guidance) > sum(pull(*pair, 0.0) for pair in pairs)


def test_saved_and_loaded_it_makes_the_same_sound(tiny, tmp_path):
    tiny.save_pretrained(tmp_path / "copy")
    copy = focuslab.load(tmp_path / "copy", "cpu", "float32")
    copy.set_progress_bar_config(disable=True)
    # Where a file's bytes land in memory decides which kernel runs, and so the last bits.
    torch.testing.assert_close(samples(copy), samples(tiny), rtol=0, atol=1e-4)


def test_trained_attention_looks_along_its_own_row(tiny):
    control = focuslab.load("tiny", "cpu", "float32")
    torch.manual_seed(0)
    control.unet = type(tiny.unet).from_config(tiny.unet.config).eval()
    lifts = {}
    for name, pipe in (("trained", tiny), ("control", control)):
        run = focuslab.capture_attention(
            pipe, prompts=[MATCHING, OTHER], seconds=(5.0,), steps=4, statistics=("mass",), cross_fractions=()
        )
        lifts[name] = {row["name"]: row["lift"] for row in run.summary["blocks"]}
    assert all(abs(lift - 1) < 0.1 for lift in lifts["control"].values()), lifts["control"]
    assert max(lifts["trained"]["up_blocks.2"], lifts["trained"]["down_blocks.1"]) > 1.5, lifts["trained"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "lacks the weights of its unet"),
        ("vocoder/config.json", "lacks its vocoder"),
        ("tokenizer/tokenizer.json", "lacks its tokenizer"),
    ],
)
def test_a_missing_file_is_named(tmp_path, monkeypatch, part, said):
    shutil.copytree(BUNDLED, tmp_path / "tiny")
    (tmp_path / "tiny" / part).unlink()
    monkeypatch.setattr("focuslab.models.specs.BUNDLED", tmp_path / "tiny")
    with pytest.raises(InputError, match=said) as error:
        focuslab.load("tiny", "cpu")
    assert "\n" not in str(error.value)


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    shutil.copytree(BUNDLED, tmp_path / "tiny")
    file = tmp_path / "tiny" / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    monkeypatch.setattr("focuslab.models.specs.BUNDLED", tmp_path / "tiny")
    with pytest.raises(InputError, match=r"vae.*is damaged.*again"):
        focuslab.load("tiny", "cpu")


@pytest.mark.slow
def test_it_is_part_of_the_wheel(tmp_path):
    root = Path(__file__).parents[1]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(root)]
    subprocess.run(build, check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if name.startswith("focuslab/models/tiny/")}
    shipped = {f"focuslab/models/tiny/{file.relative_to(BUNDLED)}" for file in BUNDLED.rglob("*") if file.is_file()}
    assert packed == shipped
