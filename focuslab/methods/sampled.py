"""A fixed number of sampled keys of every mel row, the own one among them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.sampled import SampledKeys, attention_to_keys, sample_keys
from focuslab.hooks.processors import SiteCall
from focuslab.methods.base import Method, check_count, check_seed

NAMES = {
    "sampled": {
        "method": "SampledFocus",
        "does": "a fixed number of sampled keys of the own mel row and of each other one: linear in the length",
        "papers": {
            "HyperAttention": "https://arxiv.org/abs/2310.05869",
            "vAttention": "https://arxiv.org/abs/2510.05688",
        },
        "candidates": [
            {"own_keys": 125, "other_keys": 16},
            {},
            {"own_keys": 500, "other_keys": 128},
        ],
        "everywhere": True,
        "color": "#882255",
        "marker": "*",
    },
}


@dataclass(frozen=True)
class SampledFocus(Method):
    """Each query attends to keys sampled anew for every call: some of its own mel row and some of each other row.

    A key is weighted by the number of keys that it stands for, so that the sample estimates dense attention. Its error
    follows the number of keys, hardly the length of the sound: a fixed number makes attention linear in the length.

    Parameters
    ----------
    own_keys
        Keys of a query's own mel row. A row that has no more is taken whole.
    other_keys
        Keys of each other mel row.
    seed
        Of the sampling, which never uses torch's global generator.
    sites
        See `Method`; every self-attention unless some are named.

    References
    ----------
    See `focuslab.attention.sampled_attention`.
    """

    own_keys: int = 250
    other_keys: int = 32
    seed: int = 0
    sites: Sequence[str] | str | None = field(default="*", kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        self._set(
            own_keys=check_count("own_keys", self.own_keys),
            other_keys=check_count("other_keys", self.other_keys),
            seed=check_seed(self.seed),
        )

    def sample_keys(self, call: SiteCall) -> Tensor | None:
        if self._whole(call.grid):
            return None
        return sample_keys(call.grid, self.own_keys, self.other_keys, call.generator(self.seed)).index

    def core(self, q: Tensor, k: Tensor, v: Tensor, call: SiteCall) -> Tensor:
        grid = call.grid
        if self._whole(grid):
            return F.scaled_dot_product_attention(q, k, v)
        own, other = self._counts(grid)
        return attention_to_keys(q, k, v, grid.mel_rows, SampledKeys(self.sampled_for(call, q.device), own, other))

    def density(self, grid: Grid) -> float:
        own, other = self._counts(grid)
        return (own + (grid.mel_rows - 1) * other) / grid.tokens

    def _counts(self, grid: Grid) -> tuple[int, int]:
        """Keys of the own row and of each other row on a grid."""
        return min(self.own_keys, grid.time), min(self.other_keys, grid.time)

    def _whole(self, grid: Grid) -> bool:
        return self.density(grid) == 1
