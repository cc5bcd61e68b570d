"""How each metric of an evaluation is estimated: from clips to a value, and to what its interval is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from focuslab.measure.evaluation.config import METRICS
from focuslab.measure.evaluation.items import DENSE, Work
from focuslab.measure.evaluation.scorer import SCORED
from focuslab.measure.evaluation.shards import ShardReader
from focuslab.metrics import (
    frechet_by_group,
    frechet_distance,
    kernel_by_row,
    kl_by_pair,
    paired_kernel_by_row,
    posteriors,
)
from focuslab.metrics.kl import Convention
from focuslab.stats.intervals import FEWEST, bootstrap_interval

GROUPS = 20
"""Groups of captions that the interval of a Frechet distance is made of."""
KERNEL_GAMMA = 1.0
"""For rows of length 1, as CLAP's are."""
RATIOS = ("rms_ratio", "centroid_ratio")
"""Their mean is that of their logarithms."""


@dataclass(frozen=True)
class Estimate:
    """A value of several clips.

    Attributes
    ----------
    value : float or None
        None where there are too few clips.
    units : array or None
        A value for each unit that was drawn independently (a caption, or a group of them), whose mean is `value`. None
        where there are too few units for an interval.
    count : int
        Clips behind it.
    """

    value: float | None
    units: np.ndarray | None
    count: int

    def to_json(self, back: Callable[[float], float] = float) -> dict[str, Any]:
        """Value, interval and number of clips. back: from what the mean is of to the metric."""
        low = high = None
        if self.units is not None and len(self.units) >= FEWEST:
            low, high = map(back, bootstrap_interval(self.units))
        value = None if self.value is None else back(self.value)
        return {"value": value, "low": low, "high": high, "n": self.count}

    def __sub__(self, other: "Estimate") -> "Estimate":
        if self.value is None or other.value is None:
            return Estimate(None, None, self.count)
        units = None
        if self.units is not None and other.units is not None and len(self.units) == len(other.units):
            units = self.units - other.units
        return Estimate(self.value - other.value, units, self.count)


@dataclass(frozen=True)
class Recordings:
    """What clips are compared with where a reference was given.

    Attributes
    ----------
    places : dict
        Place among the files of the reference -> shard and place in it, of those that could be scored.
    paired : list
        For each caption its recording among the `places`, None where it has none.
    """

    places: dict[int, tuple[str, int]]
    paired: list[int | None]


class Estimator:
    """Estimates metrics of the clips of one length at a time.

    Parameters
    ----------
    clips : DataFrame
        Of all clips, as `clips_frame` makes it.
    work : Work
        What was asked for.
    stored : ShardReader
        The embeddings.
    recordings : Recordings, optional
        What to compare with; the dense clips by default.
    """

    def __init__(self, clips: pd.DataFrame, work: Work, stored: ShardReader, recordings: Recordings | None):
        self._clips = clips
        self._work = work
        self._stored = stored
        self._recordings = recordings
        self._known: dict[tuple, Estimate] = {}
        self._seconds: float | None = None
        self._cells: dict[tuple[str, str], dict[int, np.ndarray]] = {}

    def scored(self, seconds: float, method: str) -> pd.DataFrame:
        """The clips of one length and method that could be scored."""
        clips = self._clips
        return clips[(clips["seconds"] == seconds) & (clips["method"] == method) & (clips["status"] == SCORED)]

    def estimate(self, name: str, clips: pd.DataFrame) -> Estimate:
        """One metric of these clips, which are of one length and method."""
        if clips.empty:
            return Estimate(None, None, 0)
        key = name, *clips[["seconds", "method"]].iloc[0], clips["group"].to_numpy().tobytes()
        if key not in self._known:
            self._known[key] = self._estimate(name, clips)
        return self._known[key]

    def _estimate(self, name: str, clips: pd.DataFrame) -> Estimate:
        if name == "frechet":
            return self._frechet(clips)
        if name == "kernel":
            return self._kernel(clips)
        if METRICS[name].embedder == "ast":
            return self._divergence(clips, "softmax" if name == "kl_softmax" else "sigmoid")
        values = clips[name].to_numpy(float)
        return _mean(clips, np.log(values) if name in RATIOS else values)

    def _frechet(self, clips: pd.DataFrame) -> Estimate:
        """One window a clip, so that every length has as many rows; the mean over all choices of it."""
        if len(clips) < 2:
            return Estimate(None, None, len(clips))
        dense = None if self._recordings else self._dense(clips)
        if dense is not None and len(dense) < 2:
            return Estimate(None, None, 0)
        groups = clips["prompt"].to_numpy() % min(GROUPS, len(self._work.captions))
        values, units = [], []
        for turn in self._turns(clips):
            rows = self._windows(clips, turn)
            recorded = self._recorded("clap").values()
            against = np.concatenate([*recorded]) if dense is None else self._windows(dense, turn)
            values.append(frechet_distance(rows, against))
            parts = [rows[groups == group] for group in np.unique(groups)]
            if len(parts) >= FEWEST:
                units.append(frechet_by_group(parts, against))
        return Estimate(float(np.mean(values)), np.mean(units, axis=0) if units else None, len(clips))

    def _kernel(self, clips: pd.DataFrame) -> Estimate:
        dense = None if self._recordings else self._dense(clips)
        if dense is not None:
            clips = clips[clips["group"].isin(dense["group"])]
            dense = dense.set_index("group", drop=False).loc[clips["group"]]
        if len(clips) < 3:
            return Estimate(None, None, len(clips))
        units = []
        for turn in self._turns(clips):
            rows = self._windows(clips, turn)
            if dense is not None:
                units.append(paired_kernel_by_row(rows, self._windows(dense, turn), gamma=KERNEL_GAMMA))
            else:
                recorded = self._recorded("clap").items()
                against = np.stack([windows[(index + turn) % len(windows)] for index, windows in recorded])
                units.append(kernel_by_row(rows, against, gamma=KERNEL_GAMMA))
        units = np.mean(units, axis=0)
        return Estimate(float(units.mean()), _by_caption(clips["prompt"], units), len(clips))

    def _divergence(self, clips: pd.DataFrame, convention: Convention) -> Estimate:
        """From the classes of the recording of its caption, or of the dense clip of the same noise."""
        if self._recordings:
            paired = self._recordings.paired
            of_recording = self._recorded("ast")
            expected = [of_recording.get(paired[prompt]) for prompt in clips["prompt"]]
        else:
            of_dense = self._embedded(self._dense(clips), "ast")
            expected = [of_dense.get(group) for group in clips["group"]]
        generated = self._embedded(clips, "ast")
        values = np.full(len(clips), np.nan)
        for i, (group, logits) in enumerate(zip(clips["group"], expected, strict=True)):
            if logits is not None:
                p, q = (posteriors(rows, convention).mean(axis=0)[None] for rows in (logits, generated[group]))
                values[i] = kl_by_pair(p, q, convention)[0]
        return _mean(clips, values)

    def _dense(self, clips: pd.DataFrame) -> pd.DataFrame:
        return self.scored(clips["seconds"].iloc[0], DENSE)

    def _turns(self, clips: pd.DataFrame) -> range:
        return range(len(self._embedded(clips, "clap")[clips["group"].iloc[0]]))

    def _windows(self, clips: pd.DataFrame, turn: int) -> np.ndarray:
        """One window a clip `[N, D]`: in turn all of them, and at any turn other ones in neighbouring clips."""
        windows = self._embedded(clips, "clap")
        return np.stack([windows[group][(group + turn) % len(windows[group])] for group in clips["group"]])

    def _embedded(self, clips: pd.DataFrame, kind: str) -> dict[int, np.ndarray]:
        """Group -> windows `[W, D]`, of all clips of the length and method of these; one length is held at a time."""
        if clips.empty:
            return {}
        seconds, method = clips[["seconds", "method"]].iloc[0]
        if seconds != self._seconds:
            self._seconds, self._cells = seconds, {}
        if (method, kind) not in self._cells:
            cell = self.scored(seconds, method)
            rows = self._stored.read(zip(cell["shard"], cell["place"].astype(int), strict=True), kind)
            self._cells[method, kind] = dict(zip(cell["group"], rows, strict=True))
        return self._cells[method, kind]

    def _recorded(self, kind: str) -> dict[int, np.ndarray]:
        """Place among the files of the reference -> windows `[W, D]`."""
        places = self._recordings.places if self._recordings else {}
        return dict(zip(places, self._stored.read(places.values(), kind), strict=True))


def _mean(clips: pd.DataFrame, values: np.ndarray) -> Estimate:
    """The mean over captions of each one's mean over its seeds; values that are NaN or infinite are left out."""
    there = np.isfinite(values)
    if not there.any():
        return Estimate(None, None, 0)
    units = _by_caption(clips["prompt"][there], values[there])
    return Estimate(float(units.mean()), units, int(there.sum()))


def _by_caption(captions: pd.Series, values: np.ndarray) -> np.ndarray:
    """The mean of each caption's values, in the order of the captions."""
    _, place = np.unique(captions, return_inverse=True)
    return np.bincount(place, values) / np.bincount(place)
