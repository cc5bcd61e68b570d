"""One call's attention folded into a few numbers a head: means and spreads over queries, never a map.

What log-sum-exps give at a small price (`mass`) is taken over every query. Entropy, the matrix of mel rows, mass
against time lag and on patterns of one's own would each take a further dense pass or more. They are exact too, but of a
sample of query time steps, whose probabilities are computed once, a block at a time, and serve them all.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.kernels import attention_with_lse
from focuslab.attention.keys import to_device
from focuslab.attention.mass import check_q_k, nan_where_not_finite, wide_dtype

BLOCK_BYTES = 16 * 2**20
"""Bytes of attention probabilities in one block; about three times as much is held at the peak."""

Pattern = Callable[[Grid, Tensor], Tensor]
"""`(grid, query tokens [Q]) -> bool [Q, N]`: which keys belong to the pattern, for each of these queries."""


def spread(x: Tensor) -> Tensor:
    """Mean and standard deviation over the queries of `[B, H, N]`, as `[B, H, 2]` in `precise_dtype`."""
    x = x.to(precise_dtype(x.device))
    return torch.stack([x.mean(dim=-1), x.std(dim=-1, correction=0)], dim=-1)


def squared_norm(x: Tensor) -> Tensor:
    """Sum of squares over the tokens of `[..., N, D]`, as `[...]` in `precise_dtype`."""
    token_norms = torch.linalg.vector_norm(x, dim=-1, dtype=torch.promote_types(x.dtype, torch.float32))
    return token_norms.to(precise_dtype(x.device)).square().sum(dim=-1)


def relative_error(difference: Tensor, whole: Tensor) -> Tensor:
    """`‖difference‖ / ‖whole‖` over the tokens of two `[..., N, D]`, as `[...]`; 0 where both are 0."""
    squared = squared_norm(difference)
    smallest = torch.finfo(squared.dtype).tiny
    return (squared / squared_norm(whole).clamp(min=smallest)).sqrt()


def sample_times(time: int, count: int, generator: torch.Generator, device: torch.device | str = "cpu") -> Tensor:
    """`count` of the time steps 0..time-1, ascending: one drawn from each of `count` equal stretches, or all of them
    where there are no more.

    Not every n-th: in a UNet that halves and doubles its grid, even time steps differ from odd ones.
    """
    if count >= time:
        return torch.arange(time, device=device)
    edges = torch.arange(count + 1, device="cpu") * time // count
    first, width = edges[:-1], edges.diff()
    places = torch.rand(count, generator=generator, dtype=torch.float32, device="cpu")
    return to_device(first + (places * width).long(), device)


class Block(NamedTuple):
    """Attention of some queries: `p = exp(scores) / total`, with p and scores `[B, H, Q, N]` and total `[B, H, Q]`."""

    p: Tensor
    scores: Tensor
    total: Tensor

    def entropy(self) -> Tensor:
        """In nats, `[B, H, Q]`."""
        mean_score = torch.einsum("bhqn,bhqn->bhq", self.p, self.scores)
        return (self.total.log() - mean_score).clamp(min=0)


def blocks_of_map(q: Tensor, k: Tensor, tokens: Tensor, scale: float, multiple: int = 1) -> Iterator[Block]:
    """Exact attention of the queries `tokens` to all keys, in blocks of consecutive queries.

    float32, or float64 for float64. Blocks are of `multiple` queries, or several times that up to `BLOCK_BYTES`.
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    keys = k.to(wide).flatten(0, 1).transpose(1, 2)
    query_bytes = keys.shape[0] * keys.shape[2] * wide.itemsize
    queries = max(1, BLOCK_BYTES // (query_bytes * multiple)) * multiple
    for block in tokens.split(queries):
        scores = (q[:, :, block].to(wide) * scale).flatten(0, 1) @ keys
        scores -= scores.amax(dim=-1, keepdim=True)
        p = scores.exp()
        # Not log_softmax: on the CPU its total of 500 equal terms was off by 6e-6, `sum` adds them up in pairs.
        total = p.sum(dim=-1)
        p /= total[..., None]
        yield Block(*(x.unflatten(0, q.shape[:2]) for x in (p, scores, total)))


def lag_bins(time: int, frames: int) -> int:
    """How many bins the lags of `time` time steps fall into, each of `frames` time steps of the finest grid.

    Bin 0 is lag 0; bin i is from 2^(i-1) up to below 2^i frames.
    """
    return ((time - 1) * frames).bit_length() + 1


class SampledStatistics:
    """Statistics of the queries at sampled time steps (all mel rows of each), as running sums over blocks.

    times: LongTensor `[S]`. Which statistics are made: `entropy`; `rows`, the mass from query row to key row; `lags`,
    the time steps of the finest grid in one of this grid's, for mass against time lag in the bins of `lag_bins`;
    `labels`, name -> (the label of each key `[N]`, how many labels); `patterns`, name -> `Pattern`.
    """

    def __init__(
        self,
        grid: Grid,
        times: Tensor,
        *,
        entropy: bool = False,
        rows: bool = False,
        lags: int | None = None,
        labels: Mapping[str, tuple[Tensor, int]] | None = None,
        patterns: Mapping[str, Pattern] | None = None,
    ):
        self.grid = grid
        self.times = times
        self.rows = rows
        self.lags = lags
        self.labels = dict(labels or {})
        self.patterns = dict(patterns or {})
        self._with_entropy = entropy
        self._entropy: list[Tensor] = []
        self._in_pattern: dict[str, list[Tensor]] = {name: [] for name in self.patterns}
        # Sums, which the first addition makes tensors.
        self._pattern_keys: dict[str, Any] = dict.fromkeys(self.patterns, 0)
        self._row_to_key: Any = 0
        self._lag_own: Any = 0
        self._lag_all: Any = 0
        self._lag_keys: Any = 0

    def measure(self, q: Tensor, k: Tensor, scale: float) -> dict[str, Tensor]:
        """The statistics of q and k `[B, H, N, D]`, in `precise_dtype`:

        * entropy `[B, H, 2]`, nats: mean and standard deviation over the sampled queries
        * rows `[B, H, F, F]`: mean mass from query row (first) to key row (second)
        * lag_own, lag_other `[B, H, bins]`: mean mass on the own mel row and on the others, by time lag;
          lag_chance `[B, bins]`: the share of all time steps that has this lag, so that uniform attention gives own
          `lag_chance / F` and other `lag_chance * (1 - 1 / F)`
        * labels/NAME `[B, H, n]`: mean mass on each label
        * patterns/NAME `[B, H, 2]`: mean and standard deviation of the mass in the pattern; patterns_chance/NAME `[B]`:
          the share of keys in it, which is the mass under uniform attention
        """
        mel_rows = self.grid.mel_rows
        tokens = (self.times[:, None] * mel_rows + torch.arange(mel_rows, device=self.times.device)).flatten()
        start = 0
        for block in blocks_of_map(q, k, tokens, scale, multiple=mel_rows):
            queries = block.p.shape[2]
            self._add(block, tokens[start : start + queries])
            start += queries
        return self._result()

    def _add(self, block: Block, tokens: Tensor) -> None:
        p = block.p
        if self._with_entropy:
            self._entropy.append(block.entropy())
        precise = precise_dtype(p.device)
        by_time = p.unflatten(2, (-1, self.grid.mel_rows))
        if self.rows or self.labels:
            self._row_to_key = self._row_to_key + by_time.sum(dim=2).to(precise)
        if self.lags is not None:
            self._add_lags(by_time.unflatten(4, (-1, self.grid.mel_rows)), tokens[:: self.grid.mel_rows], self.lags)
        for name, pattern in self.patterns.items():
            members = pattern(self.grid, tokens)
            self._in_pattern[name].append(torch.einsum("bhqn,qn->bhq", p, members.to(p.dtype)))
            self._pattern_keys[name] = self._pattern_keys[name] + members.sum()

    def _add_lags(self, p: Tensor, first_tokens: Tensor, lags: int) -> None:
        """p: `[B, H, S, F, T, F]`; first_tokens: `[S]`, the token of mel row 0 at each of these time steps."""
        time = torch.arange(self.grid.time, device=p.device)
        lag = (first_tokens[:, None] // self.grid.mel_rows - time).abs() * lags
        edge = 1 << torch.arange(lag_bins(self.grid.time, lags), device=p.device)
        in_bin = (lag[..., None] < edge) & (lag[..., None] >= edge // 2)
        in_bin = in_bin.flatten(0, 1).to(p.dtype)
        precise = precise_dtype(p.device)
        mass = p.sum(dim=3).sum(dim=-1), p.diagonal(dim1=3, dim2=5).sum(dim=-1)
        all_rows, own_row = ((m.flatten(2) @ in_bin).to(precise) for m in mass)
        self._lag_all, self._lag_own = self._lag_all + all_rows, self._lag_own + own_row
        self._lag_keys = self._lag_keys + in_bin.sum(dim=0).to(precise)

    def _result(self) -> dict[str, Tensor]:
        grid, times = self.grid, self.times.numel()
        queries = times * grid.mel_rows
        result = {}
        if self._with_entropy:
            result["entropy"] = spread(torch.cat(self._entropy, dim=-1))
        if self.rows:
            result["rows"] = self._row_to_key.unflatten(-1, (-1, grid.mel_rows)).sum(dim=-2) / times
        if self.lags is not None:
            result["lag_own"] = self._lag_own / queries
            result["lag_other"] = (self._lag_all - self._lag_own).clamp(min=0) / queries
            result["lag_chance"] = (self._lag_keys / (times * grid.time)).expand(self._lag_own.shape[0], -1)
        for name, (labels, n_labels) in self.labels.items():
            by_key = self._row_to_key.sum(dim=2) / queries
            mass = by_key.new_zeros(*by_key.shape[:2], n_labels)
            result[f"labels/{name}"] = mass.index_add(2, labels.to(by_key.device), by_key)
        for name, blocks in self._in_pattern.items():
            result[f"patterns/{name}"] = spread(torch.cat(blocks, dim=-1))
            chance = self._pattern_keys[name].to(precise_dtype(self.times.device)) / (queries * grid.tokens)
            result[f"patterns_chance/{name}"] = chance.expand(blocks[0].shape[0])
        return result


@torch.no_grad()
def attention_entropy(q: Tensor, k: Tensor, *, scale: float | None = None) -> Tensor:
    """Entropy of each query's attention in nats, `lse - scale * q . (softmax(Q K^T) K)`. No gradient.

    It is computed in float64 where the device has it, which takes the time of several dense passes. Where a rounding of
    1e-4 does no harm, `entropy_from_lse` takes a dense pass in float32.

    Parameters
    ----------
    q, k
        `[B, H, N, D]`.
    scale
        Factor on the scores, 1/sqrt(D) by default.

    Returns
    -------
    Tensor
        `[B, H, N]` from 0 to log N, in the dtype of `same_frequency_mass`.
    """
    scale = check_q_k(q, k, 1, scale)
    wide = wide_dtype(q)
    # A log-sum-exp and a mean score, each rounded by itself: in float32 off by some 1e-5 from scores of 8 on.
    precise = precise_dtype(q.device)
    precise_q, precise_k = q.to(precise), k.to(precise)
    mean_key, lse = attention_with_lse(precise_q, precise_k, precise_k, scale=scale)
    return entropy_from_lse(precise_q, mean_key, lse, scale).to(wide) + nan_where_not_finite(q, k)


def entropy_from_lse(q: Tensor, mean_key: Tensor, lse: Tensor, scale: float) -> Tensor:
    """Entropy `[B, H, N]` in nats from the mean key `softmax(Q K^T) K` `[B, H, N, D]` and the log-sum-exp."""
    mean_score = scale * (q.to(lse.dtype) * mean_key.to(lse.dtype)).sum(dim=-1)
    return (lse - mean_score).clamp(0, math.log(q.shape[2]))


def precise_dtype(device: torch.device) -> torch.dtype:
    """float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
