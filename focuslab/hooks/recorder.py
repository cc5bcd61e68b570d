"""Records where attention goes in a pipeline that runs, and leaves what it computes as it was.

At a recorded step each site runs the dense kernel that returns its log-sum-exp, so the output is the one it gives
anyhow. Attention to the own mel row costs 1/F of that, and with its log-sum-exp gives same-frequency mass; sampled
keys, of which only those of other rows are computed, give recall, and merged with the own row LiteFocus' output. No
pass is made for one statistic alone but for a sample of queries (`SampledStatistics`). At every other step the site's
own processor runs, untouched.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from focuslab.attention.grid import Grid
from focuslab.attention.kernels import attention_with_lse
from focuslab.attention.keys import CrossKeys
from focuslab.attention.litefocus import merge_by_lse
from focuslab.attention.mass import mass_from_lse
from focuslab.attention.rows import cross_key_attention, own_row_attention
from focuslab.attention.statistics import (
    Pattern,
    SampledStatistics,
    blocks_of_map,
    precise_dtype,
    relative_error,
    sample_times,
    spread,
)
from focuslab.errors import FocuslabError
from focuslab.hooks.attach import Handle, attach
from focuslab.hooks.caches import refuse_cache
from focuslab.hooks.map_crops import MapCrop
from focuslab.hooks.processors import SiteCall, project_in, project_out

STATISTICS = ("mass", "entropy", "rows", "lag", "recall", "output_error", "sampling")
HALVES = ("unconditional", "conditional")
"""The guidance batch in its order."""

Labels = Callable[[Grid], tuple[Tensor, int]]
"""`grid -> (labels [N], n_labels)`: the label of each key, 0..n_labels-1."""


class Focus(Protocol):
    """A method that samples keys, such as `LiteFocus`."""

    @property
    def cross_fraction(self) -> float:
        """The share of keys that it samples."""

    def sampled_keys(self, call: SiteCall, device: torch.device) -> tuple[CrossKeys | None, float]:
        """The sampled keys, None for none, and the factor on their probabilities."""


class Core(Protocol):
    """A method whose error between the projections is measured, such as `SampledFocus`."""

    def core(self, q: Tensor, k: Tensor, v: Tensor, call: SiteCall) -> Tensor:
        """`[B, H, N, D]`."""


@dataclass(frozen=True)
class Request:
    """What is recorded of every call.

    statistics: some of `STATISTICS`. focus: name -> method, whose recall and output error are measured with the keys
    that it would sample in this very call. cores: name -> method, whose error stands beside the one predicted by the
    statistic "sampling". sampled_times: query time steps of which the statistics of a sample are
    made. labels: name -> a function that labels the keys of a grid, as (labels `[N]`, how many). patterns: name ->
    `Pattern`. pieces: site -> what is kept whole of it. seed: of the sample.
    """

    statistics: Collection[str] = STATISTICS
    focus: Mapping[str, Focus] = field(default_factory=dict)
    cores: Mapping[str, Core] = field(default_factory=dict)
    sampled_times: int = 64
    labels: Mapping[str, Labels] = field(default_factory=dict)
    patterns: Mapping[str, Pattern] = field(default_factory=dict)
    pieces: Mapping[str, Sequence[MapCrop]] = field(default_factory=dict)
    seed: int = 0

    def asks_for(self, *statistics: str) -> bool:
        return not set(statistics).isdisjoint(self.statistics)


@dataclass(frozen=True)
class SiteRecord:
    """What one call left, on the CPU; the first dimension of every tensor is the half, in the order of `HALVES`.

    values: of one number a head and more, by name; recall and output error are "recall/NAME", "output_error/NAME"
    (by head) and "site_error/NAME" (after the output projection), the error of sampled keys "sampled_error/NAME" (by
    head) and "sampled_error_all/NAME" (of all heads together, before that projection), the rest as in
    `SampledStatistics.measure`.
    pieces: as float32 `[2, H, ...]`.
    """

    call: SiteCall
    values: dict[str, Tensor]
    pieces: list[tuple[MapCrop, Tensor]]


class Recorder:
    """Records the self-attention of the guided batch in the UNet calls `steps` of a generation while attached.

    `take()` after a step gives what was recorded in it. Nothing waits for the device before that.
    """

    def __init__(self, request: Request, steps: Collection[int]):
        self.request = request
        self.steps = frozenset(steps)
        self._calls: list[tuple[SiteCall, torch.dtype, dict[str, Tensor], list[tuple[MapCrop, Tensor]]]] = []

    def attach(self, pipe, patterns: Sequence[str] | str) -> Handle:
        """Take over the sites of a pipeline (or UNet) that `patterns` name, as `attach` does.

        Raises `InputError` where a cache is attached, which skips sites.
        """
        refuse_cache(pipe, "recording attention")
        handle = attach(pipe, patterns, choose=self._at_call)
        handle.sees_all = True
        return handle

    def take(self) -> list[SiteRecord]:
        """What the calls since the last `take` left, in one copy to the CPU. Empty if none was recorded.

        Raises `FocuslabError` naming the site, step and dtype where anything of it is not finite.
        """
        calls, self._calls = self._calls, []
        if not calls:
            return []
        tensors = [tensor for _, _, values, _ in calls for tensor in values.values()]
        fetched = torch.cat([tensor.flatten() for tensor in tensors]).cpu()
        parts = iter(fetched.split([tensor.numel() for tensor in tensors]))
        records = []
        for call, dtype, values, pieces in calls:
            values = {name: next(parts).view(tensor.shape) for name, tensor in values.items()}
            _check_finite(call, dtype, values)
            records.append(SiteRecord(call, values, [(piece, x.cpu()) for piece, x in pieces]))
        return records

    def _at_call(self, call: SiteCall, frames: int) -> "Recorder | None":
        return self if call.step in self.steps else None

    def sample_keys(self, call: SiteCall) -> None:
        return None

    @torch.no_grad()
    def forward(self, attn: nn.Module, hidden_states: Tensor, call: SiteCall) -> Tensor:
        if hidden_states.shape[0] != len(HALVES):
            raise FocuslabError(
                f"{call.site.name} ran on a batch of {hidden_states.shape[0]}: attention is recorded of one guided "
                "generation, a batch of two"
            )
        q, k, v = project_in(attn, hidden_states)
        core, lse = attention_with_lse(q, k, v)
        out = project_out(attn, core)
        values = {"finite": torch.stack([_finite(x) for x in (q, k, v, lse)], dim=1).to(lse.dtype)}
        values |= self._over_all_queries(attn, (q, k, v), core, lse, out, call)
        values |= self._over_sampled_queries((q, k, v), core, call)
        if self.request.asks_for("sampling"):
            for name, method in self.request.cores.items():
                difference = core - method.core(q, k, v, call)
                values[f"sampled_error/{name}"] = relative_error(difference, core)
                values[f"sampled_error_all/{name}"] = relative_error(difference.flatten(1, 2), core.flatten(1, 2))
        pieces = [(piece, crop_of_map(q, k, piece)) for piece in self.request.pieces.get(call.site.name, ())]
        precise = precise_dtype(lse.device)
        self._calls.append((call, q.dtype, {name: x.to(precise) for name, x in values.items()}, pieces))
        return out

    def _over_all_queries(
        self, attn, qkv: tuple[Tensor, Tensor, Tensor], core, lse, out, call: SiteCall
    ) -> dict[str, Tensor]:
        request, mel_rows = self.request, call.grid.mel_rows
        of_focus = request.asks_for("recall", "output_error") and request.focus
        if not (request.asks_for("mass") or of_focus):
            return {}
        scale = qkv[0].shape[-1] ** -0.5
        own, own_lse = own_row_attention(*qkv, mel_rows, scale)
        values = {}
        if request.asks_for("mass"):
            values["mass"] = spread(mass_from_lse(own_lse, lse))
        for name, method in request.focus.items() if of_focus else ():
            focus, focus_lse = own, own_lse
            keys, weight = method.sampled_keys(call, own.device)
            if keys is not None and mel_rows > 1:
                cross, cross_lse = cross_key_attention(*qkv, mel_rows, keys, scale)
                focus_lse = torch.logaddexp(own_lse, cross_lse)
                focus = merge_by_lse(own, own_lse, cross, cross_lse, weight)
            if request.asks_for("recall"):
                values[f"recall/{name}"] = spread(mass_from_lse(focus_lse, lse))
            if request.asks_for("output_error"):
                values[f"output_error/{name}"] = relative_error(core - focus, core)
                values[f"site_error/{name}"] = relative_error(out - project_out(attn, focus), out)
        return values

    def _over_sampled_queries(
        self, qkv: tuple[Tensor, Tensor, Tensor], core: Tensor, call: SiteCall
    ) -> dict[str, Tensor]:
        q, k, v = qkv
        request, grid = self.request, call.grid
        if not (request.asks_for("entropy", "rows", "lag", "sampling") or request.labels or request.patterns):
            return {}
        times = sample_times(grid.time, request.sampled_times, call.generator(request.seed), q.device)
        statistics = SampledStatistics(
            grid,
            times,
            entropy=request.asks_for("entropy"),
            rows=request.asks_for("rows"),
            # A level halves the grid.
            lags=2**call.site.level if request.asks_for("lag") else None,
            labels={name: label(grid) for name, label in request.labels.items()},
            patterns=request.patterns,
            values=(v, core) if request.asks_for("sampling") else None,
        )
        return statistics.measure(q, k, q.shape[-1] ** -0.5)


def crop_of_map(q: Tensor, k: Tensor, piece: MapCrop) -> Tensor:
    """Exact probabilities of a piece of the map, as float32 `[B, H, *piece.shape]`."""
    rows = torch.arange(piece.rows.start, piece.rows.stop, device=q.device)
    keys = slice(piece.keys.start, piece.keys.stop)
    blocks = [block.p[..., keys] for block in blocks_of_map(q, k, rows, q.shape[-1] ** -0.5)]
    return torch.cat(blocks, dim=2).reshape(*q.shape[:2], *piece.shape).float()


def _finite(x: Tensor) -> Tensor:
    """Whether all is finite, for each half: `[B]`."""
    return x.isfinite().flatten(1).all(dim=1)


def _check_finite(call: SiteCall, dtype: torch.dtype, values: dict[str, Tensor]) -> None:
    for half, flags in zip(HALVES, values.pop("finite").tolist(), strict=True):
        wrong = [what for what, good in zip(("queries", "keys", "values", "scores"), flags, strict=True) if not good]
        if wrong:
            raise FocuslabError(
                f"{call.site.name} has NaN or infinity in its {wrong[0]}, in the {half} half at step {call.step}, in "
                f"{str(dtype).removeprefix('torch.')}: try another dtype"
            )
