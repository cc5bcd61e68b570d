"""The whole tour on one model, small enough for a few minutes: from where the time goes to sound on a page."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from focuslab.analysis.maps import strongest_site
from focuslab.errors import InputError
from focuslab.hooks.recorder import STATISTICS
from focuslab.io.captions import CHOICE_PROMPTS, VALIDATION_PROMPTS
from focuslab.io.files import check_place
from focuslab.measure.capture import capture_attention
from focuslab.measure.generate import check_free, generate, what_makes
from focuslab.measure.profile import profile
from focuslab.methods import Plan
from focuslab.methods.base import check_count, check_seed
from focuslab.models.families import check_mel_latents
from focuslab.models.lengths import check_lengths
from focuslab.report.html import story
from focuslab.report.html.write import write_report
from focuslab.results import AttentionRun, ProfileRun
from focuslab.runs import Progress
from focuslab.runs.directory import ARRAYS, read_json
from focuslab.search.experiments import middles, with_paper
from focuslab.workflows.recommend import Recommendation, recommend
from focuslab.workflows.records import RECORDS, profiled

SECONDS = (10.0, 20.0)
STEPS = 8
LISTENING_STEPS = 20
METHODS = ("same-frequency", "litefocus:cross_fraction=0.05:cross_weight=unbiased", "tome")
"""What is tried beside the paper's method: one of each kind, since every candidate is timed and run."""
FRACTIONS = (0.0, 0.05, 0.1)
CAPTURED_STEPS = 2
MAPS_SHARE = 0.1
"""About how much of the capture's work the maps are."""
REPEATS, MODULE_REPEATS = 3, 2
PARTS = ("attention", "maps", "profile", "records", "plan", "plan.json", "sounds", "report.html")
"""What a demonstration writes."""


@dataclass(frozen=True)
class Stage:
    """One part of the tour: what it does, in a line, and a function that does it and returns what it found."""

    name: str
    does: str
    run: Callable[[Progress], str]


class Demonstration:
    """Capture, profile, recommend, validate, listen, report: `stages`, to be run one after the other.

    steps, listening_steps: denoising steps of what is measured, and of the clips to listen to. out: the directory for
    all of it; the same demonstration resumes what was stopped, and `force` replaces another one. Raises `InputError`
    before anything is run or written, for a wrong argument or a pipeline without mel latents.
    """

    def __init__(
        self,
        pipe,
        out: str | os.PathLike,
        *,
        seconds: Iterable[float] | float = SECONDS,
        steps: int = STEPS,
        listening_steps: int = LISTENING_STEPS,
        seed: int = 0,
        force: bool = False,
    ):
        check_mel_latents(pipe)
        self.pipe = pipe
        self.out = Path(out)
        self.seconds = check_lengths(pipe, seconds)
        self.steps = check_count("steps", steps)
        self.listening_steps = check_count("listening_steps", listening_steps)
        self.seed = check_seed(seed)
        _check_place(self.out)
        self.force = force
        self.given = {"steps": self.steps, "seed": self.seed, "force": force}
        self.page = self.out / "report.html"
        self._attention: AttentionRun | None = None
        self._profile: ProfileRun | None = None
        self._plan: Plan | None = None

    @property
    def stages(self) -> list[Stage]:
        lengths = " and ".join(f"{s:g}" for s in self.seconds)
        longest = f"{max(self.seconds):g} s"
        return [
            Stage("capture", f"where attention looks while {lengths} s of audio are made", self._capture),
            Stage("profile", f"where the time goes at {lengths} s, dense against sparse", self._time),
            Stage("recommend", "what to make sparse at each length: what saves much and costs little", self._recommend),
            Stage("validate", "that plan on a prompt and a seed that the choice has not seen", self._validate),
            Stage("generate", f"{longest} of sound, dense and with the plan, from the same noise", self._generate),
            Stage("report", "all of it on one page", self._report),
        ]

    def _capture(self, progress: Progress) -> str:
        self._attention = capture_attention(
            self.pipe,
            CHOICE_PROMPTS[:2],
            self.seconds,
            **self.given,
            capture_steps=middles(self.steps, CAPTURED_STEPS),
            cross_fractions=FRACTIONS,
            cross_weight="unbiased",
            statistics=[name for name in STATISTICS if name != "lag"],
            out=self.out / "attention",
            progress=lambda done, total, text: progress((1 - MAPS_SHARE) * done / total, 1.0, text),
        )
        self._capture_maps(
            self._attention, lambda done, total, text: progress(1 - MAPS_SHARE * (1 - done / total), 1.0, text)
        )
        return _words(story.of_capture(self._attention.summary))

    def _capture_maps(self, attention: AttentionRun, progress: Progress) -> None:
        """The attention of two tokens over the whole of the shortest sound, at the site that stays most in its row."""
        seconds = min(self.seconds)
        rows = [row for row in attention.summary["sites"] if row["seconds"] == seconds]
        finest = max(rows, key=lambda row: row["time"] * row["mel_rows"])
        time, mel_rows = finest["time"], finest["mel_rows"]
        names = [row["name"] for row in rows if (row["time"], row["mel_rows"]) == (time, mel_rows)]
        capture_attention(
            self.pipe,
            CHOICE_PROMPTS[:1],
            [seconds],
            **self.given,
            capture_steps=[self.steps // 2],
            sites=[strongest_site(rows, names)],
            statistics=(),
            cross_fractions=(),
            queries=[(time // 4, row) for row in sorted({mel_rows // 4, mel_rows // 2})],
            out=self.out / "maps",
            progress=progress,
        )

    def _time(self, progress: Progress) -> str:
        self._profile = profile(
            self.pipe,
            self.seconds,
            profiled(with_paper(METHODS)),
            prompt=CHOICE_PROMPTS[0],
            repeats=REPEATS,
            module_repeats=MODULE_REPEATS,
            seed=self.seed,
            out=self.out / "profile",
            force=self.force,
            progress=progress,
        )
        return _words(story.of_profile(self._profile.summary))

    def _recommend(self, progress: Progress) -> str:
        made = self._recommended(False, progress)
        return _words(story.of_choice(made.selection.summary))

    def _validate(self, progress: Progress) -> str:
        made = self._recommended(True, progress)
        self._plan = made.plan
        # A stopped pass would resume from these latents, and this one is complete.
        for latents in (self.out / RECORDS / "sensitivity" / ARRAYS).glob("*.safetensors"):
            latents.unlink()
        if made.validation is None:
            return "the plan is dense at all lengths: there is nothing to validate"
        return "; ".join([_words(story.of_validation(made.validation.summary)), *made.missed])

    def _recommended(self, validate: bool, progress: Progress) -> Recommendation:
        return recommend(
            self.pipe,
            self.seconds,
            prompts=CHOICE_PROMPTS[:1],
            validation_prompts=VALIDATION_PROMPTS[:1],
            methods=METHODS,
            attention=self._attention,
            profile=self._profile,
            validate=validate,
            out=self.out / "plan.json",
            # The choice that is validated is the one that was just made.
            **{**self.given, "force": self.force and not validate},
            progress=progress,
        )

    def _generate(self, progress: Progress) -> str:
        seconds = max(self.seconds)
        sounds = {"dense": None, "plan": self._plan}
        for i, (name, method) in enumerate(sounds.items()):

            def part(done: float, total: float, text: str, i=i, name=name) -> None:
                progress(i + done / total, len(sounds), f"{name}: {text}")

            self._sound(self.out / "sounds" / f"{name}.wav", seconds, method, part)
        return f"{' and '.join(sounds)} of “{VALIDATION_PROMPTS[0]}” are in {self.out / 'sounds'}"

    def _sound(self, path: Path, seconds: float, method: Plan | None, progress: Progress) -> None:
        given: dict[str, Any] = {"method": method, "steps": self.listening_steps, "seed": self.seed + 1}
        wanted = json.loads(json.dumps(what_makes(self.pipe, VALIDATION_PROMPTS[0], seconds, **given)))
        if path.is_file() and _settings_of(path).items() >= wanted.items():
            return
        check_free(path, self.force)
        generate(self.pipe, VALIDATION_PROMPTS[0], seconds, **given, progress=progress).write(path, force=self.force)

    def _report(self, progress: Progress) -> str:
        progress(0, 1, "drawing")
        _, page = write_report([self.out], self.page)
        progress(1, 1, "written")
        gaps = page.sections[-1].gaps
        missing = f"; not on it: {gaps[0]}" + (f" ({len(gaps) - 1} more)" if len(gaps) > 1 else "") if gaps else ""
        return f"{page.said}{missing}"


def _check_place(out: Path) -> None:
    """Raises `InputError` for a file, and for a directory with something in it that is of no demonstration."""
    check_place(out, "give another --out")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: expected a directory to write everything to")
    others = [path.name for path in out.iterdir() if path.name not in PARTS] if out.exists() else []
    if others:
        raise InputError(f"{out} holds {others[0]}, which is of no demo: give another --out")
    for name in PARTS:
        # What has an ending is a file, what has none a directory.
        if (out / name).exists() and (out / name).is_dir() == bool((out / name).suffix):
            raise InputError(f"{out / name} is in the way of what a demo writes: remove it, or give another --out")


def _settings_of(sound: Path) -> dict:
    settings = sound.with_suffix(".json")
    content = read_json(settings) if settings.is_file() else None
    return content if isinstance(content, dict) else {}


def _words(said: story.Said | None) -> str:
    return said.words if said else "nothing to tell"
