"""What a recommendation is to reach, and what it is chosen from."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from focuslab.checks import settle, several, shown, switch, text
from focuslab.errors import InputError
from focuslab.io.captions import CHOICE_PROMPTS, VALIDATION_PROMPTS, check_prompts
from focuslab.methods import Method, parse_method
from focuslab.methods.base import check_choice, check_count, check_seed
from focuslab.models.families import check_mel_latents
from focuslab.models.lengths import check_lengths, training_seconds
from focuslab.results import BY_NAME, AttentionRun, EvaluationRun, ProfileRun, SensitivityRun
from focuslab.runs.method_spec import PAPER, MethodSpec
from focuslab.search.budget import Budget
from focuslab.search.experiments import default_methods, with_paper
from focuslab.search.quality import FIDELITY, OBJECTIVES, QUALITY, check_objective


@dataclass(frozen=True, kw_only=True)
class RecommendConfig:
    """What a plan is to reach, and what it is chosen from."""

    seconds: Sequence[float]  # lengths of audio
    max_error: float | str | None = None  # this and the next: the budget, see `focuslab.search.budget.Budget`
    min_speedup: float | str | None = None
    prompts: Sequence[str] = CHOICE_PROMPTS  # of the capture and the sensitivity pass
    validation_prompts: Sequence[str] = VALIDATION_PROMPTS  # of the validation, which takes another seed
    methods: Sequence[str] | None = None  # labels, without sites, of what is tried where attention costs much
    steps: int = 20  # denoising steps of a generation
    seed: int = 0
    objective: str = FIDELITY  # beyond the training length, "quality" runs what the evaluation found best
    validate: bool = True  # whether the plan is run
    keep_audio: bool = False  # whether the clips of the validation are kept
    # This and the next two: records that are there already; what is None is measured.
    attention: AttentionRun | None = field(default=None, repr=False)
    profile: ProfileRun | None = field(default=None, repr=False)
    sensitivity: SensitivityRun | None = field(default=None, repr=False)
    evaluation: EvaluationRun | None = field(default=None, repr=False)

    def __post_init__(self):
        settle(self, prompts=check_prompts(self.prompts), validation_prompts=check_prompts(self.validation_prompts))
        settle(self, **vars(self.budget), steps=check_count("steps", self.steps), seed=check_seed(self.seed))
        settle(self, **{name: switch(name, getattr(self, name)) for name in ("validate", "keep_audio")})
        if self.methods is not None:
            settle(self, methods=[text("the name of a method", label) for label in several(self.methods)])
            _check_methods(self.methods)
        for name, kind in BY_NAME.items():
            records = getattr(self, name)
            if isinstance(records, (str, os.PathLike)):
                settle(self, **{name: kind.load(records)})
            elif not isinstance(records, kind | None):
                raise InputError(f"{name} must be a {kind.__name__} or its directory, not {shown(records)}")
        if both := [prompt for prompt in self.prompts if prompt in self.validation_prompts]:
            raise InputError(
                f"the prompt {both[0]!r} is to choose and to validate: a validation needs prompts that are new to it"
            )
        check_choice("objective", self.objective, OBJECTIVES)
        if self.objective == QUALITY and self.evaluation is None:
            raise InputError("the objective quality needs an evaluation: give the directory of focuslab evaluate")

    def at(self, pipe) -> "RecommendConfig":
        """With the lengths of this pipeline. Raises `InputError` for what cannot be chosen for it."""
        check_mel_latents(pipe)
        lengths = check_lengths(pipe, self.seconds)
        if self.evaluation is not None:
            check_objective(self.evaluation, self.objective, lengths, training_seconds(pipe))
        return replace(self, seconds=lengths)

    @property
    def budget(self) -> Budget:
        return Budget(self.max_error, self.min_speedup)

    @property
    def tried(self) -> tuple[MethodSpec, ...]:
        """All that is tried somewhere."""
        return default_methods(1.0) if self.methods is None else with_paper(self.methods)

    @property
    def given(self) -> dict[str, Any]:
        """The records that are there already."""
        called = {"attention": "capture", "sensitivity": "sensitivity pass"}
        return {called.get(name, name): run for name in BY_NAME if (run := getattr(self, name))}

    def parameters(self) -> dict[str, Any]:
        """As run.json stores them."""
        return {
            "seconds": self.seconds,
            **vars(self.budget),
            "proof_prompts": self.validation_prompts,
            "methods": self.methods,
            "steps": self.steps,
            "objective": self.objective,
            "given": sorted(self.given),
        }


def _check_methods(labels: Sequence[str]) -> None:
    """Raises `InputError` for a label that is no sparse method or names sites."""
    for label in labels:
        method = parse_method(label)
        if not (isinstance(method, Method) and method.sparse):
            raise InputError(f"{label} cannot be chosen: expected sparse methods, such as {PAPER} or tome")
        if MethodSpec.parse(label).sites:
            raise InputError(f"{label} names sites, and these are what is chosen: leave them out")
