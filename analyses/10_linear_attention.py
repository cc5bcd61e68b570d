"""Attention that is linear in length: what a fixed number of sampled keys costs, and how far it is from dense.

    python analyses/10_linear_attention.py

Times are those of `focuslab.profile`, one run directory a model and length below --out; a run that was stopped is
resumed. Errors are of the guided UNet output of the bundled model, at the latents of a generation that itself runs with
many sampled keys, since dense generation of minutes takes hours. With --draw the figures and tables are made again from
what is in --out, and nothing is measured.
"""

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import torch

import focuslab
from focuslab.cli.options import report_errors
from focuslab.cli.progress import Reporter
from focuslab.hooks.denoise import latents_at
from focuslab.hooks.output_error import OutputError
from focuslab.methods import parse_method
from focuslab.models.conditioning import encode_prompt
from focuslab.models.placement import device_of
from focuslab.report.figures.layout import axes
from focuslab.report.figures.style import save
from focuslab.runs.directory import write_atomically

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from words import provenance

FULL, BUNDLED = "random:audioldm2", "tiny"
PAPER, SAMPLED, BOUND, BOUND_OF_ALL = "litefocus", "sampled", "bound", "bound:sites=*"
MORE = "sampled:own_keys=500:other_keys=128"
METHODS = ("dense", PAPER, SAMPLED, BOUND, BOUND_OF_ALL)
REPEATS = {FULL: {80.0: 3, 300.0: 1}, BUNDLED: {80.0: 5, 300.0: 2}}
"""Model -> length -> interleaved timings of each method, after one untimed step of each."""
COUNTS = ((125, 16), (250, 32), (250, 64), (500, 64), (500, 128))
"""Keys of the own row and of each other row whose errors are measured."""
SAMPLES = [f"sampled:own_keys={own}:other_keys={other}" for own, other in COUNTS]
JUDGED = (PAPER, "litefocus:cross_fraction=0.02:cross_weight=unbiased", *SAMPLES)
LENGTHS = (20.0, 80.0, 300.0)
PROMPTS = ("a calm piano plays a rising melody", "rain falls heavily")
STEPS, AT = 8, (2, 5)
"""Denoising steps, and those at which errors are measured."""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/10_linear_attention"), show_default=True)
@click.option(
    "--model", "models", multiple=True, default=(FULL, BUNDLED), show_default=True, help="Whose cost is measured."
)
@click.option("--seconds", "longest", default=300.0, show_default=True, help="Longest length.")
@click.option("--draw", is_flag=True, help="Draw again what is in --out; measure nothing.")
@report_errors
def main(out: Path, models: tuple[str, ...], longest: float, draw: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if not draw:
        measure_errors(out / "errors.jsonl", longest)
        for model in models:
            pipe = focuslab.load(model, "cpu", "float32")
            for seconds, repeats in REPEATS[model].items():
                if seconds <= longest:
                    with Reporter(quiet=False) as progress:
                        focuslab.profile(
                            pipe,
                            (seconds,),
                            METHODS,
                            repeats=repeats,
                            only_steps=True,
                            out=directory_of(out, model, seconds),
                            progress=progress,
                        )
    runs = {
        (model, seconds): focuslab.ProfileRun.load(directory)
        for model, lengths in REPEATS.items()
        for seconds in lengths
        if (directory := directory_of(out, model, seconds)).exists()
    }
    errors = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    infos = sorted((run.info for run in runs.values()), key=lambda info: info.started)
    made = provenance("python analyses/10_linear_attention.py", infos[0], infos[-1])
    text = f"{made}\n\n{cost_table(runs)}\n\n{error_table(errors)}\n"
    write_atomically(out / "table.md", text.encode())
    save(error_figure(errors), out / "error_against_keys", made=made)
    click.echo(text)


def directory_of(out: Path, model: str, seconds: float) -> Path:
    return out / f"{model.removeprefix('random:')}-{seconds:03.0f}s"


def measure_errors(file: Path, longest: float) -> None:
    """Append a record for each length, prompt, step and method that the file lacks."""
    done = {tuple(json.loads(line)[key] for key in ("seconds", "prompt", "step", "method")) for line in _lines(file)}
    pipe = focuslab.load(BUNDLED, "cpu", "float32")
    pipe.set_progress_bar_config(disable=True)
    for seconds in (length for length in LENGTHS if length <= longest):
        for prompt in PROMPTS:
            missing = [(s, m) for s in AT for m in JUDGED if (seconds, prompt, s, m) not in done]
            if missing:
                for record in errors_at(pipe, seconds, prompt, missing):
                    with file.open("a") as stream:
                        stream.write(json.dumps(record) + "\n")
                    click.echo(record)


@torch.no_grad()
def errors_at(pipe, seconds: float, prompt: str, missing: list[tuple[int, str]]) -> Iterator[dict]:
    conditioning = encode_prompt(pipe, prompt)
    with parse_method(MORE)(pipe):
        latents = latents_at(pipe, conditioning, seconds, STEPS, AT, 0)
    for step in sorted({step for step, _ in missing}):
        pipe.scheduler.set_timesteps(STEPS, device=device_of(pipe))
        judge = OutputError(pipe, conditioning, latents[step], step)
        for label in (label for at, label in missing if at == step):
            error = judge.error(parse_method(label))
            yield {"seconds": seconds, "prompt": prompt, "step": step, "method": label, "error": error}


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def cost_table(runs: dict[tuple[str, float], focuslab.ProfileRun]) -> str:
    """In markdown: seconds of a step, speed against dense, and that over the bounds."""
    lines = [
        "| model | length, s | method | step, s | against dense | of the bound of its sites | timings |",
        "| --- | --: | --- | --: | --: | --: | --: |",
    ]
    for (model, seconds), run in runs.items():
        step = {row["method"]: row["step_seconds_median"] for row in run.rows}
        for method in METHODS:
            bound = {PAPER: BOUND, SAMPLED: BOUND_OF_ALL}.get(method)
            share = f"{step[bound] / step[method]:.2f}" if bound else ""
            lines.append(
                f"| {model} | {seconds:g} | `{method}` | {step[method]:.2f} | {step['dense'] / step[method]:.2f}x | "
                f"{share} | {run.info.parameters['repeats']} |"
            )
    return "\n".join(lines)


def mean_errors(records: list[dict]) -> dict[str, dict[float, float]]:
    """Method -> length -> mean relative error over prompts and steps."""
    found: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        found[record["method"]][record["seconds"]].append(record["error"])
    return {m: {s: statistics.fmean(values) for s, values in by.items()} for m, by in found.items()}


def error_table(records: list[dict]) -> str:
    """In markdown: the relative error of the guided UNet output, in percent, by method and length."""
    lengths = sorted({record["seconds"] for record in records})
    lines = [
        f"Relative error of the guided UNet output of `{BUNDLED}` against dense, in %: mean over {len(PROMPTS)} "
        f"prompts and steps {', '.join(map(str, AT))} of {STEPS}.",
        "",
        "| method | " + " | ".join(f"{s:g} s" for s in lengths) + " | largest over smallest |",
        "| --- | " + "--: | " * (len(lengths) + 1),
    ]
    for method, by_length in mean_errors(records).items():
        cells = [f"{100 * by_length[s]:.2f}" if s in by_length else "" for s in lengths]
        spread = max(by_length.values()) / min(by_length.values())
        lines.append(f"| `{method}` | {' | '.join(cells)} | {spread:.2f} |")
    return "\n".join(lines)


def error_figure(records: list[dict]):
    """Error against the keys that a query of eight mel rows sees, a line a length."""
    means = mean_errors(records)
    with axes(None) as drawn:
        for seconds in sorted({record["seconds"] for record in records}):
            points = [
                (own + 7 * other, 100 * means[label][seconds])
                for (own, other), label in zip(COUNTS, SAMPLES, strict=True)
                if seconds in means.get(label, {})
            ]
            drawn.plot(*zip(*sorted(points), strict=True), marker="o", label=f"{seconds:g} s")
        drawn.set(xlabel="sampled keys of a query at F = 8", ylabel="error, %", xlim=(0, None), ylim=(0, None))
        drawn.legend(title="length")
    return drawn.figure


if __name__ == "__main__":
    main()
