"""The experiments of a sensitivity pass: what is tried at which sites, alone and jointly, and at which steps."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from focuslab.methods.catalogue import catalogue
from focuslab.runs.method_spec import DENSE, PAPER, UNBIASED, MethodSpec

CROSS_FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2)
PARTLY_WEIGHTED = (0.02, 0.1)
"""Fractions whose keys are also tried with the weight r^-0.75, between the paper's 1 and the unbiased 1/r: the unbiased
estimate of few keys has a large variance."""
POWER = -0.75

LARGE, SMALL = 0.05, 0.01
"""A group whose attention cores do at least `LARGE` of a dense step's FLOPs has every candidate. Below `SMALL` it could
not save more than a hundredth of the step whatever ran there, and two are enough to see its error."""


def litefocus(cross_fraction: float, cross_weight: float | str = UNBIASED) -> MethodSpec:
    """LiteFocus with this r and weight."""
    return MethodSpec("litefocus", {"cross_fraction": cross_fraction, "cross_weight": cross_weight})


def pooled(pool_size: int) -> MethodSpec:
    """The own row exactly, and means over so many time steps of the others."""
    return MethodSpec("pooled", {"stretch": pool_size})


OWN_ROW, TOKEN_MERGING, SAMPLED = MethodSpec("same-frequency"), MethodSpec("tome"), MethodSpec("sampled")


def default_methods(flop_share: float) -> tuple[MethodSpec, ...]:
    """What is tried at a group whose attention cores do this share of a step's FLOPs."""
    if flop_share >= LARGE:
        return (
            PAPER,
            OWN_ROW,
            *map(litefocus, CROSS_FRACTIONS),
            *(litefocus(r, float(f"{r**POWER:.3g}")) for r in PARTLY_WEIGHTED),
            *(MethodSpec(name, given) for name, entry in catalogue().items() for given in entry.candidates),
        )
    if flop_share >= SMALL:
        return (PAPER, OWN_ROW, litefocus(0.1), pooled(10), TOKEN_MERGING, SAMPLED)
    return (PAPER, pooled(10))


def with_paper(labels: Iterable[str]) -> tuple[MethodSpec, ...]:
    """The paper's method and those of the labels, without sites: what is tried where these were asked for."""
    return tuple(dict.fromkeys((PAPER, *(MethodSpec.parse(label).without_sites() for label in labels))))


def timed_as(method: MethodSpec) -> MethodSpec:
    """What is timed for a method, at no sites in particular: a weight other than 1 costs the same whichever it is."""
    weight = method.parameters.get("cross_weight", 1.0)
    if isinstance(weight, str) or weight == 1:
        return method.without_sites()
    return MethodSpec(method.name, {**method.parameters, "cross_weight": UNBIASED})


def estimated_share(method: MethodSpec) -> float | None:
    """The share of all keys that stands for the other rows without bias to first order; None where none does.

    Unbiased LiteFocus and pooling have such keys.
    """
    if method.name == "pooled":
        return 1 / method.parameters["stretch"]
    return method.cross_fraction if method.parameters.get("cross_weight") == UNBIASED else None


def nearest_estimate(methods: Sequence[MethodSpec], like: MethodSpec) -> MethodSpec:
    """Of the methods with an `estimated_share` the one nearest to `like`, by name and then by share; else `PAPER`."""
    wanted = estimated_share(like) or 0.0
    share = {method: share for method in methods if (share := estimated_share(method)) is not None}
    return min(share, key=lambda m: (m.name != like.name, abs(share[m] - wanted), m), default=PAPER)


SAME_STEPS, SAME_STEPS_UP_TO = 4, 20.0
"""Recorded steps of every prompt at lengths up to so many seconds, the same for all prompts."""
OWN_STEPS = {40.0: 2, float("inf"): 1}
"""Recorded steps of each prompt at lengths up to so many seconds: beyond `SAME_STEPS_UP_TO` a call of the UNet takes
seconds, so each prompt has steps of its own and all prompts together cover the generation."""
TOGETHER = (litefocus(0.02), litefocus(0.1), pooled(50), pooled(10))
"""What is tried at several groups at once, beside the paper's method."""
RANDOM = 3
"""Joint ablations with a method drawn for each group, beside those in which groups have the same one."""

Choice = Mapping[str, MethodSpec]
"""Group -> the method there, without sites; groups that are not named stay dense."""


@dataclass(frozen=True)
class Group:
    """Sites that are made sparse together, and the methods that are tried there."""

    name: str
    sites: tuple[str, ...]
    methods: tuple[MethodSpec, ...]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "sites": self.sites, "methods": [str(method) for method in self.methods]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Group":
        return cls(content["name"], tuple(content["sites"]), tuple(map(MethodSpec.parse, content["methods"])))


def groups_of(
    blocks: Mapping[str, str], flop_share: Mapping[str, float], methods: Sequence[str] | None = None
) -> list[Group]:
    """The blocks in the order of the UNet, each with what is tried there.

    blocks: site -> its block. flop_share: site -> share of a dense step's FLOPs in its attention core. methods: labels
    of what is tried beside the paper's method; where attention costs little, those of them that are tried by default.
    """
    groups = []
    for block in dict.fromkeys(blocks.values()):
        sites = tuple(site for site, its_block in blocks.items() if its_block == block)
        share = sum(flop_share[site] for site in sites)
        tried = default_methods(share)
        if methods is not None:
            tried = tuple(m for m in with_paper(methods) if share >= LARGE or m in tried)
        groups.append(Group(block, sites, tried))
    return groups


def experiments_of(groups: Sequence[Group], more: Iterable[Choice] = ()) -> list[Choice]:
    """Every candidate of every group alone, and then joint ablations with `more` among them."""
    return [*({group.name: method} for group in groups for method in group.methods), *joint_ablations(groups, more)]


def joint_ablations(groups: Sequence[Group], more: Iterable[Choice] = ()) -> list[Choice]:
    """Choices of several groups at once, from which one learns how errors combine.

    They are the paper's method and `TOGETHER` (or what is nearest to it), at all groups and at those where most is
    tried; some with a method drawn for each group, always the same; and `more`.
    """
    choices: list[Choice] = []
    most = max(len(group.methods) for group in groups)
    for among in (groups, [group for group in groups if len(group.methods) == most]):
        choices.append({group.name: PAPER for group in among})
        choices += [{group.name: nearest_estimate(group.methods, like) for group in among} for like in TOGETHER]
    draw = random.Random(0)
    for _ in range(RANDOM):
        drawn = {
            group.name: draw.choice([*(m for m in group.methods if m == OWN_ROW or estimated_share(m)), DENSE])
            for group in groups
        }
        choices.append({name: method for name, method in drawn.items() if method != DENSE})
    choices += more
    return list({choice_key(choice): dict(choice) for choice in choices if len(choice) > 1}.values())


def choice_key(choice: Choice) -> frozenset[tuple[str, MethodSpec]]:
    """Equal for choices that do the same."""
    return frozenset(choice.items())


def parse_choice(labels: Mapping[str, Any]) -> dict[str, MethodSpec]:
    """The choice that is given as text."""
    return {group: MethodSpec.parse(str(label)).without_sites() for group, label in labels.items()}


def to_record(choice: Choice) -> dict[str, Any]:
    """How the record of an error says what was sparse: one group, or several at once."""
    labels = {group: str(method) for group, method in choice.items()}
    if len(labels) > 1:
        return {"kind": "joint", "choice": labels}
    ((group, label),) = labels.items()
    return {"kind": "sensitivity", "group": group, "method": label}


def choice_of(record: Mapping[str, Any]) -> dict[str, MethodSpec]:
    """What was sparse, from the record of an error."""
    return parse_choice(record["choice"] if record["kind"] == "joint" else {record["group"]: record["method"]})


def recorded_steps(steps: int, prompts: int, seconds: float) -> list[list[int]]:
    """For each prompt the steps, from 0, whose latents are used: middles of equal shares of the generation."""
    if seconds <= SAME_STEPS_UP_TO:
        return [middles(steps, SAME_STEPS)] * prompts
    each = next(count for longest, count in OWN_STEPS.items() if seconds <= longest)
    if each * prompts > steps:
        return [middles(steps, each)] * prompts
    return [middles(steps, each * prompts)[p::prompts] for p in range(prompts)]


def middles(steps: int, count: int) -> list[int]:
    """The middles of `count` equal shares of `steps`, or every step where there are fewer."""
    count = min(count, steps)
    return [int((i + 0.5) * steps / count) for i in range(count)]
