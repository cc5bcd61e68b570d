"""What each group may run, put together: every choice that no other one beats in time and error, and one of them."""

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from focuslab.errors import InputError
from focuslab.runs.method_spec import DENSE, MethodSpec
from focuslab.search.candidates import Candidate
from focuslab.search.error_model import ErrorModel, unbeaten, unbeaten_picks
from focuslab.search.experiments import Choice

WORTH = 1.02
"""A choice that is predicted to be less than this much faster than dense does not pay: timings vary by that much."""


class NothingMeetsBudget(InputError):
    """No choice of a frontier meets a budget; `lack` is by which factor the nearest one misses it."""

    def __init__(self, message: str, lack: float):
        super().__init__(message)
        self.lack = lack


@dataclass(frozen=True)
class OperatingPoint:
    """A choice and what is predicted of it."""

    step_seconds: float  # of a denoising step
    speedup: float  # over dense
    error: float  # relative error of the guided UNet output, mean over steps
    choice: Mapping[str, Candidate]  # a candidate for every group
    timed: bool = False  # whether the time was measured of the whole, and not predicted from single groups

    @property
    def sparse(self) -> bool:
        return any(candidate.sparse for candidate in self.choice.values())

    @property
    def predicted(self) -> bool:
        """Whether some of the time was filled in from FLOPs."""
        return any(candidate.predicted for candidate in self.choice.values())

    @property
    def methods(self) -> dict[str, MethodSpec]:
        """Group -> method, without the groups that stay dense."""
        return {group: candidate.method for group, candidate in self.choice.items() if candidate.sparse}

    @property
    def site_methods(self) -> dict[str, MethodSpec]:
        """Site -> method, without the sites that stay dense."""
        return {site: c.method for c in self.choice.values() if c.sparse for site in c.sites}


@dataclass(frozen=True, eq=False)
class Frontier:
    """Every choice that no other one beats in both predicted time and error, from the slowest to the fastest."""

    dense_seconds: float  # of a dense step
    error_model: ErrorModel
    groups: tuple[str, ...]
    candidates: tuple[tuple[Candidate, ...], ...] = field(repr=False)  # of every group; "dense" is the first
    step_seconds: np.ndarray = field(repr=False)  # `[n]`
    errors: np.ndarray = field(repr=False)  # `[n]`, which rise as the time falls
    picks: np.ndarray = field(repr=False)  # `[n, groups]`, which candidate each choice takes

    def __len__(self) -> int:
        return len(self.step_seconds)

    def __getitem__(self, i: int) -> OperatingPoint:
        return self._point(self.step_seconds[i], self.errors[i], self.picks[i])

    def _point(self, seconds: float, error: float, picks: Iterable[int]) -> OperatingPoint:
        choice = {group: own[k] for group, own, k in zip(self.groups, self.candidates, picks, strict=True)}
        return OperatingPoint(float(seconds), self.dense_seconds / float(seconds), float(error), choice)

    @property
    def sparse(self) -> np.ndarray:
        """`[n]`: whether each choice has a sparse group."""
        return np.any(self.picks > 0, axis=1)

    @property
    def dense(self) -> OperatingPoint:
        """The choice of no sparse group."""
        return self.predict({})

    def predict(self, methods: Choice) -> OperatingPoint:
        """What is predicted of any choice; groups that are not named stay dense.

        Raises `InputError` that names the nearest where there is no such group or method.
        """
        for group in methods:
            _check_known("group", group, self.groups)
        picks = []
        for group, own in zip(self.groups, self.candidates, strict=True):
            labels = [str(candidate.method) for candidate in own]
            method = str(methods.get(group, DENSE))
            _check_known(f"candidate for {group}:", method, labels)
            picks.append(labels.index(method))
        (seconds,), (error,) = _outcome(self.candidates, np.array([picks]), self.dense_seconds, self.error_model)
        return self._point(seconds, error, picks)


def frontier(candidates: Sequence[Candidate], dense_seconds: float, error_model: ErrorModel) -> Frontier:
    """The exact Pareto frontier over all choices of one candidate a group. Raises `InputError` for what cannot be.

    Group by group; after each, only those partial choices are kept that no other one beats: what is saved adds up, and
    so does error ** exponent, so what is beaten once stays beaten. Of two choices equal in both the one with fewer
    sparse groups counts, and then always the same, in whatever order the candidates come.
    """
    groups = _by_group(candidates, dense_seconds)
    saved = [np.array([c.saved_seconds for c in own]) for own in groups.values()]
    alone = [np.array([c.error for c in own]) for own in groups.values()]
    picks = unbeaten_picks(saved, alone, error_model.exponent)
    seconds, errors = _outcome(tuple(groups.values()), picks, dense_seconds, error_model)
    best = unbeaten(seconds, errors, (picks > 0).sum(axis=1))[::-1]
    if seconds[best[-1]] <= 0:
        raise InputError(
            f"the candidates save more than a dense step of {dense_seconds:g} s takes: expected them from one profile, "
            "of a quiet machine"
        )
    columns = (column[best] for column in (seconds, errors, picks))
    return Frontier(float(dense_seconds), error_model, tuple(groups), tuple(groups.values()), *columns)


def choose(points: Frontier, *, max_error: float | None = None, min_speedup: float | None = None) -> OperatingPoint:
    """The fastest choice within `max_error`, or the one of least error that reaches `min_speedup` over dense.

    By default it is the knee: where the share of what could be saved most exceeds the share of the error that it would
    cost, both of the fastest choice (the point furthest from the chord between the ends; Satopaa et al. 2011, "Finding
    a Kneedle in a Haystack"). It is the fastest choice itself where no point lies above the chord. It is dense where
    `min_speedup` is not given and sparse does not pay (`WORTH`). Raises `NothingMeetsBudget` that names the nearest
    that exists.
    """
    if max_error is not None and min_speedup is not None:
        raise InputError("max_error and min_speedup were both given: expected one budget, the other is what it costs")
    if min_speedup is not None:
        return points[_reaching(points, min_speedup)]
    point = points[_knee(points) if max_error is None else _within(points, max_error)]
    return point if point.speedup >= WORTH else points.dense


def _within(points: Frontier, max_error: float) -> int:
    """Where the fastest within the budget is."""
    if not max_error >= 0:
        raise InputError(f"max_error must be a relative error of at least 0, not {max_error!r}")
    found = int(np.searchsorted(points.errors, max_error, side="right")) - 1
    if points.sparse.any() and not points.sparse[found]:
        nearest = points[int(points.sparse.argmax())]
        raise NothingMeetsBudget(
            f"no sparse choice has an error of at most {max_error:g}: the nearest that exists has {nearest.error:.3g}, "
            f"{nearest.speedup:.2f} times as fast as dense",
            nearest.error / max_error if max_error else math.inf,
        )
    return found


def _reaching(points: Frontier, min_speedup: float) -> int:
    if not 0 < min_speedup < math.inf:
        raise InputError(f"min_speedup must be a positive number such as 1.5, not {min_speedup!r}")
    # A speed-up that was predicted of some choice must be reached by that choice, whatever the rounding.
    reached = np.flatnonzero(points.dense_seconds / points.step_seconds >= min_speedup * (1 - 1e-12))
    if not len(reached):
        nearest = points[len(points) - 1]
        raise NothingMeetsBudget(
            f"no choice is {min_speedup:g} times as fast as dense: the nearest that exists is {nearest.speedup:.3f} "
            f"times as fast, with an error of {nearest.error:.3g}",
            min_speedup / nearest.speedup,
        )
    return int(reached[0])


def _knee(points: Frontier) -> int:
    if len(points) == 1:
        return 0
    saved = points.step_seconds[0] - points.step_seconds
    height = saved / saved[-1] - points.errors / points.errors[-1]
    # Both ends lie on the chord: where no point lies above it, it is the fastest that saves anything.
    return int(np.argmax(np.where(points.sparse, height, -np.inf)))


def _outcome(
    groups: Sequence[Sequence[Candidate]], picks: np.ndarray, dense_seconds: float, error_model: ErrorModel
) -> tuple[np.ndarray, np.ndarray]:
    """Step seconds and errors `[n]` of choices `[n, groups]`."""
    saved, errors = (
        np.stack([np.array([getattr(c, name) for c in own])[picks[:, g]] for g, own in enumerate(groups)], axis=1)
        for name in ("saved_seconds", "error")
    )
    return dense_seconds - saved.sum(axis=1), error_model.joint(errors)


def _by_group(candidates: Sequence[Candidate], dense_seconds: float) -> dict[str, tuple[Candidate, ...]]:
    """Candidates by group, "dense" first and then by method, groups in alphabetical order."""
    if not 0 < dense_seconds < math.inf:
        raise InputError(f"dense_seconds must be the time of a step, a positive number, not {dense_seconds!r}")
    if not candidates:
        raise InputError("there are no candidates to choose from: expected some of at least one group")
    by_group: dict[str, dict[MethodSpec, Candidate]] = {}
    for candidate in candidates:
        own = by_group.setdefault(candidate.group, {})
        what = f"{candidate.method} at {candidate.group}"
        if candidate.method in own:
            raise InputError(f"the candidate {what} was given twice")
        saved, error = candidate.saved_seconds, candidate.error
        if not (math.isfinite(saved) and 0 <= error < math.inf):
            raise InputError(f"{what} saves {saved} s at an error of {error}: expected numbers")
        if not candidate.sparse and (saved or error):
            raise InputError(f"{what} has a saving or an error: expected 0, it is what others are compared with")
        own[candidate.method] = candidate
    sites = {group: next(iter(own.values())).sites for group, own in sorted(by_group.items())}
    twice = next((site for site, count in Counter(s for own in sites.values() for s in own).items() if count > 1), None)
    if twice:
        groups = " and ".join(group for group, own in sites.items() if twice in own)
        raise InputError(f"the site {twice} is in the groups {groups}: expected groups that share no site")
    for group, own in by_group.items():
        own.setdefault(DENSE, Candidate(group, sites[group], DENSE, 0.0, 0.0))
    return {group: tuple(sorted(by_group[group].values(), key=lambda c: (c.sparse, c.method))) for group in sites}


def _check_known(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1, cutoff=0)
        raise InputError(f"there is no {what} {name!r}, only {', '.join(known)}; the nearest is {near[0]!r}")
