"""focuslab recommend"""

from pathlib import Path

import click

from focuslab.cli.options import Names, Numbers, default_directory, shared_options
from focuslab.cli.progress import Reporter, going_on_from
from focuslab.errors import InputError
from focuslab.io.captions import read_prompts
from focuslab.tables.verdict import counted

RUN_DIRECTORY = click.Path(path_type=Path)


class Budget(click.ParamType):
    """A positive number, or "paper": what the paper's choice takes."""

    name = "number|paper"

    def convert(self, value, param, ctx):
        if value == "paper" or isinstance(value, float):
            return value
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            self.fail(f"{value!r} is no positive number: expected one such as 0.02 or 1.5, or paper", param, ctx)
        return number


@click.command("recommend", short_help="Choose which sites to make sparse at each length, and prove it.")
@click.option("--seconds", type=Numbers(), default="10,20,40,80", show_default=True, help="Lengths of audio.")
@click.option("--max-error", type=Budget(), help="The fastest with at most this relative error of the UNet's output.")
@click.option("--min-speedup", type=Budget(), help="The closest to dense that is so much faster, such as 1.5.")
@click.option("--methods", type=Names(), help="What is tried, without sites.  [default: 15 candidates]")
@click.option("--per-site", is_flag=True, help="Choose for each site of the blocks with much attention.")
@click.option("--steps", type=click.IntRange(min=1), default=20, show_default=True, help="Denoising steps.")
@click.option("--prompt", "given", multiple=True, help="Repeat it: the first, third ... choose, the others prove.")
@click.option(
    "--prompts", "file", type=click.Path(path_type=Path), help="A file of prompts, as evaluate takes captions."
)
@click.option(
    "--attention", type=RUN_DIRECTORY, help="Run directory of capture-attn.  [default: made with the other two]"
)
@click.option("--profile", type=RUN_DIRECTORY, help="Run directory of profile.  [default: made]")
@click.option("--sensitivity", type=RUN_DIRECTORY, help="Sensitivity pass of another recommend.  [default: made]")
@click.option("--evaluation", type=RUN_DIRECTORY, help="Run directory of evaluate: quality goes into the plan.")
@click.option(
    "--objective",
    type=click.Choice(["fidelity", "quality"]),
    default="fidelity",
    show_default=True,
    help="Closeness to dense, or beyond the training length what --evaluation found best.",
)
@click.option("--no-proof", is_flag=True, help="Do not run the plan. With all records given nothing is loaded.")
@click.option("--keep-audio", is_flag=True, help="Keep the sounds of the proof.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="The plan.  [default: runs/recommend-MODEL-HASH/plan.json]"
)
@click.option("--force", is_flag=True, help="Replace another plan in --out.")
@shared_options
def command(
    model,
    device,
    dtype,
    seed,
    offline,
    quiet,
    seconds,
    max_error,
    min_speedup,
    methods,
    per_site,
    steps,
    given,
    file,
    attention,
    profile,
    sensitivity,
    evaluation,
    objective,
    no_proof,
    keep_audio,
    out,
    force,
):
    """Which sites to make sparse at each length, how sparse, and from which length on: a plan, and its proof.

    Measures what it lacks (a capture, a profile of the candidates, and a pass that finds what each candidate does to
    the UNet's output), chooses from the frontier of time against error, and runs the plan beside the paper's choice on
    prompts and seeds that the choice has not seen. Without a budget the knee of the frontier is chosen; "paper" is a
    budget too. The records are kept in records/ beside the plan, for other budgets. What was stopped goes on when the
    same command is given again.
    """
    from focuslab.results import AttentionRun, EvaluationRun, ProfileRun, SensitivityRun

    kinds = {
        "attention": (AttentionRun, attention),
        "profile": (ProfileRun, profile),
        "sensitivity": (SensitivityRun, sensitivity),
        "evaluation": (EvaluationRun, evaluation),
    }
    runs = {name: kind.load(directory) if directory else None for name, (kind, directory) in kinds.items()}
    prompts = split_prompts(given, file)
    if out is None:
        settings = [seconds, methods, per_site, steps, prompts, seed, device, dtype]
        out = default_directory("recommend", model, settings) / f"{_name(max_error, min_speedup, objective)}.json"
    budget = {"max_error": max_error, "min_speedup": min_speedup}
    if no_proof and profile and sensitivity and not evaluation:
        from focuslab.search.plan_files import choose_from_records

        del runs["evaluation"]
        path, selection = choose_from_records(**runs, seconds=seconds, **budget, out=out, force=force)
        show(path, selection, selection.plan, None)
        return

    from focuslab.models.specs import load
    from focuslab.workflows.recommend import recommend

    pipe = load(model, device, dtype, offline=offline)
    pipe.set_progress_bar_config(disable=True)
    with going_on_from(out.parent), Reporter(quiet) as reporter:
        made = recommend(
            pipe,
            seconds,
            **budget,
            **prompts,
            **runs,
            methods=methods,
            per_site=per_site,
            steps=steps,
            seed=seed,
            objective=objective,
            prove=not no_proof,
            keep_audio=keep_audio,
            out=out,
            force=force,
            progress=reporter,
        )
    show(made.path, made.selection, made.plan, made.proof)
    if made.missed:
        missed = f"{made.path} is written, but its proof missed what was predicted: {'; '.join(made.missed)}"
        raise click.ClickException(click.style(missed, fg="red"))


def split_prompts(given: tuple[str, ...], file: Path | None) -> dict[str, list[str]]:
    """What `recommend` takes: the first, third ... prompt to choose with, the others to prove with; none where none are
    given. Raises `InputError` for one alone."""
    prompts = [*given, *(read_prompts(file) if file else ())]
    if not prompts:
        return {}
    if len(prompts) < 2:
        raise InputError("expected two prompts or more: every second one is held out for the proof")
    return {"prompts": prompts[::2], "proof_prompts": prompts[1::2]}


def show(path: Path, selection, plan, proof) -> None:
    """Draw the figures, print the tables, and say what records lack."""
    from focuslab.report.figures.frontier import write_frontier
    from focuslab.report.figures.site_map import write_site_map
    from focuslab.runs import RunInfo
    from focuslab.runs.directory import RUN, read_json
    from focuslab.search.plan_files import plan_directory
    from focuslab.tables.choice import choice_tables
    from focuslab.tables.plan import plan_tables
    from focuslab.tables.quality_choice import quality_choice_tables
    from focuslab.tables.text import in_terminal
    from focuslab.tables.validation import measured_of, validation_tables

    directory = plan_directory(path)
    made = how_it_was_made(RunInfo.from_json(read_json(directory / RUN), str(directory / RUN)))
    measured = measured_of(proof.summary) if proof else None
    write_frontier(selection.summary, directory / "figures", made, measured=measured)
    write_site_map(selection.summary, directory / "figures", made)
    click.echo(in_terminal(choice_tables(selection.summary)))
    if plan.entries != selection.plan.entries:
        click.echo(f"\n{in_terminal(plan_tables(plan))}")
    if quality := in_terminal(quality_choice_tables(plan.evidence)):
        click.echo(f"\n{quality}")
    if proof:
        click.echo(f"\n{in_terminal(validation_tables(proof.summary))}")
    for note in selection.notes:
        click.echo(f"focuslab: {note}", err=True)
    click.echo(path)


def how_it_was_made(info) -> str:
    """How the numbers were made, in one paragraph."""
    steps = info.parameters.get("steps")
    denoised = f", {steps} denoising steps" if steps else ""
    prompts = counted(len(info.prompts), "prompt")
    return f"{info.made_on}; chosen with {prompts}, guided{denoised}, seed {info.seed}; {info.made_with}"


def _name(max_error: float | str | None, min_speedup: float | str | None, objective: str) -> str:
    """What the plan is called: plan, plan-max-error-0.02, plan-min-speedup-paper, ..."""
    parts = ["plan"]
    for name, value in (("max-error", max_error), ("min-speedup", min_speedup)):
        if value is not None:
            parts += [name, value if isinstance(value, str) else f"{value:g}"]
    return "-".join(parts + ([objective] if objective != "fidelity" else []))
