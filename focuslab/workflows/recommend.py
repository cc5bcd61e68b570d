"""From a model to a plan with its proof: makes whatever records are missing, chooses, and runs what was chosen."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from focuslab.checks import several, switch, text
from focuslab.errors import InputError
from focuslab.hooks.meta_cost import dry_run, meta_unet
from focuslab.io.prompts import CHOICE_PROMPTS, PROOF_PROMPTS, check_prompts
from focuslab.measure.capture import capture_attention
from focuslab.measure.profile import profile as take_profile
from focuslab.measure.sensitivity import measure_sensitivity
from focuslab.measure.validation import OTHERS
from focuslab.measure.validation import prove as take_proof
from focuslab.methods import Method, Plan, parse_method
from focuslab.methods.base import check_choice, check_count, check_seed
from focuslab.models.conditioning import encode_prompt, unet_inputs
from focuslab.models.identity import run_info
from focuslab.models.latents import check_mel_latents
from focuslab.models.lengths import check_lengths, training_seconds
from focuslab.results import AttentionRun, EvaluationRun, ProfileRun, ProofRun, SensitivityRun
from focuslab.runs import Progress, skipped_in_words, skipped_rows
from focuslab.runs.directory import RunDirectory
from focuslab.search.candidates import PAPER, candidates, timed_as, with_paper
from focuslab.search.experiments import Choice, middles
from focuslab.search.options import check_comparable, unmeasured
from focuslab.search.plan_files import check_plan_path, check_same, plan_directory, publish
from focuslab.search.quality_objective import FIDELITY, OBJECTIVES, QUALITY
from focuslab.search.quality_plan import check_objective, with_quality
from focuslab.search.retiming import Timings
from focuslab.search.select import Budget, Selection, check_budgets, select

RECORDS = "records"
"""The directory beside a plan that holds what it is chosen from, for all plans there."""
PROOF = "proof"
TIMINGS = "timings"
"""The directory within a plan's that holds the runs in which its choice was timed as a whole."""
CAPTURED_PROMPTS, CAPTURE_STEPS, CAPTURED_STEPS = 2, 8, 2
"""Of a capture made here: prompts, denoising steps, those of them that are recorded. Its numbers say why, and do not
choose."""
CAPTURED_FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.2)
REPEATS, MODULE_REPEATS = 5, 3
CONFIRMATIONS = 2
"""How often the joint errors beside the choice are measured and the choice is made anew."""
TIMED_CHOICES, TIMED_REPEATS = 3, 9
"""How many choices of a speed are timed as a whole, one after another where each is too slow, and how often each."""
SHARES = {
    "capture": 0.07,
    "profile": 0.13,
    "sensitivity pass": 0.4,
    "confirmation": 0.03,
    "timing": 0.05,
    "proof": 0.32,
}
"""About how much of the work each part is."""

Run = TypeVar("Run")


@dataclass(frozen=True)
class Recommendation:
    """A plan, how it was chosen, and its proof (None if there is none). `notes`: what records lack, in words."""

    plan: Plan
    path: Path
    selection: Selection
    proof: ProofRun | None
    notes: tuple[str, ...]

    @property
    def directory(self) -> Path:
        return plan_directory(self.path)

    @property
    def missed(self) -> list[str]:
        """What the proof missed of its prediction, in words."""
        return self.proof.summary["missed"] if self.proof else []


@torch.no_grad()
def recommend(
    pipe,
    seconds: Iterable[float] | float = (10, 20, 40, 80),
    *,
    max_error: Budget = None,
    min_speedup: Budget = None,
    prompts: Iterable[str] | str = CHOICE_PROMPTS,
    proof_prompts: Iterable[str] | str = PROOF_PROMPTS,
    methods: Iterable[str] | str | None = None,
    per_site: bool = False,
    steps: int = 20,
    seed: int = 0,
    attention: AttentionRun | None = None,
    profile: ProfileRun | None = None,
    sensitivity: SensitivityRun | None = None,
    evaluation: EvaluationRun | None = None,
    objective: str = FIDELITY,
    prove: bool = True,
    keep_audio: bool = False,
    out: str | os.PathLike = "plan.json",
    force: bool = False,
    progress: Progress | None = None,
) -> Recommendation:
    """Choose for each length which sites to make sparse, how much and how, from measurements, and prove it.

    What is not given is made: a profile of all candidates at all sites, a sensitivity pass and, unless both are given,
    a capture, in records/ beside the plan, where the next plan finds them. The choice is confirmed by joint errors at
    and beside it and, where it is to reach a speed, by timing it as a whole. Then the plan, the paper's choice, all
    sites and dense run on `proof_prompts` with another seed.

    max_error, min_speedup: the budget, see `focuslab.search.select.select`. prompts: of capture and pass. methods:
    labels, without sites, of what is tried where attention costs much; None is `focuslab.search.candidates`. per_site:
    choose for each site of the blocks with much attention, not for the block. steps: denoising steps of a generation.
    evaluation, objective: with "quality", lengths beyond the training length run what the evaluation found best. out:
    the plan, a name that ends in .json; its summary, figures and proof are in the directory of that name without the
    ending. The same call goes on with what is there. force: replace another plan, and records of another run.

    Raises `InputError` before anything is run or written for a wrong argument or records of another model, device or
    dtype, and after the measurements for a budget that nothing meets.
    """
    check_mel_latents(pipe)
    lengths = check_lengths(pipe, seconds)
    max_error, min_speedup = check_budgets(max_error, min_speedup)
    methods = None if methods is None else [text("the name of a method", label) for label in several(methods)]
    tried = candidates(1.0) if methods is None else _check_methods(methods)
    prompts, proof_prompts = check_prompts(prompts), check_prompts(proof_prompts)
    both = [prompt for prompt in prompts if prompt in proof_prompts]
    if both:
        raise InputError(f"the prompt {both[0]!r} is to choose and to prove: a proof needs prompts that are new to it")
    steps, seed = check_count("steps", steps), check_seed(seed)
    per_site = switch("per_site", per_site)
    check_choice("objective", objective, OBJECTIVES)
    if objective == QUALITY and evaluation is None:
        raise InputError("the objective quality needs an evaluation: give the directory of focuslab evaluate")
    path = check_plan_path(out, force)
    given = {"capture": attention, "profile": profile, "sensitivity pass": sensitivity, "evaluation": evaluation}
    info = run_info(
        pipe,
        "recommend",
        {
            "seconds": lengths,
            "max_error": max_error,
            "min_speedup": min_speedup,
            "proof_prompts": proof_prompts,
            "methods": methods,
            "per_site": per_site,
            "steps": steps,
            "objective": objective,
            "given": sorted(name for name, run in given.items() if run),
        },
        seed=seed,
        prompts=prompts,
    )
    if evaluation is not None:
        check_objective(evaluation, objective, lengths, training_seconds(pipe))
    check_comparable({"model given": info, **{name: run.info if run else None for name, run in given.items()}})
    check_same(path, info, force)
    parts = _Parts(progress or (lambda *_: None))
    records = path.parent / RECORDS

    # It says why and chooses nothing, so it is made only where there is something to measure anyway.
    if attention is None and (profile is None or sensitivity is None):
        attention = _made(
            force,
            capture_attention,
            pipe,
            prompts[:CAPTURED_PROMPTS],
            lengths,
            steps=CAPTURE_STEPS,
            capture_steps=middles(CAPTURE_STEPS, CAPTURED_STEPS),
            seed=seed,
            cross_fractions=CAPTURED_FRACTIONS,
            cross_weight="unbiased",
            statistics=("mass", "recall", "output_error"),
            out=records / "capture",
            progress=parts.part("capture"),
        )
    flops = None
    if profile is None:
        labels = profiled(tried)
        profile = _made(
            force,
            take_profile,
            pipe,
            lengths,
            {label: parse_method(label) for label in labels},
            prompt=prompts[0],
            repeats=REPEATS,
            module_repeats=MODULE_REPEATS,
            seed=seed,
            out=records / "profile",
            progress=parts.part("profile"),
        )
    else:
        flops = _flops_of(pipe, profile, lengths, tried)

    def measure(joint: Mapping[float, Sequence[Choice]], part: str) -> SensitivityRun:
        return _made(
            force,
            measure_sensitivity,
            pipe,
            prompts,
            lengths,
            steps=steps,
            seed=seed,
            per_site=per_site,
            methods=methods,
            joint=joint,
            out=records / "sensitivity",
            progress=parts.part(part),
        )

    budget = {"max_error": max_error, "min_speedup": min_speedup}
    timings = Timings({})

    def choose() -> Selection:
        found = select(profile, sensitivity, attention, seconds=measured, **budget, flops=flops, timings=timings)
        return replace(found, notes=(*found.notes, *notes))

    measured_here = sensitivity is None
    if measured_here:
        sensitivity = measure({}, "sensitivity pass")
    measured, notes = measured_lengths(lengths, profile, sensitivity)
    selection = choose()
    # Only what this choice asks for counts, so that other plans' confirmations beside it do not change it.
    asked_for: dict[float, list[Choice]] = {at: [] for at in measured}
    for _ in range(CONFIRMATIONS if measured_here else 0):
        for at, choices in selection.to_confirm().items():
            asked_for[at] += choices
        sensitivity = measure(asked_for, "confirmation")
        selection = choose()
    with RunDirectory(plan_directory(path), info, force=force) as run:
        for count in range(TIMED_CHOICES if min_speedup is not None else 0):
            untimed = [at for at, point in selection.points.items() if point.sparse and not point.timed]
            if not untimed:
                break
            timing = _made(
                True,
                take_profile,
                pipe,
                untimed,
                {"dense": OTHERS["dense"], "paper": OTHERS["paper"], "plan": selection.plan},
                prompt=prompts[0],
                repeats=TIMED_REPEATS,
                seed=seed,
                only_steps=True,
                out=run.path / TIMINGS / f"{count + 1}",
                progress=parts.part("timing"),
            )
            timings = replace(timings.after(timing, selection.points, steps), closed=count + 1 == TIMED_CHOICES)
            selection = choose()

        plan = selection.plan
        if evaluation is not None:
            budgets = {row["seconds"]: row["budget"]["min_speedup"] for row in selection.summary["lengths"]}
            plan = with_quality(
                plan, selection.points, selection.frontiers, evaluation, objective, training_seconds(pipe), budgets
            )
        proof = None
        if prove and any(entry.sites for entry in plan.entries):
            proof = _made(
                True,
                take_proof,
                pipe,
                plan,
                proof_prompts,
                measured,
                predictions=_predictions(selection, plan),
                steps=steps,
                seed=seed + 1,
                keep_audio=keep_audio,
                out=run.path / PROOF,
                progress=parts.part("proof"),
            )
            plan = replace(plan, evidence={**plan.evidence, "measured": _evidence(proof)})
        publish(path, run, selection, plan, proof)
    return Recommendation(plan, path, selection, proof, selection.notes)


def measured_lengths(
    lengths: Sequence[float], profile: ProfileRun, sensitivity: SensitivityRun
) -> tuple[list[float], list[str]]:
    """The lengths at which neither dense nor the sensitivity pass was skipped for want of memory, and what was skipped
    in words. Raises `InputError` where there is none."""
    rows = {
        "the profile": [row for row in skipped_rows(profile.records) if row["method"] == "dense"],
        "the sensitivity pass": skipped_rows(sensitivity.records),
    }
    left = [s for s in lengths if not any(row["seconds"] == s for found in rows.values() for row in found)]
    notes = [f"{where}: {words}" for where, found in rows.items() for words in skipped_in_words(found)]
    if not left:
        raise InputError(f"nothing can be chosen at any length: {'; '.join(notes)}")
    return left, notes


def profiled(methods: Sequence[str]) -> list[str]:
    """Labels of what a profile must have for a choice among these: dense, the paper's choice, and each at all sites."""
    return ["dense", PAPER, *(f"{label}:sites=*" for label in dict.fromkeys(map(timed_as, methods)))]


def _check_methods(methods: Sequence[str]) -> tuple[str, ...]:
    """All that is tried. Raises `InputError` for a label that is no sparse method or names sites."""
    for label in methods:
        method = parse_method(label)
        if not (isinstance(method, Method) and method.sparse):
            raise InputError(f"{label} cannot be chosen: expected sparse methods, such as {PAPER} or tome")
        if ":sites=" in label:
            raise InputError(f"{label} names sites, and these are what is chosen: leave them out")
    return with_paper(methods)


def _made(force: bool, make: Callable[..., Run], *arguments, **options) -> Run:
    """What `make` finds or makes; where another run is in its directory and `force` is given, made anew."""
    try:
        return make(*arguments, **options)
    except InputError:
        if not force:
            raise
        return make(*arguments, **options, force=True)


class _Parts:
    """One progress over all parts of the work, each with its expected share."""

    def __init__(self, progress: Progress):
        self._progress = progress

    def part(self, name: str) -> Progress:
        at = list(SHARES).index(name)
        shares = list(SHARES.values())
        start, end = (math.fsum(shares[:count]) / math.fsum(shares) for count in (at, at + 1))

        def progress(done: float, total: float, text: str) -> None:
            # Exact at both ends: the last part ends at 1 and not a rounding beyond.
            part = done / total
            self._progress((1 - part) * start + part * end, 1.0, f"{name}: {text}")

        return progress


def _flops_of(
    pipe, profile: ProfileRun, lengths: Sequence[float], tried: Sequence[str]
) -> dict[float, dict[str, dict[str, float]]]:
    """FLOPs of each module, of dense and all that is tried, at lengths of which the profile lacks something."""
    labels = ["dense", *dict.fromkeys(map(timed_as, tried))]
    lacking = {seconds for seconds, _ in unmeasured(profile, labels, lengths)}
    twin = meta_unet(pipe.unet)
    conditioning = encode_prompt(pipe, CHOICE_PROMPTS[0])
    found: dict[float, dict[str, dict[str, float]]] = {}
    for seconds in sorted(lacking):
        inputs = unet_inputs(pipe, conditioning, seconds)
        for label in labels:
            method = parse_method(label if label == "dense" else f"{label}:sites=*")
            found.setdefault(seconds, {})[label] = dry_run(twin, inputs, method).module_flops
    return found


def _predictions(selection: Selection, plan: Plan) -> dict[float, dict[str, dict[str, Any]]]:
    """What was predicted, without the plan's where quality put something else in its place."""
    by_quality = [float(s) for s, what in plan.evidence.get("objective", {}).items() if what == QUALITY]
    return {
        seconds: {name: point for name, point in points.items() if not (name == "plan" and seconds in by_quality)}
        for seconds, points in selection.predictions.items()
    }


def _evidence(proof: ProofRun) -> dict[str, Any]:
    """The part of a proof that belongs into a plan."""
    return {
        "prompts": list(proof.info.prompts),
        "seed": proof.info.seed,
        "steps": proof.summary["steps"],
        "rows": [
            {key: value for key, value in row.items() if key not in ("predicted", "missed")}
            for row in proof.summary["rows"]
        ],
        "missed": proof.summary["missed"],
    }
