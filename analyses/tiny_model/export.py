"""Put the trained parts together as a pipeline of float16 weights, and keep the classifier beside its training."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

import components
import unet
from assembly import pipeline
from data import Clips
from latents import Latents
from training import load_averaged

HERE = Path(__file__).parent


def export(train: Clips, work: Path, out: Path) -> None:
    """Save the pipeline in `out` as `save_pretrained` does, with the steps that each component was trained for."""
    pipe = pipeline(work)
    steps = {"unet": load_averaged(unet.trained_side(pipe), work / "unet.safetensors")}
    for name, file in (("vae", "vae"), ("vocoder", "vocoder"), ("text_encoder", "clap")):
        steps[name] = load_averaged(getattr(pipe, name), work / f"{file}.safetensors")
    classifier = components.Classifier(len(set(train.labels)))
    load_averaged(classifier, work / "classifier.safetensors")
    save_file(classifier.half().state_dict(), HERE / "classifier.safetensors")
    pipe.vae.register_to_config(scaling_factor=Latents(train, work).scaling_factor())
    pipe.to(dtype=torch.float16).save_pretrained(out)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    (out / "training.json").write_text(json.dumps({"steps": steps}, indent=1) + "\n")
    print(f"{out}: {size / 1e6:.1f} MB, trained for {steps} steps")
