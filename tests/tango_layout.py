"""A small Tango in the layout that Tango is published in, written from the names of diffusers back to its authors'."""

import json
import re

import torch
from safetensors.torch import save_file

from focuslab.models.random_parts import VOCODER

MAIN = {
    "text_encoder_name": "google/flan-t5-large",
    "scheduler_name": "stabilityai/stable-diffusion-2-1",
    "unet_model_name": None,
    "unet_model_config_path": "configs/diffusion_model_config.json",
    "snr_gamma": 5.0,
}
STFT = {"filter_length": 1024, "hop_length": 160, "win_length": 1024, "n_mel_channels": 64, "sampling_rate": 16000}


def write_tango(pipe, path, ending="bin"):
    """Write the parts of a TangoPipeline to `path`, with UNet sizes and text encoder beside them."""
    path.mkdir(parents=True)
    sizes = pipe.vae.config
    first = sizes.block_out_channels[0]
    vae = {
        "image_key": "fbank",
        "subband": 1,
        "embed_dim": sizes.latent_channels,
        "time_shuffle": 1,
        "ddconfig": {
            "double_z": True,
            "z_channels": sizes.latent_channels,
            "resolution": 256,
            "downsample_time": False,
            "in_channels": 1,
            "out_ch": 1,
            "ch": first,
            "ch_mult": [width // first for width in sizes.block_out_channels],
            "num_res_blocks": sizes.layers_per_block,
            "attn_resolutions": [],
            "dropout": 0.0,
        },
        "scale_factor": sizes.scaling_factor,
    }
    for name, content in {"main_config": MAIN, "vae_config": vae, "stft_config": STFT}.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    (path / "configs").mkdir()
    unet = {**pipe.unet.config, "sample_size": [32, 2]}
    (path / MAIN["unet_model_config_path"]).write_text(json.dumps(unet))
    pipe.tokenizer.save_pretrained(path / "flan-t5-large")
    pipe.text_encoder.config.save_pretrained(path / "flan-t5-large")

    main = {f"unet.{name}": x for name, x in pipe.unet.state_dict().items()}
    main |= {f"text_encoder.{name}": x for name, x in pipe.text_encoder.state_dict().items()}
    main["text_encoder.encoder.embed_tokens.weight"] = main["text_encoder.shared.weight"]
    vocoder = {f"vocoder.{name}": x for name, x in pipe.vocoder.state_dict().items() if name not in ("mean", "scale")}
    vocoder = {name.replace("upsampler.", "ups."): x for name, x in vocoder.items()}
    save(main, path / f"pytorch_model_main.{ending}")
    save(authors_vae(pipe.vae) | vocoder, path / f"pytorch_model_vae.{ending}")
    save({"mel_basis": torch.zeros(VOCODER["model_in_dim"], 513)}, path / f"pytorch_model_stft.{ending}")
    return path


def save(tensors, file):
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    if file.suffix == ".bin":
        torch.save(tensors, file)
    else:
        save_file(tensors, file)


def authors_vae(vae):
    """The weights of a VAE by the names of the latent diffusion authors, with convolutions in its attention."""
    last = len(vae.config.block_out_channels) - 1
    renamed = {}
    for name, tensor in vae.state_dict().items():
        if ".attentions.0." in name:
            tensor = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
            name = name.replace("mid_block.attentions.0.", "mid.attn_1.").replace("group_norm", "norm")
            name = name.replace("to_out.0", "proj_out").replace(".to_", ".")
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = re.sub(r"down_blocks\.(\d)", r"down.\1", name)
        name = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{last - int(m[1])}", name)
        name = name.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")
        name = name.replace("resnets", "block").replace("conv_shortcut", "nin_shortcut")
        renamed[name.replace("conv_norm_out", "norm_out")] = tensor
    return renamed
