"""The parts of a page, and how numbers were made as facts in words. All text is plain; the template escapes it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from focuslab.report.html.sources import Run
from focuslab.runs import RunInfo
from focuslab.runs.plan import PlanSpec
from focuslab.tables.table import Table

MOST_ROWS = 300
"""A table on the page has at most this many rows."""


@dataclass
class Figure:
    """A picture as a data URI, and in words (`alt`). `wide`: a phone scrolls it sideways."""

    title: str
    image: str
    alt: str
    caption: str
    wide: bool = False


@dataclass
class Made:
    """How numbers were made: (what, value) in the order to be read."""

    title: str
    facts: list[tuple[str, str]]


class Clip(NamedTuple):
    """A clip: what made it, as a data URI, as a picture, and what is known of it."""

    method: str
    audio: str
    picture: Figure | None
    facts: list[tuple[str, str]]
    made: Made


@dataclass
class Comparison:
    """Clips of the same prompt, length and seed, dense first."""

    prompt: str
    said: str
    clips: list[Clip]


@dataclass
class Group:
    """The answer of some runs of one model to the question of a section.

    `missed` are the predictions that a validation missed, `more` tables that are shown at a click, and `made` says how
    the runs were made.
    """

    title: str
    lead: str = ""
    missed: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    more: list[Table] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)


@dataclass
class Section:
    """`gaps`: what belongs here and was not measured or could not be shown."""

    name: str
    title: str
    lead: str = ""
    side_by_side: Table | None = None
    groups: list[Group] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)


_MOST = 600
PROTOCOLS = {
    "profile": "Step time: the UNet's call to the scheduler's new latents, guided batch of two, without any "
    "timers; the methods follow each other in every round, after an untimed step of each. Shares: a run of its own "
    "with a clock on every module. FLOPs and predicted bytes: a dry run without weights.",
    "attention": "Statistics of softmax probabilities, exact, at the recorded steps and in both halves of the guidance "
    "batch. Lift is mass over chance (1 / F for F mel rows). Recall and output error: each site alone, on the input it "
    "has in dense attention. Intervals: bootstrap over prompts.",
    "evaluation": "Every clip has a seed of its own that depends on prompt, length and seed only, so methods are "
    "compared pair by pair. Clips that are NaN or silent are counted and left out. Speed-ups are of the denoising of "
    "the same clips.",
    "proof": "On prompts and seeds that the choice has not seen. Step times: interleaved, as in a profile. UNet error: "
    "of the guided output at latents of the dense generation. Distances: final clip to the dense clip of the same "
    "seed.",
    "sensitivity": "Relative error of the guided UNet output with one group of sites sparse at a time, and with "
    "several, at latents of dense generations.",
    "recommendation": "Predicted time: measured seconds that each group of sites saves. Predicted error: of the UNet's "
    "output with one group sparse at a time, put together by a rule that was fitted on runs of several groups at once.",
}


def made_of(run: Run) -> Made:
    """How a run was made, and where it lies."""
    return Made(
        run.folder.shown, [("Directory", run.folder.shown), *facts_of(run.info), ("Protocol", PROTOCOLS[run.kind])]
    )


def group_of(runs: Sequence[Run]) -> Group:
    """An empty group named after the model and machine of the first of these runs."""
    info = runs[0].info
    return Group(f"{info.model['name']}, {machine_of(info)}", made=[made_of(run) for run in runs])


def facts_of(info: RunInfo) -> list[tuple[str, str]]:
    """Facts about one run: (name, value) in the order to be read."""
    model = {name: value for name, value in info.model.items() if name != "name"}
    prompts = list(info.prompts)
    facts = [
        ("Command", f"focuslab {info.command}"),
        ("Parameters", _pairs(info.parameters)),
        ("Model", info.model["name"]),
        ("About the model", _pairs(model)),
        ("Device", f"{info.device}, {info.dtype}"),
        ("Machine", _pairs(info.machine)),
        ("Versions", _pairs(info.versions)),
        ("Seed", "not recorded" if info.seed is None else str(info.seed)),
        ("Prompts", _listed(prompts)),
        ("Begun, ended", f"{info.started or 'not recorded'}, {info.ended or 'not ended'}"),
    ]
    return [(name, value) for name, value in facts if value]


def facts_of_settings(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts about one clip, as `focuslab generate` writes them beside it."""
    facts = [
        ("Command", "focuslab generate"),
        ("Method", settings["method"]),
        ("Model", settings["model"]["name"]),
        ("Steps", _number(settings["steps"])),
        ("Guidance", _number(settings["guidance_scale"])),
        ("Seed", str(settings["seed"])),
        ("Device", ", ".join(filter(None, (settings["device"], settings["dtype"])))),
        ("Machine", _pairs(settings["machine"])),
        ("Versions", _pairs(settings["versions"])),
        ("Made", settings["made"] or ""),
    ]
    return [(name, value) for name, value in facts if value]


def facts_of_evidence(plan: PlanSpec) -> list[tuple[str, str]]:
    """Facts about the runs that a plan was made from."""
    facts = [("Plan", f"{plan.fingerprint}, for {plan.model}")]
    made_from = plan.evidence.get("made_from")
    for name, made in made_from.items() if isinstance(made_from, Mapping) else ():
        facts.append((f"From the {_short(name)}", _pairs(made)))
    measured = plan.evidence.get("measured")
    if isinstance(measured, Mapping):
        facts.append(("Measured", _pairs({k: v for k, v in measured.items() if k != "rows"})))
    return facts if len(facts) > 1 else [*facts, ("How it was made", "not recorded in the plan")]


def machine_of(info: RunInfo) -> str:
    """Device, dtype and machine in a few words."""
    machine = info.machine
    place = machine.get("accelerator") or machine.get("processor") or "a machine that was not recorded"
    threads = machine.get("threads")
    cores = f" ({threads} threads)" if threads and not machine.get("accelerator") else ""
    return f"{info.dtype} on {_short(place)}{cores}"


def _pairs(content: Any) -> str:
    if not isinstance(content, Mapping):
        return ""
    return "; ".join(
        f"{_short(name)}: {_short(value)}" for name, value in content.items() if value not in (None, {}, [])
    )


def _short(value: Any) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _MOST else f"{shown[:_MOST]} ... ({len(shown)} characters, all of them in run.json)"


def _listed(prompts: Sequence[str]) -> str:
    shown = "; ".join(f"{i}. {_short(prompt)}" for i, prompt in enumerate(prompts[:20], start=1))
    return shown + (f"; and {len(prompts) - 20} more" if len(prompts) > 20 else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
