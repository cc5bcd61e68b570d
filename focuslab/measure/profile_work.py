"""The work of a profile: which methods and bounds are measured at which length, in order."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from focuslab.attention.grid import Grid
from focuslab.checks import is_number, several, shown
from focuslab.errors import InputError
from focuslab.hooks.meta_cost import MetaCost
from focuslab.measure.loop import meta_costs
from focuslab.measure.profile_config import ProfileConfig
from focuslab.methods import Attachable, Bound, Method
from focuslab.methods.cache import CachedMethod
from focuslab.methods.composition import Composition, cache_of
from focuslab.models.conditioning import STAGES
from focuslab.models.lengths import training_grid
from focuslab.models.sites import find_sites, unet_of


@dataclass(frozen=True)
class Subject:
    """What is measured under one label at one length.

    Attributes
    ----------
    method : Attachable
        What is attached.
    sites : dict
        Site -> the method that runs there.
    dense_steps : tuple of int
        The first and last steps of a whole generation that are not measured, because all sites stay dense in them.
    bound : str or None
        Label of the bound of these sites, where any is sparse.
    """

    method: Attachable
    sites: dict[str, Method]
    dense_steps: tuple[int, int] = (0, 0)
    bound: str | None = None

    @property
    def sparse(self) -> bool:
        return any(method.sparse for method in self.sites.values())

    @property
    def cache(self) -> CachedMethod | None:
        return cache_of(self.method)

    @property
    def has_ideal(self) -> bool:
        """Whether an ideal follows from dense and the bound, which are of a step that computes all of its sites."""
        return self.sparse and self.cache is None


Subjects = dict[float, dict[str, Subject]]
"""By length and label."""
Expected = dict[tuple[float, str], MetaCost]
"""By length and label."""


@dataclass(frozen=True)
class Item:
    """One thing to measure; `weight` is its expected share of the work, in FLOPs."""

    kind: str
    seconds: float
    label: str
    repeat: int
    weight: float

    @property
    def key(self) -> tuple[str, float, str, int]:
        return self.kind, self.seconds, self.label, self.repeat

    @property
    def title(self) -> str:
        return f"{self.label} at {self.seconds:g} s"


def subjects_of(pipe, seconds: float, config: ProfileConfig) -> dict[str, Subject]:
    """The methods at one length, and a bound for every choice of sites among the sparse ones."""
    subjects = {
        label: Subject(method.at_every_step(), method.sites_at(pipe, seconds), method.dense_steps_at(pipe, seconds))
        for label, method in config.methods.items()
    }
    if config.only_steps:
        return subjects
    bounds: dict[tuple[CachedMethod | None, frozenset[str]], str] = {
        (None, frozenset(s.sites)): label for label, s in subjects.items() if isinstance(s.method, Bound)
    }
    for label, subject in list(subjects.items()):
        if not subject.sparse:
            continue
        place = subject.cache, frozenset(subject.sites)
        if place not in bounds:
            bounds[place], bound = _bound(label, subject)
            subjects[bounds[place]] = Subject(bound, bound.sites_at(pipe, seconds))
        subjects[label] = replace(subject, bound=bounds[place])
    return subjects


def _bound(label: str, subject: Subject) -> tuple[str, Attachable]:
    """The label and the method of the bound of a subject's sites; with a cache, of the calls that are computed."""
    method = subject.method
    if subject.cache is not None:
        return f"bound:{label}", Composition((subject.cache, Bound(sites=tuple(subject.sites))))
    if not isinstance(method, Method):
        return f"bound:{label}", Bound(sites=tuple(subject.sites))
    name = "bound" if method.sites is None else f"bound:sites={'+'.join(several(method.sites))}"
    return name, Bound(sites=method.sites)


def expect(
    pipe, conditioning: dict[str, Any], subjects: Subjects, config: ProfileConfig
) -> tuple[Subjects, Expected, list[dict[str, Any]]]:
    """Leave out what does not fit into memory; a length where bounds alone fit is left out too.

    Returns the subjects that are left, the dry run of each, and a record of each that does not fit. Raises `InputError`
    where no method fits.
    """
    attached = {seconds: {label: s.method for label, s in own.items()} for seconds, own in subjects.items()}
    expected, left_out = meta_costs(pipe, conditioning, attached)
    left_out.refuse_if(not any(label in config.methods for _, label in expected))
    fitting = {s: {label: own[label] for label in own if (s, label) in expected} for s, own in subjects.items()}
    fitting = {s: own for s, own in fitting.items() if not config.methods.keys().isdisjoint(own)}
    return fitting, expected, [{**record, "repeat": 0} for record in left_out.records]


def items_of(subjects: Subjects, expected: Expected, config: ProfileConfig) -> list[Item]:
    """Everything to measure, in order."""
    wanted = {"memory", "steps", "trace"} if config.only_steps else {*_KINDS}
    items = []

    def add(kind: str, seconds: float, label: str, repeat: int = 0, steps: int = config.steps) -> None:
        if kind in wanted:
            flops = expected[seconds, next(iter(subjects[seconds])) if kind == "stage" else label].total_flops
            items.append(Item(kind, seconds, label, repeat, flops * steps))

    for seconds, labels in subjects.items():
        # Where a step is short the clocks cost most. There their cost is measured, in every round.
        checked = next(iter(labels)) if seconds == min(subjects) else None
        for label in labels:
            add("memory", seconds, label, steps=1)
            add("flops", seconds, label, steps=0)
        for repeat in range(config.repeats):
            for label in labels:
                add("steps", seconds, label, repeat)
                if label == checked:
                    add("modules", seconds, label, repeat)
        for repeat in range(config.module_repeats):
            for label in labels:
                if label != checked:
                    add("modules", seconds, label, repeat)
        for stage in STAGES:
            add("stage", seconds, stage, steps=1)
        for label in labels if config.trace else ():
            add("trace", seconds, label, steps=1)
    return items


_KINDS = ("memory", "flops", "steps", "modules", "stage", "trace")


def cut_rounds(items: Sequence[Item], done: set) -> set:
    """Keys of timings that were done in a round that a stop cut in two.

    Methods are compared within a round because the machine's speed drifts: such a round is measured anew, whole.
    """
    rounds = defaultdict(set)
    for item in items:
        if item.kind == "steps":
            rounds[item.seconds, item.repeat].add(item.key)
    return {key for keys in rounds.values() if not keys <= done for key in keys & done}


def density(methods: Mapping[str, Method], pipe, run: MetaCost) -> float | None:
    """Share of the query-key pairs that the methods compute at their sites, weighted by the work at each; None where
    there is no site."""
    sites = {site.name: site for site in find_sites(pipe)}
    work = {name: sites[name].heads * sites[name].head_width * grid.tokens**2 for name, grid in run.grids.items()}
    if not work:
        return None
    trained = {name: training_grid(unet_of(pipe), sites[name], grid) for name, grid in run.grids.items()}
    computed = (_density(methods[name], grid, trained[name]) * work[name] for name, grid in run.grids.items())
    return sum(computed) / sum(work.values())


def _density(method: Method, grid: Grid, training: Grid | None) -> float:
    # Above 1 where a key counts twice, as in the published code of LiteFocus.
    share = method.density_at(grid, training)
    if not (is_number(share) and 0 <= share <= 2):
        raise InputError(
            f"{method!r} has a density of {shown(share)} on a grid of {grid.time} x {grid.mel_rows}: expected the "
            "share of query-key pairs that it computes, from 0 to 1"
        )
    return share
