"""Which way to run each length sounds best, from the rows of an evaluation.

Closeness to dense is the right aim up to the training length. Beyond it dense itself gets worse, and what sounds better
may be further from it: then the aim is a metric that does not take dense for the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from focuslab.errors import InputError
from focuslab.fields import is_number
from focuslab.records import EVALUATION_SCHEMA, check_summary

DENSE = "dense"
ORDER = ("kernel", "frechet", "kl_softmax", "kl_sigmoid", "clap")
"""Metrics that may be the aim, the first that was measured. The kernel distance is unbiased for few sounds, and
stands before the Frechet distance for that."""
DISTANCE = "log_mel_l1"
"""How far a sound is from the dense one of the same seed."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """A value with its interval; low and high are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class QualityChoice:
    """What was chosen at one audio length.

    method: label of the evaluation. metric, better: the aim, and whether "lower" or "higher" is better. quality: of the
    chosen method; minus_dense: its paired difference to dense, None for dense itself or where it was not measured.
    distance: of its sound to the dense sound (`DISTANCE`). speedup: over dense. equals: the other candidates that the
    intervals do not tell from the best. decided_by: "quality" where the best was alone, "speed" where the fastest of
    equals was taken. worse_in: other metrics in which it is surely worse than dense.
    """

    seconds: float
    method: str
    metric: str
    better: str
    quality: Measured
    minus_dense: Measured | None
    distance: Measured | None
    speedup: float | None
    equals: tuple[str, ...]
    decided_by: str
    worse_in: tuple[str, ...]

    @property
    def beats_dense(self) -> bool | None:
        """Whether it is surely better than dense (True), surely worse (False), or neither (None)."""
        return sure_sign(self.minus_dense, self.better)

    def to_json(self) -> dict[str, Any]:
        """For a plan's evidence."""
        return {**asdict(self), "beats_dense": self.beats_dense}

    def in_words(self) -> str:
        """ "At 40 s litefocus, by quality (kernel 0.41, surely better than dense), at 1.57 times dense's speed." """
        said = {True: "surely better than dense", False: "surely worse than dense", None: "not sure against dense"}
        against = "" if self.method == DENSE else f", {said[self.beats_dense]}"
        speed = "" if self.speedup is None else f", at {self.speedup:.2f} times dense's speed"
        reason = f"by {self.decided_by}"
        if self.decided_by == "speed":
            reason += f" among {len(self.equals) + 1} that {self.metric} does not tell apart"
        return (
            f"At {self.seconds:g} s {self.method}, {reason} ({self.metric} {self.quality.value:.3g}{against}){speed}."
        )


def best_in_quality(
    summary: Mapping[str, Any],
    candidates: Mapping[float, Iterable[str]] | Iterable[str] | None = None,
    *,
    metric: str | None = None,
    min_speedup: float | None = None,
) -> dict[float, QualityChoice]:
    """Audio length in seconds -> what is best in quality there, by an evaluation's summary.

    candidates: labels of the evaluation's methods that may be chosen, the same at every length or by length; None is
    all. Lengths at which none was evaluated are left out. metric: the aim, one that is not measured against dense; None
    is the first of `ORDER`. min_speedup: leaves out what is slower, where anything is that fast.

    The best value wins, if the intervals say so: a method counts as its equal where the intervals of their paired
    differences to dense overlap (their own intervals where those were not measured), or where there are none. Of equals
    the fastest is taken, and dense before others as fast. Raises `InputError` for no evaluation, an unknown candidate
    or metric, or a metric that says only how far a sound is from dense.
    """
    check_summary(summary, EVALUATION_SCHEMA, "an evaluation")
    rows = summary["rows"]
    metric = _aim(summary, metric)
    better = summary["metrics"][metric]["better"]
    chosen = {}
    for seconds in sorted({row["seconds"] for row in rows}):
        own = [row for row in _wanted(rows, seconds, candidates) if measured(row, metric)]
        fast = [row for row in own if min_speedup is None or (row["speedup_vs_dense"] or 0) >= min_speedup]
        if own:
            chosen[seconds] = _choice(seconds, fast or own, metric, better, summary)
    if not chosen:
        raise InputError(f"none of the candidates has a {metric} at any length of the evaluation: evaluate them first")
    return chosen


def of_method(summary: Mapping[str, Any], seconds: float, method: str, metric: str | None = None) -> dict[str, Any]:
    """Measured quality and distance to dense of one method at one length, for a plan's evidence whatever chose it.

    {"metric", "better", "quality", "minus_dense", "distance", "speedup"}, each None where it was not measured. Raises
    `InputError` where the evaluation does not have the method at this length.
    """
    found = [row for row in summary["rows"] if row["seconds"] == seconds and row["method"] == method]
    if not found:
        raise InputError(f"the evaluation has no {method} at {seconds:g} s")
    metric = _aim(summary, metric)
    facts = {
        "quality": measured(found[0], metric),
        "minus_dense": measured(found[0], metric, "minus_dense"),
        "distance": measured(found[0], DISTANCE),
    }
    return {
        "metric": metric,
        "better": summary["metrics"][metric]["better"],
        **{name: asdict(value) if value else None for name, value in facts.items()},
        "speedup": found[0].get("speedup_vs_dense"),
    }


def measured(row: Row, name: str, key: str | None = None) -> Measured | None:
    """A metric of a row, or (`key="minus_dense"`) its paired difference to dense; None where there is no number."""
    found = row["metrics"].get(name) or {}
    found = (found.get(key) if key else found) or {}
    if not is_number(found.get("value")):
        return None
    ends = (found.get("low"), found.get("high"))
    return Measured(found["value"], *(ends if all(map(is_number, ends)) else (None, None)))


def sure_sign(difference: Measured | None, better: str | None) -> bool | None:
    """True where the interval of a difference is all on the better side, False where on the worse, None otherwise."""
    if difference is None or difference.low is None or better not in ("lower", "higher"):
        return None
    if difference.low <= 0 <= difference.high:
        return None
    return (difference.low > 0) == (better == "higher")


def _aim(summary: Mapping[str, Any], metric: str | None) -> str:
    about = summary["metrics"]
    fit = [name for name in ORDER if name in about and about[name].get("reference") != DENSE]
    if metric is None:
        if not fit:
            raise InputError(
                "the evaluation has no metric of quality but distances to dense: evaluate with --metrics clap, or with "
                "--reference, a directory of recordings"
            )
        return fit[0]
    if metric not in about or about[metric].get("better") is None or about[metric].get("reference") == DENSE:
        raise InputError(
            f"{metric!r} is no aim of quality in this evaluation: expected one of {', '.join(fit) or 'none'}"
        )
    return metric


def _wanted(
    rows: Sequence[Row], seconds: float, candidates: Mapping[float, Iterable[str]] | Iterable[str] | None
) -> list[Row]:
    own = {row["method"]: row for row in rows if row["seconds"] == seconds}
    if candidates is None:
        return list(own.values())
    if isinstance(candidates, Mapping):
        candidates = candidates.get(seconds, ())
    known = {row["method"] for row in rows}
    labels = list(candidates)
    for label in labels:
        if label not in known:
            raise InputError(f"the evaluation has no method {label!r}, only {', '.join(sorted(known))}")
    return [own[label] for label in labels if label in own]


def _choice(seconds: float, rows: Sequence[Row], metric: str, better: str, summary: Mapping[str, Any]) -> QualityChoice:
    sign = 1 if better == "lower" else -1
    best = min(rows, key=lambda row: sign * measured(row, metric).value)
    equals = [row for row in rows if row is not best and _not_told_apart(row, best, metric)]
    alike = [best, *equals]
    row = max(alike, key=lambda row: (row.get("speedup_vs_dense") or 0, row["method"] == DENSE, row is best))
    others = [name for name in summary["metrics"] if name != metric and name in ORDER]
    return QualityChoice(
        seconds=seconds,
        method=row["method"],
        metric=metric,
        better=better,
        quality=measured(row, metric),
        minus_dense=measured(row, metric, "minus_dense"),
        distance=measured(row, DISTANCE),
        speedup=row.get("speedup_vs_dense"),
        equals=tuple(other["method"] for other in alike if other is not row),
        decided_by="quality" if row is best and not equals else "speed",
        worse_in=tuple(
            name
            for name in others
            if sure_sign(measured(row, name, "minus_dense"), summary["metrics"][name].get("better")) is False
        ),
    )


def _not_told_apart(row: Row, best: Row, metric: str) -> bool:
    """Whether intervals overlap: of the differences to dense, which share its noise and are narrower, where both have
    one (that of dense is nothing but 0)."""
    for pair in (
        [_difference(row, metric), _difference(best, metric)],
        [measured(row, metric), measured(best, metric)],
    ):
        if all(m is not None and m.low is not None for m in pair):
            one, other = pair
            return one.low <= other.high and other.low <= one.high
    return True


def _difference(row: Row, metric: str) -> Measured | None:
    return Measured(0.0, 0.0, 0.0) if row["method"] == DENSE else measured(row, metric, "minus_dense")
