"""Dense attention whose scores follow the length of the sound."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from focuslab.attention.log_n_scaling import length_factor
from focuslab.errors import InputError
from focuslab.hooks.processors import SiteCall
from focuslab.methods.base import Method

NAMES = {
    "length-scale": {
        "method": "LengthScale",
        "does": "dense, with scores times log N / log N_train beyond the training length",
        "papers": {
            "Jin et al. 2023": "https://arxiv.org/abs/2306.08645",
            "Su 2021": "https://kexue.fm/archives/8823",
            "Chiang and Cholak 2022": "https://arxiv.org/abs/2202.12172",
        },
        "everywhere": True,
        "color": "#56B4E9",
        "marker": "p",
    }
}


@dataclass(frozen=True)
class LengthScale(Method):
    """Dense attention with scores times log N / log N_train, and as it was up to the training length.

    N is the number of tokens at the site, N_train what it is at the length that the UNet's configuration names as the
    size of its samples. `LiteFocus(length_scale=True)` is the same for the keys of its focus set.

    Parameters
    ----------
    sites
        See `Method`; every self-attention unless some are named.

    References
    ----------
    Su 2021, kexue.fm/archives/8823; Chiang and Cholak 2022, arXiv:2202.12172.
    """

    sites: Sequence[str] | str | None = field(default="*", kw_only=True)
    sparse: ClassVar[bool] = False

    def core(self, q: Tensor, k: Tensor, v: Tensor, call: SiteCall) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, scale=length_scale(call, q.shape[-1]))


def length_scale(call: SiteCall, width: int) -> float:
    """The factor on q.k at this call: 1/sqrt(width), times log N / log N_train beyond the training length.

    Raises `InputError` where the UNet does not say which length that is.
    """
    if call.training_grid is None:
        raise InputError(
            f"the length that {call.site.name} was trained at is not known: length scaling needs a UNet whose "
            "configuration has a sample_size"
        )
    return width**-0.5 * length_factor(call.grid.tokens, call.training_grid.tokens)
