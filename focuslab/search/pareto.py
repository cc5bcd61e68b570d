"""Which option to take for each group of sites: the Pareto frontier of time against error, and a point of it."""

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from focuslab.errors import InputError
from focuslab.runs.method_spec import without_sites
from focuslab.search.error_model import Combination
from focuslab.search.options import DENSE, Option

WORTH = 1.02
"""A choice that is predicted to be less than this much faster than dense does not pay: timings vary by that much."""
SCHEDULE_GAIN = 0.95
"""Steps are kept dense only where that leaves at most this share of the error of a constant choice as fast."""

Schedule = tuple[int, int]
"""How many of the first and of the last denoising steps stay dense."""
CONSTANT: Schedule = (0, 0)


@dataclass(frozen=True)
class Point:
    """A choice and what is predicted of it. step_seconds: of a denoising step, mean over all steps of a generation.
    error: relative error of the guided UNet output, mean over steps. choice: an option for every group. timed: the time
    is not predicted from that of single groups, but was measured of the whole."""

    step_seconds: float
    speedup: float
    error: float
    choice: Mapping[str, Option]
    dense_steps: Schedule = CONSTANT
    timed: bool = False

    @property
    def sparse(self) -> bool:
        return any(option.sparse for option in self.choice.values())

    @property
    def predicted(self) -> bool:
        """Whether some of the time was filled in from FLOPs."""
        return any(option.predicted for option in self.choice.values())

    @property
    def methods(self) -> dict[str, str]:
        """Group -> method, without the groups that stay dense."""
        return {group: option.method for group, option in self.choice.items() if option.sparse}


@dataclass(frozen=True, eq=False)
class Frontier:
    """Every choice that no other one beats in both predicted time and predicted error, from the slowest to the fastest.

    step_seconds, errors: `[n]`; errors rise as the time falls. options: of every group, in the order of `groups`.
    picks: `[n, groups]`, which option each choice takes. schedules: `[n, 2]`, its dense steps. steps: how many
    denoising steps a generation has, None where schedules were not asked for.
    """

    dense_seconds: float
    combination: Combination
    groups: tuple[str, ...]
    options: tuple[tuple[Option, ...], ...] = field(repr=False)
    steps: int | None
    step_seconds: np.ndarray = field(repr=False)
    errors: np.ndarray = field(repr=False)
    picks: np.ndarray = field(repr=False)
    schedules: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.step_seconds)

    def __getitem__(self, i: int) -> Point:
        choice = {group: own[k] for group, own, k in zip(self.groups, self.options, self.picks[i], strict=True)}
        first, last = self.schedules[i].tolist()
        seconds = float(self.step_seconds[i])
        return Point(seconds, self.dense_seconds / seconds, float(self.errors[i]), choice, (first, last))

    @property
    def sparse(self) -> np.ndarray:
        """`[n]`: whether each choice has a sparse group."""
        return (self.picks > 0).any(axis=1)

    def predict(self, methods: Mapping[str, str], dense_steps: Schedule = CONSTANT) -> Point:
        """What is predicted of any choice, by group -> method; groups that are not named stay dense.

        Raises `InputError` that names the nearest where there is no such group or method.
        """
        for group in methods:
            _check_known("group", group, self.groups)
        choice = {}
        for group, own in zip(self.groups, self.options, strict=True):
            by_method = {option.method: option for option in own}
            method = without_sites(methods.get(group, DENSE))
            _check_known(f"option for {group}:", method, by_method)
            choice[group] = by_method[method]
        one = _Problem(self.groups, tuple((option,) for option in choice.values()), self.dense_seconds, self.steps)
        seconds, errors = one.outcome(np.zeros((1, len(choice)), dtype=int), dense_steps, self.combination)
        return Point(float(seconds[0]), self.dense_seconds / float(seconds[0]), float(errors[0]), choice, dense_steps)


def frontier(
    options: Sequence[Option], dense_seconds: float, combination: Combination, steps: int | None = None
) -> Frontier:
    """The exact Pareto frontier over all choices of one option a group.

    Group by group; after each, only those partial choices are kept that no other one beats: what is saved adds up, and
    so does error ** exponent, so what is beaten once stays beaten. Of two choices equal in both the one with fewer
    sparse groups counts, and then always the same, in whatever order the options come.

    dense_seconds: of a dense step. steps: denoising steps of a generation; given, choices that keep shares of the first
    and last steps dense are considered too, where they gain enough (`SCHEDULE_GAIN`). Raises `InputError` for options
    that cannot be.
    """
    problem = _problem(options, dense_seconds, steps)
    parts = []
    for schedule in (CONSTANT, *problem.schedules()):
        picks = _unbeaten_picks(*problem.values(schedule), combination.exponent)
        found = (*problem.outcome(picks, schedule, combination), picks, np.tile(schedule, (len(picks), 1)))
        if parts:
            gains = _gains(found[0], found[1], parts[0][0], parts[0][1])
            found = tuple(column[gains] for column in found)
        parts.append(found)
    seconds, errors, picks, schedules = (np.concatenate(column) for column in zip(*parts, strict=True))
    best = _unbeaten(seconds, errors, (picks > 0).sum(axis=1))[::-1]
    if seconds[best[-1]] <= 0:
        raise InputError(
            f"the options save more than a dense step of {dense_seconds:g} s takes: expected them from one profile, of "
            "a quiet machine"
        )
    columns = (column[best] for column in (seconds, errors, picks, schedules))
    return Frontier(dense_seconds, combination, problem.groups, problem.options, steps, *columns)


def choose(points: Frontier, *, max_error: float | None = None, min_speedup: float | None = None) -> Point:
    """The fastest choice within `max_error`, or the one of least error that reaches `min_speedup` over dense.

    By default the knee: where the share of what could be saved most exceeds the share of the error that it would cost,
    both of the fastest choice (the point furthest from the chord between the ends; Satopaa et al. 2011, "Finding a
    Kneedle in a Haystack"), and the fastest choice itself where no point lies above the chord. Dense where
    `min_speedup` is not given and sparse does not pay (`WORTH`). Raises `InputError` naming the nearest that exists
    where nothing sparse meets a budget.
    """
    return _choose({"": points}, max_error, min_speedup)[""]


def choose_at_lengths(
    frontiers: Mapping[float, Frontier], *, max_error: float | None = None, min_speedup: float | None = None
) -> dict[float, Point]:
    """`choose` at every audio length in seconds; dense at one where nothing sparse meets the budget.

    Raises `InputError` naming the nearest that exists where that is so at all of them.
    """
    lengths = {f" at {seconds:g} s": seconds for seconds in sorted(frontiers)}
    chosen = _choose({where: frontiers[seconds] for where, seconds in lengths.items()}, max_error, min_speedup)
    return {lengths[where]: point for where, point in chosen.items()}


def _choose(frontiers: Mapping[str, Frontier], max_error: float | None, min_speedup: float | None) -> dict[str, Point]:
    if max_error is not None and min_speedup is not None:
        raise InputError("max_error and min_speedup were both given: expected one budget, the other is what it costs")
    if min_speedup is not None:
        return _reaching(frontiers, min_speedup)
    found = {where: _knee(points) for where, points in frontiers.items()}
    if max_error is not None:
        found = _within(frontiers, max_error)
    chosen = {where: frontiers[where][i] for where, i in found.items()}
    return {where: point if point.speedup >= WORTH else frontiers[where].predict({}) for where, point in chosen.items()}


def _within(frontiers: Mapping[str, Frontier], max_error: float) -> dict[str, int]:
    """Where the fastest within the budget is."""
    if not max_error >= 0:
        raise InputError(f"max_error must be a relative error of at least 0, not {max_error!r}")
    found = {where: int(np.searchsorted(f.errors, max_error, side="right")) - 1 for where, f in frontiers.items()}
    firsts = [(f.errors[f.sparse][0], f.step_seconds[f.sparse][0], w) for w, f in frontiers.items() if f.sparse.any()]
    if firsts and not any(frontiers[where].sparse[i] for where, i in found.items()):
        error, seconds, where = min(firsts)
        raise InputError(
            f"no sparse choice has an error of at most {max_error:g}: the nearest that exists has {error:.3g}{where}, "
            f"{frontiers[where].dense_seconds / seconds:.2f} times as fast as dense"
        )
    return found


def _reaching(frontiers: Mapping[str, Frontier], min_speedup: float) -> dict[str, Point]:
    if not 0 < min_speedup < math.inf:
        raise InputError(f"min_speedup must be a positive number such as 1.5, not {min_speedup!r}")
    # A speed-up that was predicted of some choice must be reached by that choice, whatever the rounding.
    reached = {
        where: np.flatnonzero(f.dense_seconds / f.step_seconds >= min_speedup * (1 - 1e-12))
        for where, f in frontiers.items()
    }
    if not any(len(i) for i in reached.values()):
        nearest = max(((f[len(f) - 1], where) for where, f in frontiers.items()), key=lambda pair: pair[0].speedup)
        raise InputError(
            f"no choice is {min_speedup:g} times as fast as dense: the nearest that exists is {nearest[0].speedup:.3f} "
            f"times as fast{nearest[1]}, with an error of {nearest[0].error:.3g}"
        )
    return {w: frontiers[w][int(i[0])] if len(i) else frontiers[w].predict({}) for w, i in reached.items()}


def _knee(points: Frontier) -> int:
    if len(points) == 1:
        return 0
    saved = points.step_seconds[0] - points.step_seconds
    height = saved / saved[-1] - points.errors / points.errors[-1]
    # Both ends lie on the chord: where no point lies above it, it is the fastest that saves anything.
    return int(np.argmax(np.where(points.sparse, height, -np.inf)))


@dataclass(frozen=True)
class _Problem:
    """Options by group, "dense" first and then by method, groups in alphabetical order."""

    groups: tuple[str, ...]
    options: tuple[tuple[Option, ...], ...]
    dense_seconds: float
    steps: int | None

    def schedules(self) -> list[Schedule]:
        """Shares of the first and last steps that may stay dense, as far as recorded steps can tell them apart."""
        if not self.steps:
            return []
        recorded = self._recorded()
        shares = [round(i * self.steps / len(recorded)) for i in range(len(recorded))]
        found = [(first, last) for first in shares for last in shares if 0 < first + last < self.steps]
        return [s for s in found if any(self._stays_sparse(step, s) for step in recorded)]

    def _recorded(self) -> tuple[int, ...]:
        recorded = {tuple(step for step, _ in option.step_errors) for own in self.options for option in own}
        if len(recorded) != 1 or () in recorded:
            raise InputError("a step schedule needs the errors of every option at the same recorded steps")
        return recorded.pop()

    def _stays_sparse(self, step: int, schedule: Schedule) -> bool:
        return schedule[0] <= step < self.steps - schedule[1]

    def values(self, schedule: Schedule) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Seconds saved and errors of every group's options, as means over the steps of a generation."""
        saved = [np.array([option.saved_seconds for option in own]) for own in self.options]
        if schedule == CONSTANT:
            return saved, [np.array([option.error for option in own]) for own in self.options]
        if not self.steps:
            raise InputError("dense steps need to know of how many: give steps, those of a generation")
        recorded = self._recorded()
        kept = np.array([self._stays_sparse(step, schedule) for step in recorded])
        share = (self.steps - sum(schedule)) / self.steps
        by_step = [np.array([[error for _, error in option.step_errors] for option in own]) for own in self.options]
        return [share * s for s in saved], [errors @ kept / len(recorded) for errors in by_step]

    def outcome(self, picks: np.ndarray, schedule: Schedule, combination: Combination) -> tuple[np.ndarray, np.ndarray]:
        """Step seconds and errors `[n]` of choices `[n, groups]`."""
        saved, errors = (
            np.stack([value[picks[:, g]] for g, value in enumerate(values)], axis=1) for values in self.values(schedule)
        )
        return self.dense_seconds - saved.sum(axis=1), combination.joint(errors)


def _problem(options: Sequence[Option], dense_seconds: float, steps: int | None) -> _Problem:
    if not 0 < dense_seconds < math.inf:
        raise InputError(f"dense_seconds must be the time of a step, a positive number, not {dense_seconds!r}")
    if not options:
        raise InputError("there are no options to choose from: expected some of at least one group")
    by_group: dict[str, dict[str, Option]] = {}
    for option in options:
        own = by_group.setdefault(option.group, {})
        what = f"{option.method} at {option.group}"
        if option.method in own:
            raise InputError(f"the option {what} was given twice")
        if not (math.isfinite(option.saved_seconds) and 0 <= option.error < math.inf):
            raise InputError(f"{what} saves {option.saved_seconds} s at an error of {option.error}: expected numbers")
        if option.method == DENSE and (option.saved_seconds or option.error):
            raise InputError(f"{what} has a saving or an error: expected 0, it is what others are compared with")
        own[option.method] = option
    taken = Counter(site for own in by_group.values() for site in next(iter(own.values())).sites)
    twice = next((site for site, count in taken.items() if count > 1), None)
    if twice:
        groups = [group for group, own in sorted(by_group.items()) if twice in next(iter(own.values())).sites]
        raise InputError(f"the site {twice} is in the groups {' and '.join(groups)}: choose for blocks or for sites")
    for group, own in by_group.items():
        if DENSE not in own:
            first = next(iter(own.values()))
            own[DENSE] = Option(group, first.sites, DENSE, 0.0, 0.0, step_errors=_zeros(first))
    ordered = [sorted(own.values(), key=lambda o: (o.sparse, o.method)) for _, own in sorted(by_group.items())]
    return _Problem(tuple(sorted(by_group)), tuple(map(tuple, ordered)), float(dense_seconds), steps)


def _unbeaten_picks(saved: Sequence[np.ndarray], errors: Sequence[np.ndarray], exponent: float) -> np.ndarray:
    """Choices `[n, groups]` that no other one beats in the sums of `saved` and of `errors ** exponent`."""
    # A power of two: dividing by anything else would round, and equal sums would differ.
    largest = 2.0 ** math.frexp(max(float(e.max()) for e in errors) or 1.0)[1]
    # As whole numbers, whose sums are exact in whatever order: what is equal is then seen to be.
    times = _whole([-s for s in saved])
    costs = _whole([(e / largest) ** exponent for e in errors])
    costs = [np.maximum(cost, e > 0) for cost, e in zip(costs, errors, strict=True)]
    time, cost, count = (np.zeros(1, dtype=np.int64) for _ in range(3))
    picks = np.zeros((1, 0), dtype=np.int16)
    for own_times, own_costs in zip(times, costs, strict=True):
        sparse = (np.arange(len(own_times)) > 0).astype(np.int64)
        own = np.sort(_unbeaten(own_times, own_costs, sparse))
        sums = [
            np.add.outer(total, values[own]).ravel()
            for total, values in ((time, own_times), (cost, own_costs), (count, sparse))
        ]
        best = _unbeaten(*sums)
        time, cost, count = (total[best] for total in sums)
        before, option = np.divmod(best, len(own))
        picks = np.column_stack([picks[before], own[option].astype(np.int16)])
    return picks


def _unbeaten(times: np.ndarray, costs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Where those are that no other one beats in time and cost, by time; of equal ones that of the least count, and
    then the first."""
    order = np.lexsort((counts, costs, times))
    lowest = np.minimum.accumulate(costs[order])
    return order[np.concatenate([[True], lowest[1:] < lowest[:-1]])]


def _whole(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """In one unit, a power of two, in which no sum of one of each array exceeds 2 ** 52."""
    most = sum(float(np.abs(v).max()) for v in values) or 1.0
    unit = 2.0 ** (math.frexp(most)[1] - 52)
    return [np.rint(v / unit).astype(np.int64) for v in values]


def _gains(seconds: np.ndarray, errors: np.ndarray, constant_seconds: np.ndarray, constant_errors: np.ndarray):
    """`[n]`: whether schedules do enough better than what is constant and as fast (by time, from the fastest)."""
    at = np.searchsorted(constant_seconds, seconds, side="right") - 1
    return (at < 0) | (errors <= SCHEDULE_GAIN * constant_errors[np.maximum(at, 0)])


def _zeros(option: Option) -> tuple[tuple[int, float], ...]:
    return tuple((step, 0.0) for step, _ in option.step_errors)


def _check_known(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1, cutoff=0)
        raise InputError(f"there is no {what} {name!r}, only {', '.join(known)}; the nearest is {near[0]!r}")
