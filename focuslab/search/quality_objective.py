"""Which way to run each length sounds best, from the rows of an evaluation.

Closeness to dense is the right aim up to the training length. Beyond it dense itself gets worse, and what sounds better
may be further from it: then the aim is a metric that does not take dense for the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from focuslab.errors import InputError
from focuslab.runs import EVALUATION_SCHEMA, check_summary
from focuslab.runs.plan import FIDELITY, QUALITY
from focuslab.tables.measured import Measured, Row, measured, significant_sign

OBJECTIVES = (FIDELITY, QUALITY)
DENSE = "dense"
ORDER = ("kernel", "frechet", "kl_softmax", "kl_sigmoid", "clap")
"""Metrics that may be the aim, the first that was measured. The kernel distance is unbiased for few sounds, and
stands before the Frechet distance for that."""
DISTANCE = "log_mel_l1"
"""How far a sound is from the dense one of the same seed."""


@dataclass(frozen=True)
class QualityChoice:
    """What was chosen at one audio length.

    method: label of the evaluation. metric, better: the aim, and whether "lower" or "higher" is better. quality: of the
    chosen method; minus_dense: its paired difference to dense, None for dense itself or where it was not measured.
    distance: of its sound to the dense sound (`DISTANCE`). speedup: over dense. equals: the other candidates that no
    metric tells from the best. decided_by: "quality" where the best was alone, "speed" where the fastest of equals was
    taken. worse_in: other metrics in which it is surely worse than dense.
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
        return significant_sign(self.minus_dense, self.better)

    def to_json(self) -> dict[str, Any]:
        """For a plan's evidence."""
        return {**asdict(self), "beats_dense": self.beats_dense}


def best_in_quality(
    summary: Mapping[str, Any],
    candidates: Iterable[str] | None = None,
    *,
    metric: str | None = None,
    min_speedup: Mapping[float, float | None] | None = None,
) -> dict[float, QualityChoice]:
    """Audio length in seconds -> what is best in quality there, by an evaluation's summary.

    candidates: labels of the evaluation's methods that may be chosen; None is all. metric: the aim, one that is not
    measured against dense; None is the first of `ORDER`. min_speedup: by length, leaves out what was measured as
    slower. Lengths at which none is left are left out.

    The best value wins, if the intervals say so: a method counts as its equal unless a metric of `ORDER` that is not
    measured against dense has it surely worse than dense and the best not, or has their intervals apart, of the paired
    differences to dense (their own where those were not measured). So few sounds, which hardly tell methods apart in
    one metric, do not make an equal of what another has heard as worse. Of equals the fastest is taken, and dense
    before others as fast. Raises `InputError` for no evaluation, an unknown candidate or metric, or a metric that says
    only how far a sound is from dense.
    """
    check_summary(summary, EVALUATION_SCHEMA, "an evaluation")
    rows = summary["rows"]
    metric = _aim(summary, metric)
    better = summary["metrics"][metric]["better"]
    candidates = sorted({row["method"] for row in rows}) if candidates is None else list(candidates)
    _check_known(rows, candidates)
    heard = [row for row in rows if row["method"] in candidates and measured(row, metric)]
    if not heard:
        raise InputError(f"none of the candidates has a {metric} at any length of the evaluation: evaluate them first")
    chosen = {}
    for seconds in sorted({row["seconds"] for row in heard}):
        least = (min_speedup or {}).get(seconds) or 0
        own = [row for row in heard if row["seconds"] == seconds and (row["speedup_vs_dense"] or 0) >= least]
        if own:
            chosen[seconds] = _choice(seconds, own, metric, better, summary)
    return chosen


def _fit(summary: Mapping[str, Any]) -> list[str]:
    """The metrics that may be the aim, in order."""
    about = summary["metrics"]
    there = {name for row in summary["rows"] for name in row["metrics"] if measured(row, name)}
    return [name for name in ORDER if name in about and name in there and about[name].get("reference") != DENSE]


def _aim(summary: Mapping[str, Any], metric: str | None) -> str:
    about, fit = summary["metrics"], _fit(summary)
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


def _check_known(rows: Sequence[Row], candidates: Sequence[str]) -> None:
    known = {row["method"] for row in rows}
    for label in candidates:
        if label not in known:
            raise InputError(f"the evaluation has no method {label!r}, only {', '.join(sorted(known))}")


def _choice(seconds: float, rows: Sequence[Row], metric: str, better: str, summary: Mapping[str, Any]) -> QualityChoice:
    sign = 1 if better == "lower" else -1
    best = min(rows, key=lambda row: sign * measured(row, metric).value)
    told_by = {name: summary["metrics"][name].get("better") for name in (*_fit(summary), metric)}
    equals = [row for row in rows if row is not best and not any(_worse(row, best, *told) for told in told_by.items())]
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
            if significant_sign(measured(row, name, "minus_dense"), summary["metrics"][name].get("better")) is False
        ),
    )


def _worse(row: Row, best: Row, metric: str, better: str | None) -> bool:
    """Whether a metric tells a method from the best, to its disadvantage."""
    surely_worse = [significant_sign(_difference(each, metric), better) is False for each in (row, best)]
    if surely_worse == [True, False]:
        return True
    # The differences to dense share its noise, and so are narrower (that of dense is nothing but 0).
    for one, other in (
        (_difference(row, metric), _difference(best, metric)),
        (measured(row, metric), measured(best, metric)),
    ):
        if one is not None and other is not None and one.low is not None and other.low is not None:
            return one.low > other.high if better == "lower" else one.high < other.low
    return False


def _difference(row: Row, metric: str) -> Measured | None:
    return Measured(0.0, 0.0, 0.0) if row["method"] == DENSE else measured(row, metric, "minus_dense")
