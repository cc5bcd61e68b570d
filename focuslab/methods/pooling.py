"""The own mel row exactly, the others as means over stretches of time."""

from dataclasses import dataclass

from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.pooling import pooled_attention, stretch_count
from focuslab.hooks.processors import SiteCall
from focuslab.methods.base import Method, check_count

NAMES = {
    "pooled": {
        "method": "PooledFocus",
        "does": "the own mel row exactly, the other rows as means over time",
        "papers": {"PISA": "https://arxiv.org/abs/2602.01077", "SVG-EAR": "https://arxiv.org/abs/2603.08982"},
        "candidates": [{"stretch": 50}, {"stretch": 20}, {"stretch": 10}, {"stretch": 5}],
    }
}


@dataclass(frozen=True)
class PooledFocus(Method):
    """Each query attends to its own mel row, and to the mean key of each pool of time steps of the other rows.

    It computes as many pairs as LiteFocus with r = 1 / stretch, and nothing is sampled.

    Parameters
    ----------
    stretch
        Pool size: time steps whose keys, and values, become one, which weighs as much as they are many. 1 is dense.
    sites
        See `Method`.

    References
    ----------
    PISA, arXiv:2602.01077; SVG-EAR, arXiv:2603.08982.
    """

    stretch: int = 10

    def __post_init__(self):
        super().__post_init__()
        self._set(stretch=check_count("stretch", self.stretch))

    def core(self, q: Tensor, k: Tensor, v: Tensor, call: SiteCall) -> Tensor:
        return pooled_attention(q, k, v, call.grid.mel_rows, self.stretch)

    def density(self, grid: Grid) -> float:
        return grid.chance + stretch_count(grid, self.stretch) / grid.time * (1 - grid.chance)
