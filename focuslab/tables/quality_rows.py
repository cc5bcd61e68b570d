"""The rows of an evaluation's summary, checked and picked for tables and figures, and their intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from focuslab.checks import is_number
from focuslab.errors import InputError
from focuslab.runs import EVALUATION_SCHEMA, check_summary

SPEEDUP = "speedup_vs_dense"


class Scale(NamedTuple):
    """How a metric is shown: its name in a narrow column, and what its values are multiplied by."""

    head: str
    unit: str = ""
    factor: float = 1.0

    @property
    def difference_unit(self) -> str:
        """The unit of a difference: two shares differ by percentage points."""
        return "% points" if self.unit == "%" else self.unit


SCALES = {
    "frechet": Scale("Frechet"),
    "kernel": Scale("kernel"),
    "kl_softmax": Scale("KL"),
    "kl_sigmoid": Scale("KL sigm."),
    "clap": Scale("CLAP score", "%", 100.0),
    "log_mel_l1": Scale("log-mel L1"),
    "rms_ratio": Scale("RMS ratio"),
    "centroid_ratio": Scale("centroid ratio"),
    "silence_share": Scale("silence", "%", 100.0),
    "clipping_share": Scale("clipping", "%", 100.0),
}
"""Metric -> how it is shown, in the order of tables."""

MAIN = (("frechet", "kernel"), ("kl_softmax",), ("clap",), ("log_mel_l1",))
"""The main metrics in order; the first of each group that was measured is shown."""
MOST_MAIN = 3


def scale_of(metric: str) -> Scale:
    return SCALES.get(metric) or Scale(metric.replace("_", " "))


def evaluation_rows(summary: Mapping) -> list[Mapping]:
    """The checked rows of an evaluation's summary, in its order: by length, then method.

    Raises `InputError` where it is none, holds no row, or has a method twice at one length.
    """
    check_summary(summary, EVALUATION_SCHEMA, "an evaluation")
    rows = list(summary.get("rows") or ())
    if not rows:
        raise InputError("the evaluation holds no row: expected at least one method at one length")
    seen = set()
    for row in rows:
        key = row["seconds"], row["method"]
        if key in seen:
            raise InputError(
                f"the evaluation holds {row['method']} at {row['seconds']:g} s twice: expected one row each"
            )
        seen.add(key)
    return sorted(rows, key=lambda row: row["seconds"])


def methods_of(rows: Iterable[Mapping]) -> list[str]:
    """The methods in the order in which they first stand, dense first."""
    return sorted(dict.fromkeys(row["method"] for row in rows), key=lambda method: method != "dense")


def metrics_of(rows: Iterable[Mapping]) -> list[str]:
    """The metrics that any row has a value of, those of `SCALES` first and in its order."""
    found = {name for row in rows for name, metric in row["metrics"].items() if is_number(metric.get("value"))}
    known = [name for name in SCALES if name in found]
    return known + sorted(found - set(known))


def main_metrics(rows: Iterable[Mapping]) -> list[str]:
    """The metrics that any row has a value of, where there is room for `MOST_MAIN`."""
    there = set(metrics_of(rows))
    found = [next((name for name in group if name in there), None) for group in MAIN]
    return [name for name in found if name][:MOST_MAIN]


def metric_of(row: Mapping, name: str, key: str | None = None) -> Mapping[str, Any]:
    """value, low, high of a metric of a row, or of its paired difference to dense (`key="minus_dense"`); all None where
    it was not measured."""
    found = row["metrics"].get(name) or {}
    found = (found.get(key) if key else found) or {}
    return {k: found.get(k) if is_number(found.get(k)) else None for k in ("value", "low", "high", "n")}


def embedder_of(rows: Sequence[Mapping], name: str) -> tuple[str | None, str | None]:
    """Family and checkpoint of the embedder behind a metric, None where it needs none."""
    metrics = [row["metrics"][name] for row in rows if name in row["metrics"]]
    return next(((m.get("embedder"), m.get("checkpoint")) for m in metrics), (None, None))


Row = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """A value with its interval; low and high are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)


def measured(row: Row, name: str, key: str | None = None) -> Measured | None:
    """A metric of a row, or (`key="minus_dense"`) its paired difference to dense; None where there is no number."""
    found = metric_of(row, name, key)
    if found["value"] is None:
        return None
    ends = found["low"], found["high"]
    return Measured(found["value"], *((None, None) if None in ends else ends))


def significant_sign(difference: Measured | None, better: str | None) -> bool | None:
    """True where the interval of a difference is all on the better side, False where on the worse, None otherwise."""
    if difference is None or difference.interval is None or better not in ("lower", "higher"):
        return None
    low, high = difference.interval
    return None if low <= 0 <= high else (low > 0) == (better == "higher")


SIGNIFICANTLY = {"+": "significantly better", "-": "significantly worse"}
"""The words for an `outcome`."""


def outcome(row: Mapping, metric: str, better: str | None) -> str:
    """ "+" where a row is significantly better than dense, "-" where significantly worse, else "".

    Significant is a paired difference to dense whose 95 % confidence interval excludes 0.
    """
    return {True: "+", False: "-", None: ""}[significant_sign(measured(row, metric, "minus_dense"), better)]
