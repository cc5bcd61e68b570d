"""A window of the training length around each query, and sampled keys of the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.sampled import sample_times
from focuslab.attention.window import ROWS, Windows, window_attention
from focuslab.checks import number, whole
from focuslab.errors import InputError
from focuslab.hooks.processors import SiteCall
from focuslab.methods.base import Method, check_choice, check_seed

NAMES = {
    "window": {
        "method": "WindowFocus",
        "does": "a window of the training length around each query, and sampled keys of the rest",
        "papers": {"vAttention": "https://arxiv.org/abs/2510.05688"},
        "everywhere": True,
        "color": "#44AA99",
        "marker": "d",
    },
    "decay": {
        "method": "WindowFocus",
        "parameters": {"decay": 0.9},
        "does": "the same, with the scores of the rest damped",
        "papers": {"UltraViCo": "https://arxiv.org/abs/2511.20123"},
        "everywhere": True,
        "color": "#117733",
        "marker": "X",
    },
}


@dataclass(frozen=True)
class WindowFocus(Method):
    """Each query attends to a window of the training length around it, and to keys sampled of the rest.

    Up to the training length, which the UNet's configuration names, it is dense attention. Beyond it the work is linear
    in the length. Sampled keys count for those that they stand for, so that without decay the whole estimates dense
    attention; with `rest_keys=0` a query sees no more keys than in training.

    Parameters
    ----------
    rest_keys
        Keys sampled of each mel row outside of the window. 0 leaves the rest out.
    decay
        Factor on the scores of the rest, from 0 to 1.
    rows
        "all": the window is of all mel rows. "own": of the query's own, and the other rows are sampled all along.
    seed
        Of the sampling, which never uses torch's global generator.
    sites
        See `Method`; every self-attention unless some are named.

    References
    ----------
    See `focuslab.attention.window.window_attention`.
    """

    rest_keys: int = 32
    decay: float = 1.0
    rows: str = "all"
    seed: int = 0
    sites: Sequence[str] | str | None = field(default="*", kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        check_choice("rows", self.rows, ROWS)
        self._set(
            rest_keys=whole("rest_keys", self.rest_keys, "a whole number of at least 0", 0),
            decay=float(number("decay", self.decay, "a number from 0 to 1", 0, 1)),
            seed=check_seed(self.seed),
        )

    def sample_keys(self, call: SiteCall) -> Tensor | None:
        windows = self._windows(call)
        if windows is None or not self.rest_keys:
            return None
        generator = call.generator(self.seed)
        sampled = [windows.sample(self.rest_keys, generator)]
        if self.rows == "own":
            sampled.append(sample_times(call.grid, self.rest_keys, generator))
        return torch.cat([times.flatten() for times in sampled])

    def core(self, q: Tensor, k: Tensor, v: Tensor, call: SiteCall) -> Tensor:
        windows = self._windows(call)
        if windows is None:
            return F.scaled_dot_product_attention(q, k, v)
        if not self.rest_keys:
            return window_attention(q, k, v, windows, rows=self.rows)
        sampled = self.sampled_for(call, q.device)
        mel_rows, count = call.grid.mel_rows, min(self.rest_keys, windows.rest)
        sizes = [len(windows.queries) * mel_rows * count]
        rest, others = sampled.tensor_split(sizes)
        return window_attention(
            q,
            k,
            v,
            windows,
            rows=self.rows,
            rest=rest.view(-1, mel_rows, count),
            others=others.view(mel_rows, -1) if self.rows == "own" else None,
            decay=self.decay,
        )

    def density_at(self, grid: Grid, training: Grid | None) -> float:
        if training is None or grid.time <= training.time:
            return 1.0
        windows = Windows(grid, training.time)
        count = min(self.rest_keys, windows.rest)
        keys = (windows.window + count) * grid.mel_rows
        if self.rows == "own":
            keys = windows.window + count + (grid.mel_rows - 1) * min(self.rest_keys, grid.time)
        # The last block computes some queries a second time.
        queries = len(windows.queries) * windows.block / grid.time
        return queries * keys / grid.tokens

    def _windows(self, call: SiteCall) -> Windows | None:
        """None up to the training length."""
        if call.training_grid is None:
            raise InputError(
                f"the length that {call.site.name} was trained at is not known: a window of it needs a UNet whose "
                "configuration has a sample_size"
            )
        return Windows(call.grid, call.training_grid.time) if call.grid.time > call.training_grid.time else None
