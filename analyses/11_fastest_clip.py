"""The fastest way to a clip: schedulers, steps, caches and sparse attention in one table.

    python analyses/11_fastest_clip.py

Each recipe makes the clips of the same captions from the same noise as the reference, 200 dense DDIM steps. Scores are
those of `focuslab.evaluate`, in whose run directory the clips are kept: a run that was stopped is resumed, and more
captions or lengths extend it. The table and the figure are written after each length. With --draw they are made again
from what is there.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

import focuslab
from focuslab.cli.options import Numbers, report_errors
from focuslab.cli.progress import Reporter
from focuslab.hooks.attach import Handle
from focuslab.io.audio import read_audio
from focuslab.io.captions import read_captions
from focuslab.methods import Dense, Method, parse_method
from focuslab.methods.base import Attachable
from focuslab.methods.composition import JoinedHandle
from focuslab.models.conditioning import encode_prompt
from focuslab.models.schedulers import using_scheduler
from focuslab.report.figures.layout import error_bars, page
from focuslab.report.figures.style import save
from focuslab.results import EvaluationRun
from focuslab.runs.directory import write_atomically
from focuslab.runs.method_spec import brief
from focuslab.stats.intervals import mean_with_interval
from focuslab.tables.quality_rows import metric_of, outcome, scale_of

sys.path.insert(0, str(Path(__file__).parent / "tables"))
import held_out
from words import provenance

STEPS, REFERENCE = 200, "dense"
PAPER, SAMPLED = "litefocus", "sampled"
RECIPES = (
    *((STEPS, "ddim", method) for method in (SAMPLED, "deepcache:interval=3", "deepcache:interval=3+sampled")),
    *((50, "ddim", method) for method in ("dense", "deepcache:interval=3", "deepcache:interval=3+sampled")),
    (20, "ddim", "dense"),
    *((50, "dpm++", method) for method in ("dense", "deepcache:interval=5")),
    *((20, "dpm++", method) for method in ("dense", PAPER, SAMPLED)),
    *((20, "dpm++", f"deepcache:interval={interval}") for interval in (2, 3, 5)),
    *((20, "dpm++", f"deepcache:interval={interval}+sampled") for interval in (2, 3)),
    *((10, "dpm++", method) for method in ("dense", SAMPLED, "deepcache:interval=2", "deepcache:interval=2+sampled")),
)
"""Steps, scheduler and method. 200 DDIM steps of dense stand beside them."""
JUDGED = ("clap", "kl_softmax", "kernel")
"""Metrics in which no recipe may be significantly worse."""


@dataclass(frozen=True)
class Recipe(Attachable):
    """A method with a scheduler and a number of steps, whatever number the pipeline is called with."""

    steps: int
    scheduler: str
    method: str

    @property
    def label(self) -> str:
        return f"{self.steps} {self.scheduler} {self.method}"

    def attach(self, pipe) -> Handle:
        attached = parse_method(self.method).attach(pipe)
        # A dry run attaches to a UNet alone.
        return _WithScheduler(attached, pipe, self) if hasattr(pipe, "scheduler") else attached

    def sites_at(self, pipe, seconds: float) -> dict[str, Method]:
        return parse_method(self.method).sites_at(pipe, seconds)


class _WithScheduler(JoinedHandle):
    def __init__(self, attached: Handle, pipe, recipe: Recipe):
        super().__init__([attached])
        self._stack = ExitStack()
        self._stack.enter_context(using_scheduler(pipe, recipe.scheduler))
        set_timesteps = pipe.scheduler.set_timesteps
        pipe.scheduler.set_timesteps = lambda _steps, device=None: set_timesteps(recipe.steps, device=device)

    def remove(self) -> None:
        self._stack.close()
        super().remove()


@click.command()
@click.option("--model", default="tiny", show_default=True)
@click.option("--seconds", type=Numbers(), default="10,20,40", show_default=True, help="Lengths.")
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True, help="Captions.")
@click.option("--prompts", type=click.Path(path_type=Path), help="Captions.  [default: of the held-out clips]")
@click.option("--reference", type=click.Path(path_type=Path), help="Recordings.  [default: the held-out clips]")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/11_fastest_clip"), show_default=True)
@click.option("--draw", is_flag=True, help="Draw again what is in --out; generate nothing.")
@report_errors
def main(model: str, seconds: tuple[float, ...], limit: int, prompts, reference, out: Path, draw: bool) -> None:
    if draw:
        write(EvaluationRun.load(out / "run"), out)
        return
    pipe = focuslab.load(model)
    pipe.set_progress_bar_config(disable=True)
    tagger = None
    if prompts is None:
        prompts, recordings = held_out.write_held_out(Path("runs/held_out"), max(held_out.RECORDINGS, limit))
        reference, tagger = reference or recordings, held_out.class_tagger()
    captions = read_captions(prompts)[:limit]
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "encoding.json").exists():
        write_atomically(out / "encoding.json", json.dumps(encoding_seconds(pipe, captions[0].text)).encode())
    recipes = [Recipe(*recipe) for recipe in RECIPES]
    methods = {REFERENCE: Dense(), **{recipe.label: recipe for recipe in recipes}}
    # The kernel distance needs three clips.
    metrics = (
        "clap",
        "log_mel_l1",
        *(["kl_softmax"] if tagger or reference else []),
        *(["kernel"] if limit > 2 else []),
    )
    for length in seconds:
        with Reporter(quiet=False) as progress:
            given = {"steps": STEPS, "metrics": metrics, "reference": reference, "tagger": tagger, "keep_audio": True}
            focuslab.evaluate(
                pipe, captions, length, methods, **given, scheduler="ddim", out=out / "run", progress=progress
            )
        write(EvaluationRun.load(out / "run"), out)


def encoding_seconds(pipe, text: str) -> float:
    """Median time of encoding a caption, which is no part of the times in the run."""
    times = []
    for _ in range(4):
        start = perf_counter()
        encode_prompt(pipe, text)
        times.append(perf_counter() - start)
    return statistics.median(times[1:])


@dataclass(frozen=True)
class Point:
    """A recipe at one length. seconds: median time of a clip, from text to samples. snr: in dB, against the reference
    clip. worse: metrics in which it is significantly worse."""

    length: float
    label: str
    seconds: float
    row: dict[str, Any]
    snr: dict[str, float | None]
    worse: tuple[str, ...]


def points_of(run: EvaluationRun, encoding: float) -> list[Point]:
    found = []
    about = run.summary["metrics"]
    for row in run.rows:
        length, label = row["seconds"], row["method"]
        clips = clips_of(run, length, label)
        worse = [name for name in JUDGED if name in about and outcome(row, name, about[name]["better"]) == "-"]
        seconds = statistics.median(clip["generation_seconds"] for clip in clips.values()) + encoding
        snr = mean_with_interval("value", snr_values(run, clips, clips_of(run, length, REFERENCE)))
        found.append(Point(length, label, seconds, row, snr, tuple(worse)))
    return found


def clips_of(run: EvaluationRun, length: float, label: str) -> dict[tuple[int, int], dict[str, Any]]:
    """The record of each clip by caption and seed."""
    own = [r for r in run.records if r["kind"] == "item" and (r["seconds"], r["method"]) == (length, label)]
    return {(record["prompt"], record["seed"]): record for record in own}


def snr_values(run: EvaluationRun, clips: dict, references: dict) -> list[float]:
    """Power of each reference clip over that of the difference to it, in dB."""
    values = []
    for key, clip in clips.items():
        if clip is references.get(key) or not (clip["audio"] and references[key]["audio"]):
            continue
        one, other = (read_audio(run.directory / record["audio"])[0] for record in (clip, references[key]))
        difference = float(np.sum((one - other) ** 2))
        if difference > 0 and np.any(other):
            values.append(10 * float(np.log10(np.sum(other**2) / difference)))
    return values


def frontier(points: Sequence[Point], metric: str) -> list[Point]:
    """Those of one length that no other passes in both time and difference of a metric of which more is better."""
    best, kept = -np.inf, []
    for point in sorted(points, key=lambda point: point.seconds):
        value = 0.0 if point.label == REFERENCE else metric_of(point.row, metric, "minus_dense")["value"]
        if value is not None and value > best:
            best, kept = value, [*kept, point]
    return kept


def fastest(points: Sequence[Point]) -> str:
    """A sentence for each length."""
    said = []
    for length in sorted({point.length for point in points}):
        own = [point for point in points if point.length == length]
        (dense,) = (point for point in own if point.label == REFERENCE)
        best = min((point for point in own if not point.worse), key=lambda point: point.seconds)
        said.append(
            f"At {length:g} s the fastest that is not significantly worse than {STEPS} dense DDIM steps is "
            f"`{best.label}`, {dense.seconds / best.seconds:.1f} times as fast."
        )
    return "\n".join(said)


def table(points: Sequence[Point]) -> str:
    """In markdown: time of a clip and differences to the reference with their paired 95 % intervals."""
    named = ("clap", "kl_softmax", "kernel")
    heads = [
        *(f"{scale_of(name).head} - reference" for name in named),
        "log-mel L1",
        "SNR, dB",
        "significantly worse in",
    ]
    lines = [
        f"| length, s | steps, scheduler, method | clip, s | times as fast | {' | '.join(heads)} |",
        "| --: | --- |" + " --: |" * 7 + " --- |",
    ]
    whole = {point.length: point.seconds for point in points if point.label == REFERENCE}
    for point in points:
        cells = [in_words(metric_of(point.row, name, "minus_dense"), scale_of(name).factor) for name in named]
        cells += [in_words(metric_of(point.row, "log_mel_l1"))]
        cells += [in_words({key.removeprefix("value_"): value for key, value in point.snr.items()})]
        label = f"{STEPS} ddim dense" if point.label == REFERENCE else point.label
        times = f"{point.seconds:.3g} | {whole[point.length] / point.seconds:.2f}x"
        worse = ", ".join(scale_of(name).head for name in point.worse)
        lines.append(f"| {point.length:g} | `{label}` | {times} | {' | '.join(cells)} | {worse} |")
    return "\n".join(lines)


def in_words(found: dict[str, Any], factor: float = 1.0) -> str:
    value, *ends = (None if found[key] is None else found[key] * factor for key in ("value", "low", "high"))
    if value is None:
        return ""
    return f"{value:.3g}" if None in ends else f"{value:.3g} [{ends[0]:.3g}, {ends[1]:.3g}]"


def figure(points: Sequence[Point], metric: str = "clap"):
    """A metric's difference to the reference against the time of a clip, a panel a length; the frontier is a line."""

    def panel(length: float):
        own = [point for point in points if point.length == length]

        def draw(ax) -> None:
            for point in own:
                found = {"value": 0.0, "low": None, "high": None} if point.label == REFERENCE else None
                found = found or metric_of(point.row, metric, "minus_dense")
                if found["value"] is not None:
                    bars = error_bars(*([found[key]] for key in ("value", "low", "high")))
                    mark = {"marker": "s" if point.worse else "o", "markersize": 3, "elinewidth": 0.6}
                    ax.errorbar(point.seconds, found["value"], yerr=bars, color="#0072B2", **mark)
            best = frontier(own, metric)
            values = [metric_of(point.row, metric, "minus_dense")["value"] or 0.0 for point in best]
            ax.plot([point.seconds for point in best], values, color="#D55E00", zorder=1)
            for point, value in zip(best, values, strict=True):
                name = (
                    point.label
                    if point.label == REFERENCE
                    else " ".join([*point.label.split()[:2], brief(point.label.split()[2])])
                )
                ax.annotate(name, (point.seconds, value), fontsize=5, xytext=(2, 3), textcoords="offset points")
            ax.set(xscale="log", xlabel="Time of a clip [s]", ylabel=f"{scale_of(metric).head} - reference")

        return f"{length:g} s", draw

    lengths = sorted({point.length for point in points})
    note = (
        f"Difference to {STEPS} dense DDIM steps, with paired 95 % intervals; a line through what none passes in both; "
    )
    note += "squares are significantly worse in a metric."
    return page([panel(length) for length in lengths], note, columns=3, height=2.6)


def write(run: EvaluationRun, out: Path) -> None:
    points = points_of(run, json.loads((out / "encoding.json").read_text()))
    made = provenance("python analyses/11_fastest_clip.py", run.info, seconds=run.info.parameters["seconds"])
    text = f"{made}\n\n{fastest(points)}\n\n{table(points)}\n"
    write_atomically(out / "table.md", text.encode())
    save(figure(points), out / "quality_against_time", made=made)
    click.echo(text)


if __name__ == "__main__":
    main()
