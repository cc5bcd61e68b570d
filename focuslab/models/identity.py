"""What a pipeline is, well enough to tell two of them apart in a record."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from focuslab.attention.kernels import lse_kernel_name
from focuslab.errors import InputError
from focuslab.models import components
from focuslab.models.families import AUDIOLDM2, family_of
from focuslab.models.fingerprint import fingerprint
from focuslab.models.lengths import frame_seconds, latent_mel_rows
from focuslab.models.placement import device_of
from focuslab.models.sites import find_sites, unet_of
from focuslab.models.specs import stand_ins
from focuslab.runs import RunInfo
from focuslab.runs.info import arithmetic, machine, versions


def model_name(pipe) -> str:
    """What the pipeline was loaded as."""
    source = str(pipe.unet.config.get("_name_or_path") or "")
    return getattr(pipe, "_focuslab_model", None) or source or "unnamed pipeline"


def describe(pipe) -> dict[str, Any]:
    """What the pipeline is: all of it that changes what it generates.

    Returns
    -------
    dict
        `name` and `revision` on the hub where it has one; size and shape of the UNet; `weights`, the fingerprint of
        each component; `dtypes` of each; `settings`, a digest of how each is set up; `scheduler`, its class and
        configuration; `adapters` of each component that has some; `attention_processors` of each that are not plain
        attention, focuslab's own among them where a method is attached; `arithmetic`, what torch was told;
        `stand_ins`; `pipeline`, its class where it is not the library's.
    """
    unet = unet_of(pipe)
    config = unet.config
    revision = re.search(r"/snapshots/([0-9a-f]+)", str(config.get("_name_or_path") or ""))
    networks = {name: part for name, part in sorted(pipe.components.items()) if isinstance(part, nn.Module)}
    others = {name: part for name, part in sorted(pipe.components.items()) if part is not pipe.scheduler}
    return {
        "name": model_name(pipe),
        "revision": revision[1] if revision else None,
        "unet_parameters": sum(p.numel() for p in unet.parameters()),
        "block_out_channels": list(config.block_out_channels),
        "cross_attention_dim": _as_lists(config.cross_attention_dim),
        "weights": {name: fingerprint(part) for name, part in networks.items()},
        "dtypes": {name: components.dtypes_of(part) for name, part in networks.items()},
        "settings": {name: components.settings_digest(part) for name, part in others.items() if part is not None},
        "scheduler": components.scheduler_facts(pipe.scheduler),
        "adapters": {name: found for name, part in networks.items() if (found := components.adapters_of(part))},
        "attention_processors": {
            name: found for name, part in networks.items() if (found := components.special_processors(part))
        },
        "arithmetic": arithmetic(device_of(pipe)),
        "stand_ins": list(stand_ins(pipe)),
        **({"pipeline": kind} if (kind := components.class_name(pipe)) != "AudioLDM2Pipeline" else {}),
    }


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def machine_of(pipe) -> dict[str, Any]:
    """Where a pipeline runs, with the kernels that return log-sum-exps there: recording and weighted keys need them."""
    device = device_of(pipe)
    widths = sorted({site.head_width for site in find_sites(pipe)})
    kernels = dict.fromkeys(lse_kernel_name(device.type, pipe.unet.dtype, width) for width in widths)
    return {**machine(device), "log_sum_exp": ", ".join(kernels)}


def run_info(
    pipe, command: str, parameters: dict[str, Any], *, seed: int, prompts: Sequence[str], device: str | None = None
) -> RunInfo:
    """How a run of `command` on this pipeline is made. device: as the run names it; None is the pipeline's."""
    return RunInfo(
        command=command,
        model=describe(pipe),
        parameters=parameters,
        machine=machine_of(pipe),
        versions=versions(),
        device=device or str(device_of(pipe)),
        dtype=str(pipe.unet.dtype).removeprefix("torch."),
        seed=seed,
        prompts=tuple(prompts),
    )


def unet_layout(pipe) -> dict[str, Any]:
    """What a plan for this pipeline depends on: how seconds become latents, and the shape of every self-attention."""
    rows, family = latent_mel_rows(pipe), family_of(pipe)
    return {
        **({} if family is AUDIOLDM2 else {"family": family.name}),
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
        found = {"family": AUDIOLDM2.name, **unet_layout(pipe)}
        for name, value in {"family": AUDIOLDM2.name, **layout}.items():
            if name != "sites" and value != found[name]:
                yield f"it expects {name} {value}, and this pipeline has {found[name]}"


def _site_shapes(pipe, latent_rows: int) -> dict[str, dict[str, int]]:
    return {
        # Mel rows are halved as time steps are.
        site.name: {"mel_rows": site.time_steps(latent_rows), "heads": site.heads, "head_width": site.head_width}
        for site in find_sites(pipe)
    }


def _in_words(shape: dict[str, int]) -> str:
    return f"{shape['heads']} heads of width {shape['head_width']} over {shape['mel_rows']} mel rows"
