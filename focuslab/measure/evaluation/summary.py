"""From the records and embeddings of an evaluation to its table: one length and method after the other.

What is held of an item are a few numbers in arrays. Embeddings are read one by one into running moments; only the
kernel distance holds a row a clip, of one length and method at a time.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from focuslab.measure.evaluation.columns import TIMES, Columns
from focuslab.measure.evaluation.footnotes import footnotes
from focuslab.measure.evaluation.items import DENSE, Work, sitting_of
from focuslab.measure.evaluation.metrics import FEWEST as FEWEST_CLIPS
from focuslab.measure.evaluation.metrics import METRICS
from focuslab.measure.evaluation.scorer import NAN, SCORED, SILENT
from focuslab.measure.evaluation.shards import ShardReader
from focuslab.metrics import Moments, frechet_by_group, kernel_by_row, kl_by_pair, paired_kernel_by_row, posteriors
from focuslab.runs import EVALUATION_SCHEMA, RunInfo
from focuslab.stats.intervals import FEWEST, bootstrap_interval

GROUPS = 20
"""Groups of captions that the interval of a Frechet distance is made of."""
KERNEL_GAMMA = 1.0
"""For rows of length 1, as CLAP's are."""
_ROWS = 256
"""Rows that are added to running moments at a time."""
_RATIOS = ("rms_ratio", "centroid_ratio")
_BACK = {**dict.fromkeys(_RATIOS, math.exp), "frechet": lambda distance: max(distance, 0.0)}
"""Of a squared distance an interval that is symmetrical may begin below the least there can be."""


def evaluation_summary(info: RunInfo, records: Iterable[dict[str, Any]], work: Work, stored: ShardReader) -> dict:
    """The content of summary.json (see the design); rows of fewer captions than others have a smaller `n`."""
    columns = Columns(work, sitting_of(info.parameters["methods"]))
    for record in records:
        columns.add(record)
    table = _Table(info, columns, stored)
    cells = [(seconds, method) for seconds in work.seconds for method in work.methods]
    rows = [table.row(*cell) for cell in cells if len(columns.made(work.numbers(*cell)))]
    summary = {
        "schema": EVALUATION_SCHEMA,
        "rows": rows,
        "metrics": {name: table.description(name) for name in table.metrics},
        "reference": table.reference_facts(),
        "items": {
            "total": len(columns.made()),
            **{status: columns.count(status) for status in (SCORED, NAN, SILENT)},
        },
        "scorer_is_own": bool(info.parameters["embedders"].get("clap", {}).get("own")),
        "scoring_over_generating": float(
            np.nansum(columns.times["scoring_seconds"]) / np.nansum(columns.times["generation_seconds"])
        ),
    }
    return {**summary, "footnotes": footnotes(info, summary)}


@dataclass(frozen=True)
class _Values:
    """One value a unit that was drawn independently (a caption, or a group of them), whose mean is `estimate`.

    None where there are too few units for an interval. count: clips behind it.
    """

    estimate: float | None
    units: np.ndarray | None
    count: int

    def to_json(self, back: Callable[[float], float] = float) -> dict[str, Any]:
        """back: from what the mean is of to the metric."""
        low = high = None
        if self.units is not None and len(self.units) >= FEWEST:
            low, high = map(back, bootstrap_interval(self.units))
        return {
            "value": None if self.estimate is None else back(self.estimate),
            "low": low,
            "high": high,
            "n": self.count,
        }

    def __sub__(self, other: "_Values") -> "_Values":
        if self.estimate is None or other.estimate is None:
            return _Values(None, None, self.count)
        units = None
        if self.units is not None and other.units is not None and len(self.units) == len(other.units):
            units = self.units - other.units
        return _Values(self.estimate - other.estimate, units, self.count)


_NOTHING = {"value": None, "low": None, "high": None, "n": 0}


class _Table:
    """Rows of numbers out of columns; each distribution is read from disk when its row is made."""

    def __init__(self, info: RunInfo, columns: Columns, stored: ShardReader):
        self.parameters = info.parameters
        self.columns = columns
        self.work = columns.work
        self.stored = stored
        self.metrics: tuple[str, ...] = tuple(info.parameters["metrics"])
        self.shard_names = list(columns.shards)
        recordings = info.parameters["reference"]
        self.recordings = [i for i, r in sorted(columns.reference.items()) if r["status"] == SCORED]
        paired = recordings["paired"] if recordings else [None] * len(self.work.captions)
        there = set(self.recordings)
        self.paired = [index if index in there else None for index in paired]
        self._moments_of_reference: Moments | None = None
        self._of_dense: dict[Any, _Values] = {}

    def against(self, name: str) -> str | None:
        """What a metric is compared with here: "directory", "dense" or nothing."""
        against = METRICS[name].against
        if against != "reference":
            return against
        return DENSE if self.parameters["reference"] is None else "directory"

    def lacking(self, name: str, method: str) -> str | None:
        """Why a metric cannot be measured of a method here; None where it can be."""
        against = self.against(name)
        if against == DENSE and DENSE not in self.work.methods:
            return "the run has no dense clips to compare with"
        if against == DENSE and method == DENSE:
            return "dense is what others are compared with"
        if against == "directory" and METRICS[name].embedder == "ast":
            there = any(index is not None for index in self.paired)
            return None if there else "no caption names a recording of the reference that could be scored"
        if against == "directory" and len(self.recordings) < 2:
            return f"{len(self.recordings)} recordings of the reference could be scored: expected 2 or more"
        return None

    def description(self, name: str) -> dict[str, Any]:
        metric = METRICS[name]
        embedder = self.parameters["embedders"].get(metric.embedder, {})
        return {
            "title": metric.title,
            "unit": metric.unit,
            "better": metric.better,
            "embedder": embedder.get("name", metric.embedder),
            "checkpoint": embedder.get("checkpoint"),
            "protocol": _protocol(name, embedder.get("protocol"), self.against(name)),
            "reference": self.against(name),
        }

    def row(self, seconds: float, method: str) -> dict[str, Any]:
        items = self.columns.made(self.work.numbers(seconds, method))
        scored = self.columns.scored(items)
        return {
            "seconds": seconds,
            "method": method,
            "n": len(scored),
            "excluded": {status: self.columns.count(status, items) for status in (NAN, SILENT)},
            **self._speed(items),
            **{name: float(np.nansum(self.columns.times[name][items])) for name in TIMES[1:]},
            "metrics": {name: self._metric(name, scored, seconds, method) for name in self.metrics},
        }

    def reference_facts(self) -> dict[str, Any] | None:
        given = self.parameters["reference"]
        if given is None:
            return None
        found = self.columns.reference.values()
        late = [f"{r['file']} ({r['reason']})" for r in found if r["status"] == "unreadable"]
        return {
            "directory": given["directory"],
            "files": len(given["files"]) + len(given["unreadable"]),
            "scored": len(self.recordings),
            "resampled": sum(bool(r.get("resampled")) for r in found),
            "unreadable": [*given["unreadable"], *late],
            "silent": sum(r["status"] == SILENT for r in found),
            "paired": sum(index is not None for index in self.paired),
        }

    def _speed(self, items: np.ndarray) -> dict[str, float | None]:
        taken = self.columns.times["step_seconds"][items]
        row = {
            "step_seconds_median": float(np.median(taken)),
            "step_seconds_p10": float(np.percentile(taken, 10)),
            "step_seconds_p90": float(np.percentile(taken, 90)),
            **dict.fromkeys(("speedup_vs_dense", "speedup_low", "speedup_high")),
        }
        # Both numbers of a pair were taken one after the other, by the same process.
        ratios = self.columns.speedups(items)
        if len(ratios):
            row["speedup_vs_dense"] = float(np.median(ratios))
        if len(ratios) >= FEWEST:
            row["speedup_low"], row["speedup_high"] = bootstrap_interval(ratios, np.median)
        return row

    def _metric(self, name: str, scored: np.ndarray, seconds: float, method: str) -> dict[str, Any]:
        against = self.against(name)
        about = {key: self.description(name)[key] for key in ("embedder", "checkpoint", "protocol", "reference")}
        lacking = self.lacking(name, method)
        if lacking is not None:
            return {**_NOTHING, **about, "minus_dense": None, "reason": lacking}
        of = self._estimator(name, seconds)
        found = of(scored)
        if found.estimate is None:
            reason = f"only {found.count} clips can be measured: expected {FEWEST_CLIPS.get(name, 1)} or more"
            return {**_NOTHING, **about, "n": found.count, "minus_dense": None, "reason": reason}
        if method == DENSE:
            self._of_dense[name, seconds, scored.tobytes()] = found
        minus_dense = None
        if against != DENSE and method != DENSE and DENSE in self.work.methods:
            minus_dense = self._minus_dense(name, of, found, scored, seconds)
        return {**found.to_json(_BACK.get(name, float)), **about, "minus_dense": minus_dense}

    def _minus_dense(self, name: str, of, found: _Values, scored: np.ndarray, seconds: float) -> dict[str, Any]:
        dense = self.columns.scored(self.work.numbers(seconds, DENSE))
        groups = len(self.work.methods)
        both = np.intersect1d(scored // groups, dense // groups)
        mine, of_dense = (items[np.isin(items // groups, both)] for items in (scored, dense))
        if len(mine) < len(scored):
            found = of(mine)
        key = name, seconds, of_dense.tobytes()
        if key not in self._of_dense:
            self._of_dense[key] = of(of_dense)
        return (found - self._of_dense[key]).to_json()

    def _estimator(self, name: str, seconds: float) -> Callable[[np.ndarray], _Values]:
        if name == "frechet":
            return lambda items: self._frechet(items, seconds)
        if name == "kernel":
            return lambda items: self._kernel(items, seconds)
        if METRICS[name].embedder == "ast":
            return lambda items: self._divergence(items, seconds, name.removeprefix("kl_"))
        return lambda items: self._mean(items, self._column(name, items))

    def _column(self, name: str, items: np.ndarray) -> np.ndarray:
        values = self.columns.values[name][items]
        return np.log(values) if name in _RATIOS else values

    def _mean(self, items: np.ndarray, values: np.ndarray) -> _Values:
        """The mean over captions of each one's mean over its seeds; values that are NaN or infinite are left out."""
        there = np.isfinite(values)
        if not there.any():
            return _Values(None, None, 0)
        units = _by_caption(self._captions(items[there]), values[there])
        return _Values(float(units.mean()), units, int(there.sum()))

    def _captions(self, items: np.ndarray) -> np.ndarray:
        return items // len(self.work.methods) % len(self.work.captions)

    def _windows(self, item: int, kind: str = "clap") -> np.ndarray:
        return self.stored.read(self.shard_names[self.columns.shard[item]], int(self.columns.place[item]), kind)

    def _window(self, item: int, turn: int) -> np.ndarray:
        """One window of a clip; in turn all of them, and at any turn other ones in neighbouring clips."""
        windows = self._windows(item)
        return windows[(item // len(self.work.methods) + turn) % len(windows)]

    def _turns(self, items: np.ndarray) -> range:
        return range(len(self._windows(items[0])))

    def _frechet(self, items: np.ndarray, seconds: float) -> _Values:
        """One window a clip, so that every length has as many rows; the mean over all choices of it."""
        if len(items) < 2:
            return _Values(None, None, len(items))
        groups = self._captions(items) % min(GROUPS, len(self.work.captions))
        split = [items[groups == g] for g in np.unique(groups)]
        estimates, units = [], []
        for turn in self._turns(items):
            reference = self._reference_moments(seconds, turn)
            if reference is None:
                return _Values(None, None, 0)
            parts = [self._moments(part, turn) for part in split]
            estimates.append(reduce(add, parts).frechet(reference))
            if len(parts) >= FEWEST:
                units.append(frechet_by_group(parts, reference))
        return _Values(float(np.mean(estimates)), np.mean(units, axis=0) if units else None, len(items))

    def _moments(self, items: Sequence[int], turn: int) -> Moments:
        return _running(self._window(item, turn) for item in items)

    def _reference_moments(self, seconds: float, turn: int) -> Moments | None:
        if self.against("frechet") == "directory":
            if self._moments_of_reference is None:
                self._moments_of_reference = _running(
                    row for i in self.recordings for row in self._recording(i, "clap")
                )
            return self._moments_of_reference
        dense = self.columns.scored(self.work.numbers(seconds, DENSE))
        return self._moments(dense, turn) if len(dense) > 1 else None

    def _kernel(self, items: np.ndarray, seconds: float) -> _Values:
        paired = self.against("kernel") == DENSE
        if paired:
            items = items[np.isin(self._dense_of(items), self.columns.scored(self.work.numbers(seconds, DENSE)))]
        if len(items) < 3:
            return _Values(None, None, len(items))
        units = []
        for turn in self._turns(items):
            rows = np.stack([self._window(item, turn) for item in items])
            if paired:
                dense = np.stack([self._window(item, turn) for item in self._dense_of(items)])
                units.append(paired_kernel_by_row(rows, dense, gamma=KERNEL_GAMMA))
            else:
                units.append(kernel_by_row(rows, self._recorded_rows(turn), gamma=KERNEL_GAMMA))
        units = np.mean(units, axis=0)
        return _Values(float(units.mean()), _by_caption(self._captions(items), units), len(items))

    def _recorded_rows(self, turn: int) -> np.ndarray:
        """One window a recording."""
        windows = ((i, self._recording(i, "clap")) for i in self.recordings)
        return np.stack([rows[(i + turn) % len(rows)] for i, rows in windows])

    def _dense_of(self, items: np.ndarray) -> np.ndarray:
        """The dense items of the same captions, lengths and seeds."""
        methods = len(self.work.methods)
        return items // methods * methods + self.work.methods.index(DENSE)

    def _recording(self, index: int, kind: str) -> np.ndarray:
        record = self.columns.reference[index]
        return self.stored.read(record["shard"], record["place"], kind)

    def _divergence(self, items: np.ndarray, seconds: float, convention: str) -> _Values:
        values = np.full(len(items), np.nan)
        for place, item in enumerate(items):
            logits = self._expected_classes(item, seconds)
            if logits is not None:
                p, q = (
                    posteriors(rows, convention).mean(axis=0)[None] for rows in (logits, self._windows(item, "ast"))
                )
                values[place] = kl_by_pair(p, q, convention)[0]
        return self._mean(items, values)

    def _expected_classes(self, item: int, seconds: float) -> np.ndarray | None:
        """The logits of what a clip should sound like: its caption's recording, or the dense sound of its noise."""
        if self.against("kl_softmax") == "directory":
            index = self.paired[self._captions(np.array([item]))[0]]
            return None if index is None else self._recording(index, "ast")
        dense = self._dense_of(np.array([item]))
        return self._windows(dense[0], "ast") if len(self.columns.scored(dense)) else None


def _running(rows: Iterable[np.ndarray]) -> Moments:
    found, block = None, []
    for row in rows:
        block.append(row)
        if len(block) == _ROWS:
            found, block = _added(found, block), []
    return _added(found, block) if block else found


def _added(found: Moments | None, block: list[np.ndarray]) -> Moments:
    more = Moments.of(np.stack(block))
    return more if found is None else found + more


def _by_caption(captions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean of each caption's values, in the order of the captions."""
    _, place = np.unique(captions, return_inverse=True)
    return np.bincount(place, values) / np.bincount(place)


def _protocol(name: str, windows: str | None, against: str | None) -> str:
    beside = {
        "directory": "the recordings of --reference",
        DENSE: "the dense sound of the same captions, noise and length",
        None: None,
    }[against]
    a_window = "one window a clip, mean over the choice of the window"
    how = {
        "frechet": f"{a_window}; squared",
        "kernel": f"{a_window}; kernel ({KERNEL_GAMMA:g} x.y + 1)^3, unbiased",
        "kl_softmax": "KL(expected || generated), posteriors averaged over windows, paired by caption",
        "kl_sigmoid": "KL(expected || generated) of every class by itself, averaged over windows, paired by caption",
        "clap": "cosine of the mean of the windows' rows and the caption's row",
        "log_mel_l1": "mean difference of natural log-mel spectrograms of 64 bands at 16 kHz",
        "silence_share": "frames of 50 ms below -60 dB of full scale",
        "clipping_share": "samples at full scale of a 16-bit file",
    }.get(name, "")
    return "; ".join(part for part in (how, f"against {beside}" if beside else "", windows) if part)
