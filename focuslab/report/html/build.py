"""Builds the parts of a page from what was found in directories."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from focuslab.report.html import story
from focuslab.report.html.captures import capture_group, evaluation_group
from focuslab.report.html.clips import clip_group, comparisons_of
from focuslab.report.html.drawing import Drawer
from focuslab.report.html.parts import Group, Made, Section, made_of
from focuslab.report.html.plans import choice_group, plan_group, validation_group
from focuslab.report.html.profiles import merged, profile_group
from focuslab.report.html.sources import Found, Run
from focuslab.tables.attention import counted

TILES = 4
MOST_GAPS = 200
"""At most this many gaps are listed one by one."""
_SENTENCES = 4
"""At most this many sentences are about one kind of run."""
_ABSENT = {
    "time": "No profile was given, so where the time goes is not shown: focuslab profile measures it.",
    "attention": "No capture was given, so where attention looks is not shown: focuslab capture-attn records it.",
    "plan": "No plan was given, so what to make sparse is not shown: focuslab recommend chooses it.",
    "cost": "Neither a validation of a plan nor an evaluation was given, so what sparse attention does to quality is "
    "not shown: focuslab recommend and focuslab evaluate measure it.",
    "sound": "No clips were given: focuslab generate makes them, focuslab evaluate --keep-audio keeps them.",
}
_KINDS = ("profile", "attention", "sensitivity", "recommendation", "proof", "evaluation")
_CALLED = {"attention": "capture", "sensitivity": "sensitivity run", "proof": "validation"}
"""What the page calls kinds of runs, where that is not their name."""


@dataclass
class Page:
    """All that is on a page, top to bottom."""

    title: str
    said: str
    sections: list[Section]
    tiles: list[story.Tile] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)


def build(found: Found, room: Callable[[Page], int]) -> Page:
    """The page of all that was found.

    Parameters
    ----------
    found : Found
    room : callable
        How many bytes are left for clips on a page as it is then.
    """
    drawer = Drawer()
    validations = _validations(found)
    timings = [run for run in found.of("profile") if _is_timing(run, found)]
    profiles = merged([run for run in found.of("profile") if run not in timings])
    sections = [
        Section(
            "time",
            "Where the time goes",
            "Measured time of a denoising step, dense against sparse in one interleaved run, and the kinds of module "
            "that take it.",
            story.profiles_side_by_side(profiles),
            _groups(drawer, ((runs, partial(profile_group, runs, summary, drawer)) for runs, summary in profiles)),
        ),
        Section(
            "attention",
            "Where attention looks",
            "How much of self-attention stays in a query's own mel row, against the chance of one in F rows.",
            story.captures_side_by_side(found.of("attention")),
            _groups(drawer, (([run], partial(capture_group, run, drawer)) for run in found.of("attention"))),
        ),
        Section(
            "plan",
            "What to make sparse",
            "For each length the sites that pay: time saved against the error of the UNet's output.",
            groups=_plans(found, drawer),
        ),
        Section(
            "cost",
            "What it gains and what it costs",
            "Measured on clips: the validation of a plan, and metrics against reference and captions.",
            groups=_groups(
                drawer,
                [([r], partial(validation_group, r, s, _beneath(r, timings), drawer)) for r, s in validations]
                + [([run], partial(evaluation_group, run, drawer)) for run in found.of("evaluation")],
            ),
        ),
    ]
    for section in sections:
        _name_apart(section.groups)
    page = Page(_title(found), _said(found), sections)
    _tell(page, found, profiles, validations, drawer)
    gaps = list(found.gaps)
    sections.append(_listen(found, page, room, drawer, gaps))
    for section in sections:
        if not section.groups:
            section.gaps.append(_ABSENT[section.name])
    gaps += [f"{run.folder.shown}: {gap}" for run in found.runs for gap in run.gaps]
    sections.append(_missing(sections, [*gaps, *drawer.gaps]))
    return page


def _validations(found: Found) -> list[tuple[Run, Mapping]]:
    """The validations: runs of their own, and those that only a recommendation holds."""
    own = found.of("proof")
    within = [run for run in found.of("recommendation") if run.summary["proof"]]
    within = [run for run in within if not any(validation.lies_in(run) for validation in own)]
    return [(run, run.summary) for run in own] + [(run, run.summary["proof"]) for run in within]


def _plans(found: Found, drawer: Drawer) -> list[Group]:
    recommendations = found.of("recommendation")
    choices = (
        ([run], lambda run=run: choice_group(run, _beneath(run, found.of("sensitivity")), drawer))
        for run in recommendations
    )
    shown = {f"{run.folder.shown}.json" for run in recommendations}
    groups = _groups(drawer, choices)
    return groups + [plan_group(file, drawer, chosen_here=file.name in shown) for file in found.plans]


def _listen(found: Found, page: Page, room: Callable[[Page], int], drawer: Drawer, gaps: list[str]) -> Section:
    section = Section(
        "sound",
        "Listen",
        "The same prompt, length and seed, dense and sparse side by side; the method is all that differs.",
    )
    chosen, left = comparisons_of(found.sounds, found.of("evaluation"))
    heard = clip_group(chosen, room(page), drawer, gaps) if chosen else None
    section.groups += [heard] if heard else []
    if left:
        section.gaps.append(f"{left} more groups of clips are in the run directories and not on this page.")
    return section


def _missing(sections: Sequence[Section], gaps: Iterable[str]) -> Section:
    gaps = [*(gap for section in sections for gap in section.gaps), *dict.fromkeys(gaps)]
    if len(gaps) > MOST_GAPS:
        gaps = [*gaps[:MOST_GAPS], f"and {len(gaps) - MOST_GAPS} more"]
    lead = (
        "What was not given, was damaged, or could not be shown."
        if gaps
        else "Every kind of run was given, and all of them could be read and shown."
    )
    lead += " What a run itself did not measure is said beneath its tables."
    return Section("missing", "What was not measured", lead, gaps=gaps)


def _tell(
    page: Page, found: Found, profiles: story.Profiles, validations: Sequence[tuple[Run, Mapping]], drawer: Drawer
) -> None:
    """Sentences in the order of the sections; with several runs of a kind each says whose it is."""
    recommendations = found.of("recommendation")
    kinds = [
        [(runs[0], lambda s=s: story.of_profile(s)) for runs, s in profiles],
        [(run, lambda run=run: story.of_capture(run.summary)) for run in found.of("attention")],
        [(run, lambda run=run: story.of_choice(run.summary["choice"], run.summary)) for run in recommendations],
        [(run, lambda s=s: story.of_validation(s)) for run, s in validations],
        [(run, lambda run=run: story.of_evaluation(run.summary)) for run in found.of("evaluation")],
    ]
    told = [
        [
            (run.model, run.folder.shown, drawer.attempt(f"{run.folder.shown} could not be put into a sentence", tell))
            for run, tell in kind
        ]
        for kind in kinds
    ]
    if not recommendations:
        told[2] = [(file.plan.model, file.name, story.of_plan(file)) for file in found.plans]
    models = {model for kind in told for model, _, _ in kind}
    tiles = []
    for kind in told:
        said_of = [(model, where, said) for model, where, said in kind if said]
        for model, where, said in said_of[:_SENTENCES]:
            whose = where if len({m for m, _, _ in said_of}) < len(said_of) else model if len(models) > 1 else ""
            page.words.append(f"{whose}: {said.words}" if whose else said.words)
            # A number that stands alone must not leave open which of several runs it is of.
            tiles.append([t._replace(label=f"{t.label} ({whose})") if whose else t for t in said.tiles])
    page.tiles = _some(tiles)
    page.made = [made_of(run) for run in found.runs]


def _some(tiles: Sequence[Sequence[story.Tile]]) -> list[story.Tile]:
    """At most `TILES`, some of each kind, in the order of the page."""
    in_turn = [tile for depth in range(TILES) for own in tiles for tile in own[depth : depth + 1]]
    kept = {id(tile) for tile in in_turn[:TILES]}
    return [tile for own in tiles for tile in own if id(tile) in kept]


def _groups(drawer: Drawer, makers: Iterable[tuple[Sequence[Run], Callable[[], Group]]]) -> list[Group]:
    """A group of each (runs, maker); what cannot be made from odd records is a gap."""
    made = (
        drawer.attempt(f"{', '.join(run.folder.shown for run in runs)} could not be shown", make)
        for runs, make in makers
    )
    return [group for group in made if group]


def _name_apart(groups: Sequence[Group]) -> None:
    """Groups with the same title get the directory of their first run beside it."""
    titles = [group.title for group in groups]
    for group in groups:
        if titles.count(group.title) > 1 and group.made:
            group.title = f"{group.title}: {group.made[0].title}"


def _is_timing(run: Run, found: Found) -> bool:
    """Whether a validation or a recommendation was timed by this profile: PROOF/time, PLAN/timings/1."""
    around = run.folder.root.parent.parent
    chosen = any(around == other.folder.root for other in found.of("recommendation"))
    return chosen or any(run.lies_in(other) for other in found.of("proof"))


def _beneath(run: Run, others: Sequence[Run]) -> list[Run]:
    """The runs that were made for `run`: they lie in it, or in the records or timings beside it."""
    places = (run.folder.root, run.folder.root.parent)
    return [o for o in others if o.lies_in(run) or o.folder.root.parent.parent in places]


def _title(found: Found) -> str:
    names = [run.model for run in found.runs] + [file.plan.model for file in found.plans]
    models = list(dict.fromkeys(names + [clip.settings["model"]["name"] for clip in found.sounds]))
    return " and ".join(models) if len(models) < 4 else f"{', '.join(models[:3])} and {len(models) - 3} more models"


def _said(found: Found) -> str:
    counts = [(len(found.of(kind)), _CALLED.get(kind, kind)) for kind in _KINDS]
    counts += [(len(found.plans), "plan"), (len(found.sounds), "clip")]
    parts = [counted(count, name) for count, name in counts if count]
    days = sorted({day[:10] for run in found.runs for day in (run.info.started, run.info.ended) if day})
    days = list(dict.fromkeys((days[0], days[-1]))) if days else []
    return ", ".join(parts) + (f"; measured {' to '.join(days)}" if days else "")
