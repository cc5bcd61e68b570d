"""Tango and Tango 2 as they are published: loose files, without an index and with a name in place of a tokenizer.

What is read: main_config.json, vae_config.json, stft_config.json; the weights of UNet and text encoder in
pytorch_model_main, of VAE and vocoder in pytorch_model_vae, as .safetensors or .bin. Nothing in them is executed.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig, T5Config, T5EncoderModel

from focuslab.checks import shown
from focuslab.errors import InputError
from focuslab.models.checks import check_folder, first_line, read_json
from focuslab.models.directory import check_files, load_part
from focuslab.models.hub import fetch_tokenizer, is_hub_id
from focuslab.models.libraries import quiet
from focuslab.models.random_parts import VOCODER
from focuslab.models.tango import SCHEDULER, TRAINING_FRAMES, UNET, Tango, TangoPipeline

CONFIGS = ("main_config.json", "vae_config.json", "stft_config.json")
WEIGHTS = ("pytorch_model_main", "pytorch_model_vae")
VAE_NAMES = (
    (r"(coder\.)norm_out\.", r"\1conv_norm_out."),
    (r"nin_shortcut", "conv_shortcut"),
    (r"mid\.block_1\.", "mid_block.resnets.0."),
    (r"mid\.block_2\.", "mid_block.resnets.1."),
    (r"mid\.attn_1\.norm\.", "mid_block.attentions.0.group_norm."),
    (r"mid\.attn_1\.proj_out\.", "mid_block.attentions.0.to_out.0."),
    (r"mid\.attn_1\.([qkv])\.", r"mid_block.attentions.0.to_\1."),
    (r"down\.(\d)\.block\.", r"down_blocks.\1.resnets."),
    (r"down\.(\d)\.downsample\.", r"down_blocks.\1.downsamplers.0."),
    (r"up\.(\d)\.block\.", r"up_blocks.\1.resnets."),
    (r"up\.(\d)\.upsample\.", r"up_blocks.\1.upsamplers.0."),
)
"""How names of the AudioLDM authors' VAE become diffusers', but for the numbers of `up`, which count the other way."""


def is_tango(path: Path) -> bool:
    """Whether a directory has some of the files that Tango has, and not the index of a pipeline."""
    named = (*CONFIGS, *(f"{stem}{ending}" for stem in WEIGHTS for ending in (".bin", ".safetensors")))
    return not (path / "model_index.json").is_file() and any((path / name).is_file() for name in named)


def load_tango(path: Path, dtype: torch.dtype, offline: bool = False) -> TangoPipeline:
    """The pipeline of the files in `path`, on the CPU in `dtype`. Raises `InputError` naming what is missing or wrong.

    The tokenizer of the text encoder that they name comes from a folder beside them or from the hub, and its
    configuration with it. So does their scheduler where `scheduler/` is there.
    """
    check_folder(path)
    main, vae, stft = (_config(path, name) for name in CONFIGS)
    if main.get("unet_model_name") is not None:
        raise InputError(f"{path} has a UNet made of {shown(main['unet_model_name'])}: expected one of Tango's own")
    of_main, of_vae = (_weights(path, stem) for stem in WEIGHTS)
    text = _text_folder(path, main.get("text_encoder_name"), offline)
    with quiet(), torch.device("meta"):
        try:
            sizes = _unet_sizes(path, main)
            made = UNet2DConditionModel.from_config({**sizes, "sample_size": TRAINING_FRAMES})
            encoder = T5EncoderModel(T5Config.from_pretrained(text, local_files_only=True))
            codec, vocoder = AutoencoderKL(**_vae_sizes(vae)), SpeechT5HifiGan(_vocoder_sizes(stft, of_vae))
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{path} describes no Tango ({type(error).__name__}: {first_line(error)})") from None
    parts = {
        "unet": _filled(made, _under("unet.", of_main), dtype, path),
        "text_encoder": _filled(encoder, _under("text_encoder.", of_main), dtype, path),
        "vae": _filled(codec, _as_diffusers(of_vae, len(vae["ddconfig"]["ch_mult"])), dtype, path),
        "vocoder": _filled(vocoder, _as_transformers(of_vae, vocoder), dtype, path),
    }
    parts["text_encoder"].tie_weights()
    parts["unet"].register_to_config(_name_or_path=str(path))
    with quiet():
        tokenizer = load_part(text, "T5Tokenizer", None)
    scheduler = path / "scheduler" / "scheduler_config.json"
    made_of = read_json(scheduler) if scheduler.is_file() else SCHEDULER
    return Tango().make({**parts, "tokenizer": tokenizer, "scheduler": DDPMScheduler.from_config(made_of)})


def _config(path: Path, name: str) -> dict[str, Any]:
    if not (path / name).is_file():
        raise InputError(f"{path} lacks {name}: Tango is published as {', '.join(CONFIGS)} and weights")
    return read_json(path / name)


def _weights(path: Path, stem: str) -> dict[str, Tensor]:
    file = next((path / f"{stem}{end}" for end in (".safetensors", ".bin") if (path / f"{stem}{end}").is_file()), None)
    if file is None:
        raise InputError(f"{path} lacks its weights: expected {stem}.bin or {stem}.safetensors, as Tango is published")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{file} holds no weights alone, or is damaged ({first_line(error)}): download it again"
        ) from None
    if not isinstance(found, Mapping) or not all(isinstance(x, Tensor) for x in found.values()):
        raise InputError(f"{file} holds something else than weights: expected tensors by name")
    return dict(found)


def _text_folder(path: Path, name: Any, offline: bool) -> Path:
    if not isinstance(name, str) or not is_hub_id(name):
        raise InputError(f"main_config.json in {path} has text_encoder_name {shown(name)}: expected a hub id")
    folder = path / name.partition("/")[2]
    if not folder.is_dir():
        try:
            folder = fetch_tokenizer(name, offline)
        except InputError as error:
            raise InputError(f"{path} needs the tokenizer and config.json of {name} in {folder}: {error}") from None
    check_folder(folder)
    check_files(folder, "tokenizer_2", folder)
    return folder


def _unet_sizes(path: Path, main: Mapping[str, Any]) -> dict[str, Any]:
    """The UNet's configuration: the file that main_config.json names where it is there, else the published one."""
    named = str(main.get("unet_model_config_path"))
    if re.fullmatch(r"configs/[\w.-]+\.json", named) and (path / named).is_file():
        return read_json(path / named)
    if named.rpartition("/")[2] != "diffusion_model_config.json":
        raise InputError(f"main_config.json names the UNet {shown(named)}: put that file there")
    return UNET


def _vae_sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    sizes = config["ddconfig"]
    levels = len(sizes["ch_mult"])
    if not (0 < levels < 10 and 0 < sizes["num_res_blocks"] < 10 and config["embed_dim"] == sizes["z_channels"]):
        raise InputError(f"vae_config.json has sizes {shown(sizes)}, which no VAE of Tango has")
    return {
        "in_channels": sizes["in_channels"],
        "out_channels": sizes["out_ch"],
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "block_out_channels": tuple(sizes["ch"] * factor for factor in sizes["ch_mult"]),
        "layers_per_block": sizes["num_res_blocks"],
        "latent_channels": sizes["z_channels"],
        "scaling_factor": config["scale_factor"],
    }


def _vocoder_sizes(stft: Mapping[str, Any], weights: Mapping[str, Tensor]) -> SpeechT5HifiGanConfig:
    """Of AudioLDM's vocoder, which no file describes; its width is read off its weights."""
    width = weights["vocoder.conv_pre.weight"].shape[0]
    given = {"sampling_rate": stft["sampling_rate"], "model_in_dim": stft["n_mel_channels"]}
    return SpeechT5HifiGanConfig(**{**VOCODER, **given}, upsample_initial_channel=width)


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _as_diffusers(state: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """The weights of the VAE under the names that diffusers has for them."""
    found = {}
    for name, tensor in state.items():
        for old, new in VAE_NAMES:
            name = re.sub(old, new, name)
        name = re.sub(r"up_blocks\.(\d)", lambda number: f"up_blocks.{levels - 1 - int(number[1])}", name)
        # Convolutions of one pixel in its attention are linear layers there.
        found[name] = tensor.flatten(1) if ".attentions." in name and tensor.ndim == 4 else tensor
    return found


def _as_transformers(state: Mapping[str, Tensor], vocoder: nn.Module) -> dict[str, Tensor]:
    found = {name.replace("ups.", "upsampler."): tensor for name, tensor in _under("vocoder.", state).items()}
    width = vocoder.config.model_in_dim
    # Without `normalize_before` nothing reads them.
    return {"mean": torch.zeros(width), "scale": torch.ones(width), **found}


def _filled(part: nn.Module, state: Mapping[str, Tensor], dtype: torch.dtype, path: Path) -> Any:
    """A module of the meta device with these weights. Raises `InputError` where one is missing or of another shape."""
    own = part.state_dict()
    given = {"encoder.embed_tokens.weight": state["shared.weight"]} if "shared.weight" in state else {}
    found = {name: tensor for name, tensor in {**given, **state}.items() if name in own}
    wrong: Sequence[str] = [
        name for name, empty in own.items() if name not in found or found[name].shape != empty.shape
    ]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        what = f"{wrong[0]}{more} of the {type(part).__name__}"
        raise InputError(f"the weights in {path} do not fit its configuration: {what} missing or of another shape")
    part.load_state_dict({name: tensor.to(dtype) for name, tensor in found.items()}, assign=True)
    return part.eval()
