"""What 04 to 07 and 12 have in common: the evaluation that all draw from, a table, figures, and words about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import held_out
import pandas as pd
from findings import findings, merge_evaluations, write_quality_figures
from words import provenance

import focuslab
from focuslab.cli.options import Numbers, report_errors
from focuslab.cli.progress import Reporter
from focuslab.io.captions import read_captions
from focuslab.measure.evaluation.along import breaks_from
from focuslab.measure.evaluation.items import sitting_of
from focuslab.methods import parse_methods
from focuslab.models.lengths import training_seconds
from focuslab.results import EvaluationRun
from focuslab.runs.directory import write_atomically
from focuslab.tables.quality import quality_csv, quality_tables
from focuslab.tables.text import in_latex, in_markdown

BUNDLED = "tiny"
EVALUATION = "sound"
"""Directory of the evaluation below --out: each clip is made and scored once, whichever tables show it."""
HELD_OUT = Path("runs/held_out")


@dataclass(frozen=True)
class SoundTable:
    """script: its file name without .py. methods: labels. lengths, limit: defaults, as on the command line. metrics:
    those that the words are about. about: what the table is, in a sentence. png: lengths whose figure is written as PNG
    too, where a README shows it."""

    script: str
    title: str
    about: str
    methods: tuple[str, ...]
    lengths: str
    limit: str
    metrics: tuple[str, ...] = ("kernel", "frechet", "kl_softmax", "clap")
    png: tuple[float, ...] = ()


def options(table: SoundTable) -> Callable[[Callable], Callable]:
    """The options that all of them have, with the table's defaults."""
    every = (
        click.option("--model", default=BUNDLED, show_default=True),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            default=Path("reports"),
            show_default=True,
            help=f"Where {table.script}/ is written, and {EVALUATION}/, the evaluation that 04 to 07 and 12 share.",
        ),
        click.option(
            "--prompts",
            type=click.Path(path_type=Path),
            help="Captions, as of focuslab evaluate.  [default: of the bundled model's held-out clips]",
        ),
        click.option(
            "--reference",
            type=click.Path(path_type=Path),
            help="WAVs to compare with.  [default: the held-out clips]",
        ),
        click.option(
            "--held-out",
            "clips",
            type=click.Path(path_type=Path),
            default=HELD_OUT,
            show_default=True,
            help="Where the held-out clips are, or are rendered to.",
        ),
        click.option("--seconds", type=Numbers(), default=table.lengths, show_default=True, help="Lengths."),
        click.option("--steps", type=click.IntRange(min=1), default=25, show_default=True, help="Denoising steps."),
        click.option(
            "--limit",
            default=table.limit,
            show_default=True,
            help="Captions: one number, or one for each length.",
        ),
        click.option("--cost", is_flag=True, help="Say how many UNet steps it takes, and do nothing."),
    )

    def decorate(command: Callable) -> Callable:
        for option in reversed(every):
            command = option(command)
        return command

    return decorate


def command(table: SoundTable, more_methods: Callable[[Any], Mapping[str, Any]] = lambda pipe: {}) -> click.Command:
    """The script of a table that has no options of its own. more_methods: as of `run`."""

    @click.command()
    @options(table)
    @report_errors
    def main(**given) -> None:
        run(table, **given, more_methods=more_methods)

    return main


def captions_of_lengths(seconds: Sequence[float], limit: str) -> dict[float, int]:
    """How many captions each length has: `limit` is one number, or one for each. Raises `click.BadParameter`."""
    counts = limit.split(",")
    counts = counts * len(seconds) if len(counts) == 1 else counts
    if len(counts) != len(seconds) or any(not n.strip().isdecimal() or int(n) < 1 for n in counts):
        expected = f"expected a whole number of captions, or {len(seconds)} of them, one for each length, not {limit!r}"
        raise click.BadParameter(expected, param_hint="--limit")
    return dict(zip(seconds, map(int, counts), strict=True))


def cost_in_words(methods: int, counts: Mapping[float, int], steps: int) -> str:
    """UNet steps (each of a guided batch of two) of every length, and of all."""
    each = {seconds: methods * count * steps for seconds, count in counts.items()}
    parts = ", ".join(f"{n:,} at {seconds:g} s" for seconds, n in each.items())
    return f"{sum(each.values()):,} UNet steps, {methods} methods and {steps} steps a sound: {parts}"


def run(
    table: SoundTable,
    *,
    model: str,
    out: Path,
    prompts: Path | None,
    reference: Path | None,
    clips: Path,
    seconds: Sequence[float],
    steps: int,
    limit: str,
    cost: bool,
    more_methods: Callable[[Any], Mapping[str, Any]] = lambda pipe: {},
    more_options: Mapping[str, Any] | None = None,
) -> EvaluationRun | None:
    """Evaluate what is missing at each length, and write the table with its figures and words.

    more_methods: of a pipeline, label -> method for what has no name on the command line. more_options: the
    script's own options as they were given, None for those that were not.
    """
    given = {"steps": steps, "limit": limit, "prompts": prompts, "reference": reference, **(more_options or {})}
    given = {name: value for name, value in given.items() if value is not None}
    counts = captions_of_lengths(seconds, limit)
    pipe = focuslab.load(model)
    pipe.set_progress_bar_config(disable=True)
    methods = {**parse_methods(table.methods), **more_methods(pipe)}
    if cost:
        click.echo(cost_in_words(len(methods), counts, steps))
        return None
    tagger = None
    if prompts is None:
        if model != BUNDLED:
            raise click.UsageError(f"{model} needs --prompts: the held-out clips are of the bundled model's kind")
        prompts, recordings = held_out.write_held_out(clips, max(held_out.RECORDINGS, *counts.values()))
        reference, tagger = reference or recordings, held_out.class_tagger()
    captions = read_captions(prompts)
    runs = []
    for length, count in counts.items():
        with Reporter(quiet=False) as progress:
            found = focuslab.evaluate(
                pipe,
                captions[:count],
                (length,),
                methods,
                steps=steps,
                reference=reference,
                tagger=tagger,
                out=out / EVALUATION,
                progress=progress,
            )
        if found is None:
            click.echo(f"{length:g} s: others are at work on it, give the command again when they are done", err=True)
            continue
        runs.append(found)
        # After each length, so that what takes longest is not waited for.
        whole = merged(runs, training_seconds(pipe))
        write(table, whole, out / table.script, given)
        # From its own summary: what is noted of other lengths is not of this figure.
        caption = how_it_was_made(table, merged([found]), given)
        formats = ("svg", "png") if length in table.png else ("svg",)
        write_quality_figures(found.summary, out / table.script, caption, formats)
    return whole if runs else None


def merged(runs: Sequence[EvaluationRun], training: float | None = None) -> EvaluationRun:
    """One evaluation over all lengths. As it has as many captions as the length with the fewest, so does its `info`;
    it was begun with the first of its records and ended with the last, whatever else is in the directory. training: the
    length in seconds that the model was trained at."""
    fewest = min(runs, key=lambda run: len(run.info.prompts)).info
    lengths = [length for run in runs for length in run.info.parameters["seconds"]]
    records = tuple(record for run in runs for record in run.records)
    sitting = sitting_of(fewest.parameters["methods"])
    times = [r["at"] for r in records if r.get("sitting") == sitting] or [r["at"] for r in records]
    info = replace(fewest, parameters={**fewest.parameters, "seconds": lengths}, started=min(times), ended=max(times))
    summary = {**merge_evaluations([run.summary for run in runs]), "breaks": _breaks(records, lengths, training)}
    return EvaluationRun(info, summary, records)


def _breaks(
    records: Sequence[Mapping[str, Any]], lengths: Sequence[float], training: float | None
) -> dict[str, Any] | None:
    """From which length on dense clips are worse than at the training length, over the runs of all lengths."""
    dense = [r for r in records if r["kind"] == "item" and r["method"] == "dense" and r["status"] == "scored"]
    rows = [{"seconds": r["seconds"], "prompt": r["prompt"], "clap": r["values"].get("clap")} for r in dense]
    return breaks_from(pd.DataFrame(rows, columns=["seconds", "prompt", "clap"]), lengths, training)


def write(table: SoundTable, whole: EvaluationRun, out: Path, given: Mapping[str, Any]) -> None:
    """The table in three forms, and what it shows in words."""
    made = how_it_was_made(table, whole, given)
    markdown = in_markdown(quality_tables(whole.summary, whole.info))
    files = {
        "table.md": f"{made}\n\n{markdown}\n".encode(),
        "table.csv": quality_csv(whole.summary, whole.info).encode(),
        "table.tex": in_latex(quality_tables(whole.summary, whole.info)).encode() + b"\n",
        "README.md": readme(table, whole, made).encode(),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomically(out / name, content)
    click.echo(markdown)


def how_it_was_made(table: SoundTable, whole: EvaluationRun, given: Mapping[str, Any]) -> str:
    """given: options as on the command line, beside the model and the lengths."""
    seconds = whole.info.parameters["seconds"]
    made = provenance(f"python analyses/{table.script}.py", whole.info, seconds=seconds, **given)
    sounds = ", ".join(
        f"{row['n']} at {row['seconds']:g} s" for row in whole.rows if row["method"] == whole.rows[0]["method"]
    )
    return f"{made} {whole.info.parameters['steps']} denoising steps with guidance. Clips of each method: {sounds}."


def readme(table: SoundTable, whole: EvaluationRun, made: str) -> str:
    """What lies in --out, how it came there, and what it shows."""
    metrics = [name for name in table.metrics if name in whole.summary["metrics"]]
    shown = [f"* {line}" for name in metrics for line in findings(whole.summary, name)]
    return f"""# {table.title}

{table.about}

{made}

## What it shows

{chr(10).join(shown)}

"Significantly" means that the 95 % confidence interval of the paired difference excludes 0. Where nothing differs, one
comparison in twenty comes out so by chance.

## What is here

* `table.md`, `table.csv` (unrounded), `table.tex`.
* `speed_against_quality_*`: every method's difference to dense with its intervals, a figure a length.
* The clips' scores, with those of the other tables, are in the run directory `../{EVALUATION}`, for `focuslab recommend
  --evaluation` and `focuslab report`. A clip that several tables show is there once, with the times of each table's
  own run: a speed-up is always of two times of one run.
"""
