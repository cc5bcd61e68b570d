"""What sparse methods are compared with: dense, eager, and the bound that none can pass."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.kernels import eager_attention
from focuslab.hooks.attach import Handle
from focuslab.hooks.processors import SiteCall
from focuslab.methods.base import Method

NAMES = {
    "dense": {
        "method": "Dense",
        "for_sites": False,
        "does": "fused attention by the pipeline's own processors: the baseline of every claim",
        "color": "#000000",
        "marker": "o",
    },
    "eager": {
        "method": "Eager",
        "does": "unfused softmax(QK^T)V, which the paper's speed-ups were measured against",
        "everywhere": True,
        "color": "#D55E00",
        "marker": "X",
    },
    "naive": {
        "method": "Eager",
        "does": "the same as eager, by its older name",
        "everywhere": True,
        "color": "#D55E00",
        "marker": "X",
    },
    "bound": {
        "method": "Bound",
        "for_sites": False,
        "does": "an attention core that costs nothing: a limit, no method",
        "color": "#808080",
        "marker": "none",
    },
}


@dataclass(frozen=True)
class Dense(Method):
    """The pipeline as it is: fused attention by its own processors, nothing attached.

    Parameters
    ----------
    sites
        See `Method`; they change nothing.
    """

    sparse: ClassVar[bool] = False

    def attach(self, pipe) -> Handle:
        return Handle()

    def sites_at(self, pipe, seconds: float) -> dict[str, Method]:
        return {}


@dataclass(frozen=True)
class Eager(Method):
    """softmax(Q K^T) V with the whole map in memory, at every self-attention site unless some are named.

    Shown because the paper's speed-ups (Tan et al. 2024, arXiv:2407.10468) were measured against unfused attention.

    Parameters
    ----------
    sites
        See `Method`.
    """

    sites: Sequence[str] | str | None = field(default="*", kw_only=True)
    sparse: ClassVar[bool] = False

    def core(self, q: Tensor, k: Tensor, v: Tensor, call: SiteCall) -> Tensor:
        return eager_attention(q, k, v)


@dataclass(frozen=True)
class Bound(Method):
    """The sites with a core that costs nothing, its output V: no speed-up there can pass this. Not for listening.

    Parameters
    ----------
    sites
        See `Method`.
    """

    sparse: ClassVar[bool] = False

    def core(self, q: Tensor, k: Tensor, v: Tensor, call: SiteCall) -> Tensor:
        return v

    def density(self, grid: Grid) -> float:
        return 0.0
