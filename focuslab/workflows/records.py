"""The records that a plan is chosen from, measured where they are missing."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from focuslab.errors import AnotherRun, InputError
from focuslab.hooks.meta_cost import meta_cost, meta_unet
from focuslab.io.captions import CHOICE_PROMPTS
from focuslab.measure.capture import capture_attention
from focuslab.measure.profile import profile as take_profile
from focuslab.measure.sensitivity import measure_sensitivity
from focuslab.methods import parse_method
from focuslab.models.conditioning import encode_prompt, unet_inputs
from focuslab.results import AttentionRun, ProfileRun, SensitivityRun
from focuslab.runs import Progress, skipped_in_words, skipped_rows
from focuslab.runs.method_spec import DENSE, PAPER, UNBIASED, MethodSpec
from focuslab.search.cost_model import CostModel, Flops
from focuslab.search.experiments import Choice, middles, timed_as
from focuslab.workflows.config import RecommendConfig

RECORDS = "records"
"""The directory beside a plan that holds what it is chosen from, for all plans there."""
CAPTURED_PROMPTS, CAPTURE_STEPS, CAPTURED_STEPS = 2, 8, 2
"""Of a capture made here: prompts, denoising steps, those of them that are recorded. Its numbers say why, and do not
choose."""
CAPTURED_FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.2)
REPEATS, MODULE_REPEATS = 5, 3
SHARES = {"capture": 0.07, "profile": 0.13, "sensitivity pass": 0.4}
SHARES |= {"joint errors": 0.03, "re-timing": 0.05, "validation": 0.32}
"""About how much of the work each part is."""

Run = TypeVar("Run")


class Parts:
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


def profiled(methods: Sequence[MethodSpec]) -> list[str]:
    """Labels of what a profile must have for a choice among these: dense, the paper's choice, and each at all sites."""
    return [str(DENSE), str(PAPER), *(str(m.at(["*"])) for m in dict.fromkeys(map(timed_as, methods)))]


def measured_lengths(
    lengths: Sequence[float], profile: ProfileRun, sensitivity: SensitivityRun
) -> tuple[list[float], list[str]]:
    """The lengths at which neither dense nor the sensitivity pass was skipped for want of memory, and what was skipped
    in words. Raises `InputError` where there is none."""
    rows = {
        "the profile": [row for row in skipped_rows(profile.records) if row["method"] == str(DENSE)],
        "the sensitivity pass": skipped_rows(sensitivity.records),
    }
    left = [s for s in lengths if not any(row["seconds"] == s for found in rows.values() for row in found)]
    notes = [f"{where}: {words}" for where, found in rows.items() for words in skipped_in_words(found)]
    if not left:
        raise InputError(f"nothing can be chosen at any length: {'; '.join(notes)}")
    return left, notes


class Records:
    """Measures one kind of record after another, in the directory beside the plan that is for all plans there."""

    def __init__(self, pipe, config: RecommendConfig, directory: Path, force: bool, parts: Parts):
        self.pipe = pipe
        self.config = config
        self.directory = directory
        self.force = force
        self.parts = parts

    def made(self, part: str, make: Callable[..., Run], *arguments, force: bool | None = None, **options) -> Run:
        """What `make` finds or measures; where another run is in its directory and `force` is given, measured anew."""
        options = {"seed": self.config.seed, "progress": self.parts.part(part), **options}
        try:
            return make(self.pipe, *arguments, **options)
        except AnotherRun:
            if not (self.force if force is None else force):
                raise
            return make(self.pipe, *arguments, **options, force=True)

    def capture(self) -> AttentionRun:
        return self.made(
            "capture",
            capture_attention,
            self.config.prompts[:CAPTURED_PROMPTS],
            self.config.seconds,
            steps=CAPTURE_STEPS,
            capture_steps=middles(CAPTURE_STEPS, CAPTURED_STEPS),
            cross_fractions=CAPTURED_FRACTIONS,
            cross_weight=UNBIASED,
            statistics=("mass", "recall", "output_error"),
            out=self.directory / "capture",
        )

    def profile(self) -> ProfileRun:
        return self.made(
            "profile",
            take_profile,
            self.config.seconds,
            profiled(self.config.tried),
            prompt=self.config.prompts[0],
            repeats=REPEATS,
            module_repeats=MODULE_REPEATS,
            out=self.directory / "profile",
        )

    def sensitivity(self, joint: Mapping[float, Sequence[Choice]], part: str) -> SensitivityRun:
        return self.made(
            part,
            measure_sensitivity,
            self.config.prompts,
            self.config.seconds,
            steps=self.config.steps,
            methods=self.config.methods,
            joint=joint,
            out=self.directory / "sensitivity",
        )

    def flops(self, profile: ProfileRun) -> Flops:
        """FLOPs of each module, of dense and all that is tried, at lengths of which the profile lacks something."""
        methods = list(dict.fromkeys((DENSE, *map(timed_as, self.config.tried))))
        lacking = {seconds for seconds, _ in CostModel(profile).unmeasured(methods, self.config.seconds)}
        twin = meta_unet(self.pipe.unet)
        conditioning = encode_prompt(self.pipe, CHOICE_PROMPTS[0])
        found: dict[float, dict[MethodSpec, dict[str, float]]] = {}
        for seconds in sorted(lacking):
            inputs = unet_inputs(self.pipe, conditioning, seconds)
            for spec in methods:
                method = parse_method(str(spec if spec == DENSE else spec.at(["*"])))
                found.setdefault(seconds, {})[spec] = meta_cost(twin, inputs, method).module_flops
        return found
