"""What the records of an evaluation say, as arrays with an entry an item."""

from typing import Any

import numpy as np

from focuslab.measure.evaluation.items import DENSE, Work
from focuslab.measure.evaluation.metrics import METRICS
from focuslab.measure.evaluation.scorer import NAN, SCORED, SILENT

TIMES = ("step_seconds", "generation_seconds", "scoring_seconds")
_STATUSES = (None, SCORED, NAN, SILENT)


class Columns:
    """What the records say, an entry an item: filled record by record.

    Of several times of one item those count that were taken in `sitting`, or else the first.
    """

    def __init__(self, work: Work, sitting: str):
        self.work = work
        self.sitting = sitting
        self.sittings = np.full(work.total, None, object)
        self.dense_steps: dict[str, np.ndarray] = {}
        self.status = np.zeros(work.total, np.int8)
        self.shard = np.full(work.total, -1, np.int32)
        self.place = np.full(work.total, -1, np.int32)
        self.times = {name: np.full(work.total, np.nan) for name in TIMES}
        self.values = {name: np.full(work.total, np.nan) for name, m in METRICS.items()}
        self.shards: dict[str, int] = {}
        self.reference: dict[int, dict[str, Any]] = {}

    def add(self, record: dict[str, Any]) -> None:
        if record["kind"] == "reference":
            self.reference[record["index"]] = record
            return
        item = self.work.number_of(record)
        self._add_times(item, record)
        if record["kind"] == "timing":
            return
        self.status[item] = _STATUSES.index(record["status"])
        if record["shard"] is not None:
            self.shard[item] = self.shards.setdefault(record["shard"], len(self.shards))
            self.place[item] = record["place"]
        for name, value in record["values"].items():
            self.values[name][item] = value

    def _add_times(self, item: int, record: dict[str, Any]) -> None:
        sitting = record["sitting"]
        if record["method"] == DENSE:
            groups = self.dense_steps.setdefault(sitting, np.full(len(self.work.groups), np.nan))
            groups[item // len(self.work.methods)] = record["step_seconds"]
        if self.sittings[item] is None or sitting == self.sitting:
            self.sittings[item] = sitting
            for name in TIMES:
                self.times[name][item] = record.get(name, np.nan)

    def speedups(self, items: np.ndarray) -> np.ndarray:
        """How many times as long a step of dense took in the same sitting, where it was timed there."""
        groups = items // len(self.work.methods)
        nothing = np.full(len(self.work.groups), np.nan)
        dense = [
            self.dense_steps.get(sitting, nothing)[group]
            for sitting, group in zip(self.sittings[items], groups, strict=True)
        ]
        ratios = np.array(dense) / self.times["step_seconds"][items]
        return ratios[np.isfinite(ratios)]

    def made(self, items: np.ndarray | None = None) -> np.ndarray:
        """Those of the items, or of all, that there are."""
        return np.flatnonzero(self.status) if items is None else items[self.status[items] != 0]

    def scored(self, items: np.ndarray) -> np.ndarray:
        """Those of the items that were scored."""
        return items[self.status[items] == _STATUSES.index(SCORED)]

    def count(self, status: str, items: np.ndarray | slice = slice(None)) -> int:
        return int((self.status[items] == _STATUSES.index(status)).sum())
