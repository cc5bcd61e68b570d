"""LiteFocus, and with its parameters the paper's Tables 2 and 3."""

import math
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.keys import SAMPLINGS, CrossKeys, cross_key_count, keys_of_other_rows, sample_cross_keys
from focuslab.attention.litefocus import OVERLAPS, litefocus_attention
from focuslab.checks import number, switch
from focuslab.errors import InputError
from focuslab.hooks.processors import SiteCall
from focuslab.methods.base import Method, check_choice, check_seed
from focuslab.methods.log_n_scaling import length_scale
from focuslab.runs.method_spec import PAPER_FRACTION

NAMES = {
    "litefocus": {
        "method": "LiteFocus",
        "does": "a query's own mel row, and a fraction r of keys sampled from all rows",
        "papers": {
            "Tan et al. 2024": "https://arxiv.org/abs/2407.10468",
            "the weight: HyperAttention": "https://arxiv.org/abs/2310.05869",
            "ToMe": "https://arxiv.org/abs/2210.09461",
        },
        "color": "#0072B2",
        "marker": "s",
    },
    "same-frequency": {
        "method": "LiteFocus",
        "parameters": {"cross_fraction": 0},
        "does": "LiteFocus with the own mel row alone: Table 3 of its paper",
        "color": "#009E73",
        "marker": "^",
    },
    "cross-frequency": {
        "method": "LiteFocus",
        "parameters": {"same_frequency": False},
        "candidates": [{}],
        "does": "LiteFocus with the sampled keys alone: Table 2 of its paper",
        "color": "#E69F00",
        "marker": "D",
    },
}


@dataclass(frozen=True)
class LiteFocus(Method):
    """Each query attends to its own mel row and to keys sampled anew for every call.

    Parameters
    ----------
    cross_fraction
        The paper's r, the share of all N keys that is sampled, from 0 (Table 3, only the own row) to 1.
    same_frequency
        Whether the own mel row is attended to. False is Table 2 (only sampled keys).
    sampling
        "stratified" samples equally from every mel row, which needs no mask. "uniform" is the paper's law.
    overlap
        "once" counts a key in both sets once (Eq. 4), "twice" as the authors' published code does.
    cross_weight
        Factor on exp(score) of sampled keys outside the own row. 1.0 is the paper. "unbiased" is 1/r, with r the share
        really sampled, so that sampled keys stand for all those of their rows.
    length_scale
        Whether scores are multiplied by log N / log N_train beyond the training length, as by `LengthScale`. N counts
        all tokens, since the focus set stands for them.
    seed
        Of the sampling, which never uses torch's global generator.
    sites
        See `Method`.

    References
    ----------
    Tan et al. 2024, arXiv:2407.10468. The unbiased weight: HyperAttention, arXiv:2310.05869, and the proportional
    attention of ToMe, arXiv:2210.09461.
    """

    cross_fraction: float = PAPER_FRACTION
    same_frequency: bool = True
    sampling: str = "stratified"
    overlap: str = "once"
    cross_weight: float | str = 1.0
    length_scale: bool = False
    seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        check_choice("sampling", self.sampling, SAMPLINGS)
        check_choice("overlap", self.overlap, OVERLAPS)
        self._set(
            cross_fraction=number("cross_fraction", self.cross_fraction, "a fraction from 0 to 1", 0, 1),
            same_frequency=switch("same_frequency", self.same_frequency),
            length_scale=switch("length_scale", self.length_scale),
            seed=check_seed(self.seed),
        )
        if not (isinstance(self.cross_weight, str) and self.cross_weight == "unbiased"):
            expected = 'a positive number or "unbiased"'
            weight = number("cross_weight", self.cross_weight, expected, math.ulp(0.0), sys.float_info.max)
            self._set(cross_weight=weight)
        if self.overlap == "twice" and self.cross_weight != 1:
            raise InputError("overlap='twice' is the published code, which has no cross_weight: leave it at 1.0")
        if not self.same_frequency and self.cross_fraction == 0:
            raise InputError("same_frequency=False with cross_fraction=0 leaves no keys to attend to")

    def core(self, q: Tensor, k: Tensor, v: Tensor, call: SiteCall) -> Tensor:
        keys, weight = self.sampled_keys(call, q.device)
        return litefocus_attention(
            q,
            k,
            v,
            call.grid.mel_rows,
            same_frequency=self.same_frequency,
            cross_keys=keys,
            overlap=self.overlap,
            cross_weight=weight,
            scale=length_scale(call, q.shape[-1]) if self.length_scale else None,
        )

    def sample_keys(self, call: SiteCall) -> Tensor | None:
        count = self._count(call.grid)
        if not count:
            return None
        keys = sample_cross_keys(call.grid, count, self.sampling, call.generator(self.seed))
        if keys.per_row is None:
            return keys.index
        return torch.cat([keys.index, keys_of_other_rows(keys, call.grid.mel_rows).flatten()])

    def sampled_keys(self, call: SiteCall, device: torch.device) -> tuple[CrossKeys | None, float]:
        """The keys sampled for this call, None where that is none, and their weight."""
        count, mel_rows = self._count(call.grid), call.grid.mel_rows
        weight = self._weight(call.grid, count)
        if not count:
            return None, weight
        sampled = self.sampled_for(call, device)
        if self.sampling == "uniform":
            return CrossKeys(sampled), weight
        index, others = sampled.split([count, sampled.numel() - count])
        return CrossKeys(index, count // mel_rows, others.view(-1, mel_rows)), weight

    def density(self, grid: Grid) -> float:
        sampled = self._count(grid) / grid.tokens
        if not self.same_frequency:
            return sampled
        if self.overlap == "twice":
            return grid.chance + sampled
        return grid.chance + sampled * (1 - grid.chance)

    def _count(self, grid: Grid) -> int:
        count = cross_key_count(grid, self.cross_fraction, self.sampling)
        if count == 0 and not self.same_frequency:
            return grid.mel_rows if self.sampling == "stratified" else 1
        return count

    def _weight(self, grid: Grid, count: int) -> float:
        if not isinstance(self.cross_weight, str):
            return self.cross_weight
        # Without the own row all keys of the focus set were sampled with the same probability: they stand for each
        # other.
        return grid.tokens / count if count and self.same_frequency else 1.0
