"""What a capture is asked for, checked as far as no pipeline is needed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.checks import plain, settle, several, whole
from focuslab.errors import InputError
from focuslab.hooks.map_crops import parse_crop, parse_queries
from focuslab.hooks.recorder import STATISTICS
from focuslab.methods import LiteFocus, SampledFocus
from focuslab.methods.base import check_choice, check_count, check_seed
from focuslab.models.callables import what_it_does

DEFAULT_STEPS = 20
DEFAULT_CAPTURED = 5
"""Recorded steps where none are named: at five of 200, one may cost three plain ones for the run to cost 1.05."""
DEFAULT_FRACTIONS = (0.0, 0.05, 0.1, 0.2)
DEFAULT_COUNTS = ("250:32",)
ARRAY_BYTES = 200_000_000


@dataclass(frozen=True)
class CaptureConfig:
    """What `focuslab.capture_attention` records.

    A field of type Any takes several forms, which stand below, and holds one of them once it is checked.

    Attributes
    ----------
    seconds : float or iterable of float
        Lengths to denoise.
    steps : int
        Denoising steps.
    capture_steps : int or iterable of int, optional
        The steps that are recorded, from 0, each in its first UNet call. By default up to 5 of them, spread over the
        run, and not more than half.
    sites : str or iterable of str, optional
        Names, blocks or patterns. By default every self-attention.
    seed : int
        Of the first noise, of the sampled keys and of the sampled queries.
    cross_fractions : float or iterable of float
        LiteFocus is judged with each of them.
    cross_weight : float or str
        The weight that LiteFocus gives to sampled keys.
    key_counts : str or iterable of str
        "OWN:OTHER": so many sampled keys of the own mel row and of each other row, whose error `SampledFocus` is
        measured for beside the predicted one.
    statistics : str or iterable of str
        Some of the following, each for every site, head, recorded step and half of the guidance batch:

        * "mass": same-frequency mass of every query. Costs 1/F of the site's dense attention.
        * "recall" and "output_error": of LiteFocus with each of `cross_fractions` at this site alone, of every query,
          with the keys that it would sample. Each costs its own share of query-key pairs.
        * "entropy", "rows" (the F x F matrix of mass from query row to key row) and "lag" (mass by time lag, for the
          own row and for the others): exact for the queries of `sampled_times` time steps. They are computed unfused,
          so a query costs several times the dense one.
        * "sampling": how many keys `SampledFocus` needs, from the same queries, and its error with `key_counts`, of
          every query.
    sampled_times : int
        Time steps whose queries are sampled: one of each of as many equal parts of the time axis.
    labels : function or mapping of str to function, optional
        `grid -> (label of each key as LongTensor [N], how many)`. Mean mass by label is recorded.
    patterns : mapping of str to function, optional
        `(grid, query tokens [Q]) -> bool [Q, N]`: which keys belong to a pattern for each of these queries. The mass in
        it, and its share of all keys, are recorded.
    queries : iterable of str or tuple of int
        Tokens "t:f" or (t, f) of the finest grid among the sites. Their attention is kept whole at the sites with that
        grid.
    crops : str, Crop, or iterable of them
        "SITE:first-last" keeps the map of these tokens against themselves, "SITE:first-last:first-last" against those
        keys.
    array_bytes : int
        Most bytes that queries and crops may write in all.
    """

    seconds: Iterable[float] | float = (10.0,)
    steps: int = DEFAULT_STEPS
    capture_steps: Any = None
    sites: Iterable[str] | str | None = None
    seed: int = 0
    cross_fractions: Iterable[float] | float = DEFAULT_FRACTIONS
    cross_weight: float | str = 1.0
    key_counts: Iterable[str] | str = DEFAULT_COUNTS
    statistics: Any = STATISTICS
    sampled_times: int = 64
    labels: Any = None
    patterns: Any = None
    queries: Any = ()
    crops: Any = ()
    array_bytes: int = ARRAY_BYTES
    focus: dict[str, LiteFocus] = field(init=False, repr=False)
    """The methods that are judged, by the text of their cross_fraction."""
    cores: dict[str, SampledFocus] = field(init=False, repr=False)
    """Those that are judged by `key_counts`."""

    def __post_init__(self):
        steps = check_count("steps", self.steps)
        seed = check_seed(self.seed)
        settle(
            self,
            steps=steps,
            seed=seed,
            sampled_times=check_count("sampled_times", self.sampled_times),
            array_bytes=check_count("array_bytes", self.array_bytes),
            capture_steps=_check_capture_steps(self.capture_steps, steps),
            queries=parse_queries(self.queries),
            crops=[parse_crop(crop) for crop in several(self.crops)],
            labels=_by_name(self.labels, "labels"),
            patterns=_by_name(self.patterns, "patterns"),
            cores=_cores(several(self.key_counts), seed),
            focus=_focus(several(self.cross_fractions), self.cross_weight, seed),
        )
        something_else = bool(self.labels or self.patterns or self.queries or self.crops)
        settle(self, statistics=_check_statistics(self.statistics, something_else))

    def to_json(self) -> dict[str, Any]:
        """The parameters that run.json holds; lengths and sites are those of the pipeline."""
        return {
            **{name: getattr(self, name) for name in ("steps", "capture_steps", "sampled_times")},
            "statistics": list(self.statistics),
            "cross_fractions": [method.cross_fraction for method in self.focus.values()],
            "cross_weight": plain(self.cross_weight),
            **({"key_counts": list(self.cores)} if "sampling" in self.statistics else {}),
            "labels": _recorded(self.labels),
            "patterns": _recorded(self.patterns),
            "queries": [f"{t}:{f}" for t, f in self.queries],
            "crops": [str(crop) for crop in self.crops],
        }

    def try_on(self, grid: Grid) -> None:
        """Call labels and patterns for a grid, on the CPU. Raises `InputError` for what is not as it has to be."""
        on = f"on a grid of {grid.time} time steps x {grid.mel_rows} mel rows"
        for name, function in self.labels.items():
            made = function(grid)
            pair: tuple[Any, Any] = made if isinstance(made, tuple) and len(made) == 2 else (None, None)
            of_keys, count = pair
            if not _is_tensor(of_keys, torch.long, (grid.tokens,)):
                raise InputError(f"labels {name!r} must be a LongTensor of {grid.tokens} and a number {on}")
            if type(count) is not int or of_keys.min() < 0 or of_keys.max() >= count:
                raise InputError(f"labels {name!r} must be from 0 to below their number {count!r} {on}")
        tokens = torch.arange(min(2, grid.tokens))
        for name, function in self.patterns.items():
            if not _is_tensor(function(grid, tokens), torch.bool, (len(tokens), grid.tokens)):
                raise InputError(f"pattern {name!r} must be a bool tensor [queries, {grid.tokens} keys] {on}")


def default_capture_steps(steps: int) -> list[int]:
    """Up to `DEFAULT_CAPTURED` steps from the first to the last, and not more than half of them, so that as many are
    left to compare their time with."""
    count = min(DEFAULT_CAPTURED, (steps + 1) // 2)
    return [round(i * (steps - 1) / max(count - 1, 1)) for i in range(count)]


def _check_capture_steps(capture_steps: Iterable[int] | int | None, steps: int) -> list[int]:
    if capture_steps is None:
        return default_capture_steps(steps)
    expected = f"different steps from 0 to {steps - 1}, the last"
    capture_steps = [whole("capture_steps", step, expected, 0, steps - 1) for step in several(capture_steps)]
    if not capture_steps or len(set(capture_steps)) < len(capture_steps):
        raise InputError(f"capture_steps must be {expected}, not {capture_steps}")
    return sorted(capture_steps)


def _check_statistics(statistics: Iterable[str] | str, something_else: bool) -> tuple[str, ...]:
    statistics = tuple(dict.fromkeys(several(statistics)))
    for name in statistics:
        check_choice("a statistic", name, STATISTICS)
    if not (statistics or something_else):
        raise InputError(f"nothing would be recorded: name some statistics of {', '.join(STATISTICS)}")
    return statistics


def _focus(cross_fractions: Sequence[float], cross_weight: float | str, seed: int) -> dict[str, LiteFocus]:
    methods = [LiteFocus(cross_fraction=r, cross_weight=cross_weight, seed=seed) for r in cross_fractions]
    named = {f"{method.cross_fraction:g}": method for method in methods}
    if len(named) < len(methods):
        raise InputError(f"cross_fractions must be different numbers, not {list(cross_fractions)}")
    return named


def _cores(counts: Sequence[str], seed: int) -> dict[str, SampledFocus]:
    cores = {}
    for label in counts:
        parts = label.split(":") if isinstance(label, str) else []
        if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
            raise InputError(f"key_counts must be OWN:OTHER, such as 250:32, not {label!r}")
        own, other = map(int, parts)
        cores[f"{own}:{other}"] = SampledFocus(own, other, seed=seed)
    return cores


def _by_name(functions: Callable | Mapping[str, Callable] | None, name: str) -> dict[str, Any]:
    named = {name: functions} if callable(functions) else dict(functions or {})
    wrong = [key for key, function in named.items() if not isinstance(key, str) or not callable(function)]
    if wrong:
        raise InputError(f"{name} must be functions by name, but {wrong[0]!r} is {named[wrong[0]]!r}")
    return named


def _is_tensor(value: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> bool:
    return isinstance(value, Tensor) and value.dtype == dtype and value.shape == shape


def _recorded(functions: Mapping[str, Callable]) -> dict[str, str] | list:
    """Name -> what a function does; an empty list for none, as runs of earlier versions have it."""
    return {name: what_it_does(function) for name, function in sorted(functions.items())} or []
