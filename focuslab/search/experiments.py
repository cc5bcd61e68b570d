"""What a sensitivity pass tries: groups of sites one by one, some together, at which steps of a generation."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from focuslab.runs.method_spec import without_sites
from focuslab.search.candidates import (
    LARGE,
    OWN_ROW,
    PAPER,
    TIMED_WEIGHT,
    candidates,
    estimated_share,
    litefocus,
    nearest_estimate,
    pooled,
    with_paper,
)

SAME_STEPS, SAME_STEPS_UP_TO = 4, 20.0
"""Recorded steps of every prompt at lengths up to so many seconds, the same for all prompts."""
OWN_STEPS = {40.0: 2, float("inf"): 1}
"""Recorded steps of each prompt at lengths up to so many seconds: beyond `SAME_STEPS_UP_TO` a call of the UNet takes
seconds, so each prompt has steps of its own and all prompts together cover the generation."""
TOGETHER = (litefocus(0.02, TIMED_WEIGHT), litefocus(0.1, TIMED_WEIGHT), pooled(50), pooled(10))
"""What is tried at several groups at once, beside the paper's method."""
MIXED = 3
"""Joint choices with an option drawn for each group, beside those in which groups have the same one."""

Choice = Mapping[str, str]
"""Group -> label of the method there, without sites; groups that are not named stay dense."""


@dataclass(frozen=True)
class Group:
    """Sites that are made sparse together, and the labels of what is tried there."""

    name: str
    sites: tuple[str, ...]
    methods: tuple[str, ...]


def groups_of(
    blocks: Mapping[str, str],
    flop_share: Mapping[str, float],
    per_site: bool,
    methods: Sequence[str] | None = None,
) -> list[Group]:
    """The blocks in the order of the UNet; with `per_site` those of large cost are taken apart into their sites.

    blocks: site -> its block. flop_share: site -> share of a dense step's FLOPs in its attention core. methods: labels
    of what is tried beside the paper's method; where the cost is not large, those of them that would be by default.
    """
    groups = []
    for block in dict.fromkeys(blocks.values()):
        own = tuple(site for site, its_block in blocks.items() if its_block == block)
        share = sum(flop_share[site] for site in own)
        tried = candidates(share)
        if methods is not None:
            tried = tuple(m for m in with_paper(methods) if share >= LARGE or m in tried)
        if per_site and share >= LARGE and len(own) > 1:
            groups += [Group(site, (site,), tried) for site in own]
        else:
            groups.append(Group(block, own, tried))
    return groups


def joint_choices(groups: Sequence[Group], more: Iterable[Choice] = ()) -> list[Choice]:
    """Choices of several groups at once, from which one learns how errors combine.

    The paper's method and `TOGETHER` (or what is nearest to it) at all groups and at those where most is tried, some
    drawn for each group apart (always the same), and `more`.
    """
    choices: list[Choice] = []
    most = max(len(group.methods) for group in groups)
    for among in (groups, [group for group in groups if len(group.methods) == most]):
        choices.append({group.name: PAPER for group in among})
        choices += [{group.name: nearest_estimate(group.methods, like) for group in among} for like in TOGETHER]
    draw = random.Random(0)
    for _ in range(MIXED):
        drawn = {
            group.name: draw.choice([*(m for m in group.methods if m == OWN_ROW or estimated_share(m)), "dense"])
            for group in groups
        }
        choices.append({name: label for name, label in drawn.items() if label != "dense"})
    choices += more
    return list({choice_key(choice): dict(choice) for choice in choices if len(choice) > 1}.values())


def choice_key(choice: Choice) -> tuple[tuple[str, str], ...]:
    """Equal for choices that do the same, however they are written."""
    return tuple(sorted((group, without_sites(method)) for group, method in choice.items()))


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
