"""Token Merging, the paper's baseline."""

import logging
import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from focuslab.attention.grid import Grid
from focuslab.attention.token_merging import match_tokens, merged_count, merges, sample_destinations
from focuslab.checks import number
from focuslab.hooks.processors import SiteCall, attend
from focuslab.methods.base import Method, check_seed

logger = logging.getLogger(__name__)

NAMES = {
    "tome": {
        "method": "TokenMerging",
        "does": "similar tokens averaged before attention, with the matching of tomesd",
        "papers": {"Bolya and Hoffman 2023": "https://arxiv.org/abs/2303.17604"},
        "candidates": [{}],
        "color": "#CC79A7",
        "marker": "v",
    }
}


@dataclass(frozen=True)
class TokenMerging(Method):
    """Similar tokens are averaged before a site and copied back after it.

    The matching and the default ratio are those of the published package `tomesd`. The whole attention module,
    projections included, runs on the merged tokens. Tokens are matched by the cosine of what enters the attention
    (`tomesd` uses the same vectors before their layer norm). A grid with one mel row or one time step cannot be
    matched: such a site stays dense, and a log line says so.

    Parameters
    ----------
    ratio
        Share of the tokens that is merged away, at least 0 and below 1 (0.75 is the most that matching can do).
    seed
        Of the destination tokens, sampled anew for every call.
    sites
        See `Method`.

    References
    ----------
    Bolya and Hoffman 2023, arXiv:2303.17604.
    """

    ratio: float = 0.5
    seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        below_1 = math.nextafter(1.0, 0.0)
        self._set(
            ratio=number("ratio", self.ratio, "a number of at least 0 and below 1", 0, below_1),
            seed=check_seed(self.seed),
        )

    def sample_keys(self, call: SiteCall) -> Tensor | None:
        if not merges(call.grid):
            _say_left_dense(call.site.name, call.grid)
            return None
        return sample_destinations(call.grid, call.generator(self.seed))

    def forward(self, attn: nn.Module, hidden_states: Tensor, call: SiteCall) -> Tensor:
        if not merges(call.grid):
            # A compiled graph cannot log; `sample_keys` has.
            if not torch.compiler.is_compiling():
                _say_left_dense(call.site.name, call.grid)
            return attend(attn, hidden_states, F.scaled_dot_product_attention)
        order = self.sampled_for(call, hidden_states.device)
        merge, unmerge = match_tokens(hidden_states, call.grid, self.ratio, order=order)
        return unmerge(attend(attn, merge(hidden_states), F.scaled_dot_product_attention))

    def density(self, grid: Grid) -> float:
        if not merges(grid):
            return 1.0
        return (merged_count(grid, self.ratio) / grid.tokens) ** 2


@cache
def _say_left_dense(site: str, grid: Grid) -> None:
    """Log it, once a process for each site and grid."""
    logger.warning(
        "Token Merging leaves %s as it is: its grid of %d time steps x %d mel rows cannot be matched",
        site,
        grid.time,
        grid.mel_rows,
    )
