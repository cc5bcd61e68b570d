"""What a pipeline is, well enough to tell two of them apart in a record."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from focuslab.environment import machine, versions
from focuslab.errors import InputError
from focuslab.models.lengths import frame_seconds, latent_mel_rows
from focuslab.models.placement import device_of
from focuslab.models.sites import find_sites
from focuslab.models.specs import stand_ins
from focuslab.records import RunInfo


def describe(pipe) -> dict[str, Any]:
    """What the pipeline was loaded as, its revision on the hub where it has one, the size, shape and a fingerprint of
    its UNet, and the components that are stand-ins."""
    source = str(pipe.unet.config.get("_name_or_path") or "")
    revision = re.search(r"/snapshots/([0-9a-f]+)", source)
    config = pipe.unet.config
    return {
        "name": getattr(pipe, "_focuslab_model", None) or source or "unnamed pipeline",
        "revision": revision[1] if revision else None,
        "unet_parameters": sum(p.numel() for p in pipe.unet.parameters()),
        "unet_fingerprint": fingerprint(pipe.unet),
        "block_out_channels": list(config.block_out_channels),
        "cross_attention_dim": [list(d) if isinstance(d, (list, tuple)) else d for d in config.cross_attention_dim],
        "stand_ins": list(stand_ins(pipe)),
    }


def run_info(
    pipe, command: str, parameters: dict[str, Any], *, seed: int, prompts: Sequence[str], device: str | None = None
) -> RunInfo:
    """How a run of `command` on this pipeline is made. device: as the run names it; None is the pipeline's."""
    return RunInfo(
        command=command,
        model=describe(pipe),
        parameters=parameters,
        machine=machine(device_of(pipe)),
        versions=versions(),
        device=device or str(device_of(pipe)),
        dtype=str(pipe.unet.dtype).removeprefix("torch."),
        seed=seed,
        prompts=tuple(prompts),
    )


def fingerprint(unet: nn.Module) -> str:
    """Tells apart UNets trained or rounded differently: a hash of the weights at both ends."""
    return _hash(unet.conv_in, unet.conv_out)


def decoder_fingerprint(pipe) -> str:
    """Tells apart what makes sound of latents, VAE and vocoder: a hash of the weights at both ends of each."""
    decoder, vocoder = pipe.vae.decoder, pipe.vocoder
    return _hash(decoder.conv_in, decoder.conv_out, vocoder.conv_pre, vocoder.conv_post)


def _hash(*layers: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for layer in layers:
        digest.update(layer.weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def unet_layout(pipe) -> dict[str, Any]:
    """What a plan for this pipeline depends on: how seconds become latents, and the shape of every self-attention."""
    rows = latent_mel_rows(pipe)
    return {
        "frame_seconds": frame_seconds(pipe),
        "frames_per_latent": pipe.vae_scale_factor,
        "latent_mel_rows": rows,
        "sites": _site_shapes(pipe, rows),
    }


def check_layout(pipe, layout: dict[str, Any], model: str) -> None:
    """Raise `InputError` naming the first difference unless a pipeline (or UNet) is of a plan's `layout`, made for
    `model`. Of a UNet alone only the self-attentions are known."""
    difference = next(_differences(pipe, layout), None)
    if difference:
        raise InputError(f"this plan is for another UNet than the one given (it was made for {model!r}): {difference}")


def _differences(pipe, layout: dict[str, Any]) -> Iterator[str]:
    here, sites = _site_shapes(pipe, layout["latent_mel_rows"]), layout["sites"]
    yield from (f"this UNet has no {site}" for site in sites if site not in here)
    yield from (f"it does not know {site} of this UNet" for site in here if site not in sites)
    for site, shape in sites.items():
        if here[site] != shape:
            yield f"it expects {_in_words(shape)} at {site}, and this UNet has {_in_words(here[site])}"
    if hasattr(pipe, "unet"):
        for name, value in unet_layout(pipe).items():
            if name != "sites" and value != layout[name]:
                yield f"it expects {name} {layout[name]}, and this pipeline has {value}"


def _site_shapes(pipe, latent_rows: int) -> dict[str, dict[str, int]]:
    return {
        # Mel rows are halved as time steps are.
        site.name: {"mel_rows": site.time_steps(latent_rows), "heads": site.heads, "head_width": site.head_width}
        for site in find_sites(pipe)
    }


def _in_words(shape: dict[str, int]) -> str:
    return f"{shape['heads']} heads of width {shape['head_width']} over {shape['mel_rows']} mel rows"
