"""Checkpoints made of shipped weights, for a training whose own checkpoints are gone."""

import json
from pathlib import Path

import torch
from diffusers import AudioLDM2Pipeline
from torch import nn

import components
import text
import unet
from training import write_start


def write_checkpoints(directory: Path, work: Path) -> None:
    """Write into `work`, from the pipeline in `directory`, the checkpoints that are missing there.

    Weights and their average are those shipped, in float16; the moments of the optimizer are zero, so the rate rises
    again from there on. The classifier, whose weights lie beside this file, is not made.
    """
    pipe = AudioLDM2Pipeline.from_pretrained(directory, torch_dtype=torch.float32)
    steps = json.loads((directory / "training.json").read_text())["steps"]
    vocoder = components.vocoder()
    trained = {name for name, parameter in vocoder.named_parameters() if parameter.requires_grad}
    for name, parameter in pipe.vocoder.named_parameters():
        parameter.requires_grad_(name in trained)
    parts: dict[str, tuple[nn.Module, int]] = {
        "vae": (pipe.vae, steps["vae"]),
        "clap": (pipe.text_encoder, steps["text_encoder"]),
        "text": (text.parts_of(pipe), steps["unet"]),
        "vocoder": (pipe.vocoder, steps["vocoder"]),
        "unet": (unet.trained_side(pipe), steps["unet"]),
    }
    for name, (model, step) in parts.items():
        file = work / f"{name}.safetensors"
        if not file.exists():
            write_start(model, file, step)
