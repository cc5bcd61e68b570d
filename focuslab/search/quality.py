"""Which way to run each length sounds best by an evaluation, and a plan that runs it.

Fidelity to dense is the right aim up to the training length. Beyond it dense itself gets worse, and what sounds better
may be further from it: then the aim is a metric that does not take dense for the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from focuslab.errors import InputError
from focuslab.methods.catalogue import catalogue
from focuslab.results import EvaluationRun
from focuslab.runs import EVALUATION_SCHEMA, check_summary
from focuslab.runs.method_spec import PLAN, MethodSpec, split_label
from focuslab.runs.plan import FIDELITY, QUALITY, PlanEntry, PlanSpec, sites_of_layout
from focuslab.search.frontier import Frontier, OperatingPoint
from focuslab.search.plan_builder import boundaries, entries_of
from focuslab.tables.quality_rows import Measured, Row, measured, significant_sign

OBJECTIVES = (FIDELITY, QUALITY)
DENSE = "dense"
ORDER = ("kernel", "frechet", "kl_softmax", "kl_sigmoid", "clap")
"""Metrics that may be the aim, the first that was measured. The kernel distance is unbiased for few clips, and stands
before the Frechet distance for that."""
DISTANCE = "log_mel_l1"
"""How far a clip is from the dense one of the same seed."""


@dataclass(frozen=True)
class QualityChoice:
    """What was chosen at one audio length."""

    seconds: float
    method: str  # label of the evaluation
    metric: str  # the aim
    better: str  # "lower" or "higher"
    quality: Measured
    minus_dense: Measured | None  # its paired difference to dense; None for dense itself
    distance: Measured | None  # of its clips to the dense ones (`DISTANCE`)
    speedup: float | None  # over dense
    equals: tuple[str, ...]  # the other candidates that no metric tells from the best
    decided_by: str  # "quality" where the best was alone, "speed" where the fastest of equals was taken
    worse_in: tuple[str, ...]  # other metrics in which it is significantly worse than dense

    @property
    def beats_dense(self) -> bool | None:
        """Whether it is significantly better than dense (True), significantly worse (False), or neither (None)."""
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
    """What is best in quality at each length, by an evaluation's summary.

    * The method of the best value is taken unless others are its equals.
    * A method is its equal unless some metric tells the two apart. A metric does where the method is significantly
      worse than dense and the best is not. It also does where their intervals are apart: those of the paired
      differences to dense, or their own where no differences were measured. All metrics of `ORDER` that are not
      measured against dense count, so that few clips do not make an equal of what another metric finds worse.
    * Of equals the fastest is taken, and dense before others as fast.

    candidates: labels of the evaluation's methods that may be chosen; all by default. metric: the aim, one that is not
    measured against dense; the first of `ORDER` by default. min_speedup: by length; what was measured as slower is left
    out, and so are lengths at which nothing is left. Raises `InputError` for no evaluation, an unknown candidate or
    metric, or a metric that says only how far a clip is from dense.
    """
    check_summary(summary, EVALUATION_SCHEMA, "an evaluation")
    rows = summary["rows"]
    metric = _aim(summary, metric)
    known = sorted({row["method"] for row in rows})
    candidates = known if candidates is None else list(candidates)
    unknown = next((label for label in candidates if label not in known), None)
    if unknown is not None:
        raise InputError(f"the evaluation has no method {unknown!r}, only {', '.join(known)}")
    heard = [row for row in rows if row["method"] in candidates and measured(row, metric)]
    if not heard:
        raise InputError(f"none of the candidates has a {metric} at any length of the evaluation: evaluate them first")
    chosen = {}
    for seconds in sorted({row["seconds"] for row in heard}):
        least = (min_speedup or {}).get(seconds) or 0
        own = [row for row in heard if row["seconds"] == seconds and (row["speedup_vs_dense"] or 0) >= least]
        if own:
            chosen[seconds] = _choice(seconds, own, metric, summary)
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


def _choice(seconds: float, rows: Sequence[Row], metric: str, summary: Mapping[str, Any]) -> QualityChoice:
    better = {name: about.get("better") for name, about in summary["metrics"].items()}
    sign = 1 if better[metric] == "lower" else -1
    values = [(row, value) for row in rows if (value := measured(row, metric))]
    best, _ = min(values, key=lambda pair: sign * pair[1].value)
    telling = {name: better[name] for name in (*_fit(summary), metric)}
    equals = [row for row in rows if row is not best and not any(_worse(row, best, *told) for told in telling.items())]
    alike = [best, *equals]
    row = max(alike, key=lambda row: (row.get("speedup_vs_dense") or 0, row["method"] == DENSE, row is best))
    others = [name for name in better if name != metric and name in ORDER]
    return QualityChoice(
        seconds=seconds,
        method=row["method"],
        metric=metric,
        better=better[metric],
        quality=next(value for of, value in values if of is row),
        minus_dense=measured(row, metric, "minus_dense"),
        distance=measured(row, DISTANCE),
        speedup=row.get("speedup_vs_dense"),
        equals=tuple(other["method"] for other in alike if other is not row),
        decided_by="quality" if row is best and not equals else "speed",
        worse_in=tuple(
            name for name in others if significant_sign(measured(row, name, "minus_dense"), better[name]) is False
        ),
    )


def _worse(row: Row, best: Row, metric: str, better: str | None) -> bool:
    """Whether a metric tells a method from the best, to its disadvantage."""
    if [significant_sign(_difference(each, metric), better) is False for each in (row, best)] == [True, False]:
        return True
    # The differences to dense share its noise, and so are narrower (that of dense is nothing but 0).
    for of in (_difference, measured):
        one, other = of(row, metric), of(best, metric)
        if one and other and one.interval and other.interval:
            (low, high), (least, most) = one.interval, other.interval
            return low > most if better == "lower" else high < least
    return False


def _difference(row: Row, metric: str) -> Measured | None:
    return Measured(0.0, 0.0, 0.0) if row["method"] == DENSE else measured(row, metric, "minus_dense")


def with_quality(
    plan: PlanSpec,
    points: Mapping[float, OperatingPoint],
    frontiers: Mapping[float, Frontier],
    evaluation: EvaluationRun,
    objective: str,
    training_seconds: float,
    min_speedup: Mapping[float, float | None] | None = None,
) -> PlanSpec:
    """The plan with measured quality in its evidence and, where quality is the objective, with what is best in it.

    Up to the training length the aim stays fidelity to dense: beyond it dense itself gets worse. min_speedup: by
    length, the budget; where the evaluation has nothing so fast, the plan stays as it is.
    """
    found = best_in_quality(evaluation.summary, _labels(evaluation), min_speedup=min_speedup)
    chosen = {s: choice for s, choice in found.items() if s in points and s > training_seconds}
    evidence = {
        **plan.evidence,
        "objective": {f"{s:g}": QUALITY if objective == QUALITY and s in chosen else FIDELITY for s in sorted(points)},
        "quality": {f"{s:g}": choice.to_json() for s, choice in found.items() if s in points},
    }
    if objective == FIDELITY:
        return replace(plan, evidence=evidence)
    return replace(plan, entries=_entries(plan, boundaries(points, frontiers), chosen), evidence=evidence)


def check_objective(
    evaluation: EvaluationRun, objective: str, lengths: Sequence[float], training_seconds: float
) -> None:
    """Raise `InputError` where the evaluation holds no metric to choose by or, with quality as the objective, no length
    to choose at."""
    found = best_in_quality(evaluation.summary, _labels(evaluation))
    if objective == QUALITY and not any(s in lengths and s > training_seconds for s in found):
        there, asked = (", ".join(f"{s:g}" for s in sorted(own)) for own in (found, lengths))
        raise InputError(
            f"the evaluation has {there} s and the plan {asked} s: expected a length in both that is longer than the "
            f"training length of {training_seconds:g} s"
        )


def _labels(evaluation: EvaluationRun) -> list[str]:
    return sorted({row["method"] for row in evaluation.rows if _fits_a_plan(row["method"])})


def _fits_a_plan(label: str) -> bool:
    """Whether a plan can name a method for its sites, or leave them dense for it.

    An evaluated plan has sites of its own, dense lengths among them. Joined methods, caches and joint diffusion are of
    a whole generation.
    """
    entry = catalogue().get(MethodSpec.parse(label).name)
    alone = len(split_label(label)) == 1 and not label.startswith(PLAN)
    return label == DENSE or (alone and (entry is None or entry.for_sites))


def _entries(
    plan: PlanSpec, starts: Mapping[float, float], chosen: Mapping[float, QualityChoice]
) -> tuple[PlanEntry, ...]:
    does = {}
    for begin in sorted({entry.min_seconds for entry in plan.entries} | set(starts)):
        seconds = next((starts[start] for start in sorted(starts, reverse=True) if start <= begin), None)
        if seconds is not None and seconds in chosen:
            does[begin] = _sites(MethodSpec.parse(chosen[seconds].method), plan.unet)
        else:
            does[begin] = next(entry.sites for entry in reversed(plan.entries) if entry.min_seconds <= begin)
    return entries_of(does)


def _sites(method: MethodSpec, unet: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Site -> method, at the sites that it names or else at those that it has by itself."""
    if method.name == DENSE:
        return {}
    patterns = method.sites or (("*",) if method.name in catalogue() and catalogue()[method.name].everywhere else None)
    return dict.fromkeys(sites_of_layout(unet, patterns), method.to_site())
