"""The section on what to make sparse: plans, how they were chosen, and their validations."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from focuslab.errors import InputError
from focuslab.report.figures.frontier import frontier_figure
from focuslab.report.figures.site_map import site_map_figure
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.parts import Group, Made, facts_of_evidence, group_of
from focuslab.report.html.sources import PlanFile, Run
from focuslab.runs import CHOICE_SCHEMA, PROOF_SCHEMA
from focuslab.runs.checked import salvaged
from focuslab.runs.schemas.choice import Choice, Proof, Quality
from focuslab.tables.choice import choice_tables, plan_tables
from focuslab.tables.validation import measured_of, quality_choice_tables, validation_tables

DRAWN = 4
"""Lengths that are drawn."""


def plan_group(file: PlanFile, drawer: Drawer, *, chosen_here: bool) -> Group:
    """A plan: what it does at which length; and how it was chosen, unless the page shows that from its records."""
    plan = file.plan
    group = Group(f"{file.name}, for {plan.model}", made=[Made(file.name, facts_of_evidence(plan))])
    drawer.tables(group, lambda: plan_tables(plan))
    if chosen_here:
        return group
    validation = _checked(plan.evidence.get("measured"), Proof, "evidence.measured", drawer)
    choice = _checked(plan.evidence.get("choice"), Choice, "evidence.choice", drawer)
    if choice is None:
        drawer.gaps.append(f"{file.name}: the plan does not say how it was chosen.")
    else:
        _add_choice(group, choice, validation, drawer)
    quality = _checked(dict(plan.evidence), Quality, "evidence", drawer)
    drawer.tables(group, lambda: quality_choice_tables(quality or {}))
    if validation is None:
        drawer.gaps.append(f"{file.name}: the plan does not say what was measured of it.")
    else:
        _add_validation(group, validation, drawer)
    return group


def choice_group(run: Run, timings: Sequence[Run], drawer: Drawer) -> Group:
    """A recommendation: the choice at each length, and its validation."""
    validation, group = run.summary["proof"], group_of([run, *timings])
    _add_choice(group, run.summary["choice"], validation, drawer)
    drawer.tables(group, lambda: quality_choice_tables(run.summary))
    if validation is None:
        drawer.gaps.append(f"{run.folder.shown}: the plan was not validated on prompts that its choice had not seen.")
    drawer.gaps += run.summary["notes"]
    return group


def validation_group(run: Run, summary: Mapping, timings: Sequence[Run], drawer: Drawer) -> Group:
    """Measured and predicted numbers of a plan, of dense, of the paper's choice and of all sites."""
    group = group_of([run, *timings])
    group.missed = list(summary["missed"])
    _add_validation(group, summary, drawer)
    return group


def _add_validation(group: Group, summary: Mapping, drawer: Drawer) -> None:
    drawer.tables(group, lambda: validation_tables({**summary, "schema": PROOF_SCHEMA}))


def _add_choice(group: Group, choice: Mapping, validation: Mapping | None, drawer: Drawer) -> None:
    choice = {**choice, "schema": CHOICE_SCHEMA}
    group.lead = choice["crossover"]
    measured = measured_of({**validation, "schema": PROOF_SCHEMA}) if validation else {}
    for key, title, draw in (
        ("frontier", "What there is to choose from", lambda some: frontier_figure(some, measured=measured)),
        ("sites", "The sites on a map of the UNet", site_map_figure),
    ):
        rows = [row for row in choice["lengths"] if row[key]]
        if rows:
            some = {**choice, "lengths": [*rows[: DRAWN - 1], rows[-1]] if len(rows) > DRAWN else rows}
            drawer.add(group, title, partial(draw, some), _told(some["lengths"]))
    drawer.tables(group, lambda: list(choice_tables(choice))[:1])
    drawer.tables(group, lambda: list(choice_tables(choice))[1:], more=True)


def _told(rows: Sequence[Mapping]) -> str:
    return "; ".join(
        f"{row['seconds']:g} s: {name} {point['speedup']:.2f} times as fast, error {100 * point['error']:.2g} %"
        for row in rows
        for name, point in row["points"].items()
    )


def _checked(content: Any, shape: type[Proof | Choice | Quality], where: str, drawer: Drawer) -> dict[str, Any] | None:
    if content is None:
        return None
    try:
        return salvaged(content, shape, where, drawer.gaps)
    except InputError as wrong:
        drawer.gaps.append(f"What the plan holds as evidence is not as it was written: {wrong}.")
        return None
