"""What a pipeline is, well enough to tell two of them apart in a record."""

import hashlib
import re
from typing import Any

import torch
from torch import nn

from focuslab.models.specs import stand_ins


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


def fingerprint(unet: nn.Module) -> str:
    """Tells apart UNets trained or rounded differently: a hash of the weights at both ends."""
    digest = hashlib.blake2b(digest_size=8)
    for weights in (unet.conv_in.weight, unet.conv_out.weight):
        digest.update(weights.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
