"""focuslab recommend"""

from pathlib import Path

import click

from focuslab.cli.options import COUNT, PATH, Names, Numbers, default_directory, shared_options
from focuslab.cli.progress import Reporter, going_on_from
from focuslab.errors import InputError
from focuslab.io.captions import read_prompts
from focuslab.tables.attention import counted


class BudgetType(click.ParamType):
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


@click.command("recommend", short_help="Choose which sites to make sparse at each length, and validate it.")
@click.option("--seconds", type=Numbers(), default="10,20,40,80", show_default=True, help="Lengths of audio.")
@click.option(
    "--max-error", type=BudgetType(), help="The fastest with at most this relative error of the UNet's output."
)
@click.option("--min-speedup", type=BudgetType(), help="The closest to dense that is so much faster, such as 1.5.")
@click.option("--methods", type=Names(), help="What is tried, without sites.  [default: 15 candidates]")
@click.option("--steps", type=COUNT, default=20, show_default=True, help="Denoising steps.")
@click.option("--prompt", "given", multiple=True, help="Repeat it: the first, third ... choose, the others validate.")
@click.option("--prompts", "file", type=PATH, help="A file of prompts, as evaluate takes captions.")
@click.option("--attention", type=PATH, help="Run directory of capture-attn.  [default: made with the other two]")
@click.option("--profile", type=PATH, help="Run directory of profile.  [default: made]")
@click.option("--sensitivity", type=PATH, help="Sensitivity pass of another recommend.  [default: made]")
@click.option("--evaluation", type=PATH, help="Run directory of evaluate: quality goes into the plan.")
@click.option(
    "--objective",
    type=click.Choice(["fidelity", "quality"]),
    default="fidelity",
    show_default=True,
    help="Fidelity to dense, or beyond the training length what --evaluation found best.",
)
@click.option(
    "--no-validation",
    "--no-proof",
    "unvalidated",
    is_flag=True,
    help="Do not run the plan. With all records given nothing is loaded.",
)
@click.option("--keep-audio", is_flag=True, help="Keep the clips of the validation.")
@click.option("--out", type=PATH, help="The plan.  [default: runs/recommend-MODEL-HASH/plan.json]")
@click.option("--force", is_flag=True, help="Replace another plan in --out.")
@shared_options
def command(model, device, dtype, offline, quiet, given, file, unvalidated, out, force, **options):
    """Which sites to make sparse at each length, how sparse, and from which length on: a plan, and its validation.

    Measures what it lacks (a capture, a profile of the candidates, and a pass that finds what each candidate does to
    the UNet's output), chooses from the frontier of time against error, and runs the plan beside the paper's choice on
    prompts and seeds that the choice has not seen. Without a budget the knee of the frontier is chosen; "paper" is a
    budget too. The records are kept in records/ beside the plan, for other budgets. The same command resumes what was
    stopped.
    """
    from focuslab.results import BY_NAME

    for name, kind in BY_NAME.items():
        options[name] = kind.load(options[name]) if options[name] else None
    prompts = split_prompts(given, file)
    if out is None:
        settings = [options["seconds"], options["methods"], options["steps"], prompts, options["seed"], device, dtype]
        out = default_directory("recommend", model, settings) / _name(options)
    if unvalidated and options["profile"] and options["sensitivity"] and not options["evaluation"]:
        from focuslab.search.budget import Budget
        from focuslab.search.plan_files import choose_from_records

        records = (options["profile"], options["sensitivity"], options["attention"])
        budget = Budget(options["max_error"], options["min_speedup"])
        path, selection = choose_from_records(*records, seconds=options["seconds"], budget=budget, out=out, force=force)
        show(path, selection, selection.plan, None)
        return

    from focuslab.models.specs import load
    from focuslab.workflows.recommend import recommend

    pipe = load(model, device, dtype, offline=offline)
    pipe.set_progress_bar_config(disable=True)
    with going_on_from(out.parent), Reporter(quiet) as reporter:
        made = recommend(pipe, **options, **prompts, validate=not unvalidated, out=out, force=force, progress=reporter)
    show(made.path, made.selection, made.plan, made.validation)
    if made.missed:
        missed = f"{made.path} is written, but its validation missed what was predicted: {'; '.join(made.missed)}"
        raise click.ClickException(click.style(missed, fg="red"))


def split_prompts(given: tuple[str, ...], file: Path | None) -> dict[str, list[str]]:
    """What `recommend` takes: the first, third ... prompt to choose with, the others to validate with.

    It is nothing where no prompts are given. Raises `InputError` for one alone.
    """
    prompts = [*given, *(read_prompts(file) if file else ())]
    if not prompts:
        return {}
    if len(prompts) < 2:
        raise InputError("expected two prompts or more: every second one is held out for the validation")
    return {"prompts": prompts[::2], "validation_prompts": prompts[1::2]}


def show(path: Path, selection, plan, validation) -> None:
    """Draw the figures, print the tables, and say what records lack."""
    from focuslab.report.figures.frontier import write_frontier
    from focuslab.report.figures.site_map import write_site_map
    from focuslab.runs import RunInfo
    from focuslab.runs.directory import RUN, read_json
    from focuslab.search.plan_files import plan_directory
    from focuslab.tables.choice import choice_tables, plan_tables
    from focuslab.tables.text import in_terminal
    from focuslab.tables.validation import measured_of, quality_choice_tables, validation_tables

    directory = plan_directory(path)
    made = how_it_was_made(RunInfo.from_json(read_json(directory / RUN), str(directory / RUN)))
    measured = measured_of(validation.summary) if validation else None
    write_frontier(selection.summary, directory / "figures", made, measured=measured)
    write_site_map(selection.summary, directory / "figures", made)
    click.echo(in_terminal(choice_tables(selection.summary)))
    if plan.entries != selection.plan.entries:
        click.echo(f"\n{in_terminal(plan_tables(plan))}")
    if quality := in_terminal(quality_choice_tables(plan.evidence)):
        click.echo(f"\n{quality}")
    if validation:
        click.echo(f"\n{in_terminal(validation_tables(validation.summary))}")
    for note in selection.notes:
        click.echo(f"focuslab: {note}", err=True)
    click.echo(path)


def how_it_was_made(info) -> str:
    """How the numbers were made, in one paragraph."""
    steps = info.parameters.get("steps")
    denoised = f", {steps} denoising steps" if steps else ""
    prompts = counted(len(info.prompts), "prompt")
    return f"{info.made_on}; chosen with {prompts}, guided{denoised}, seed {info.seed}; {info.made_with}"


def _name(options: dict) -> str:
    """What the plan is called: plan.json, plan-max-error-0.02.json, plan-min-speedup-paper.json, ..."""
    parts = ["plan"]
    for name in ("max_error", "min_speedup"):
        if (value := options[name]) is not None:
            parts += [name.replace("_", "-"), value if isinstance(value, str) else f"{value:g}"]
    return "-".join(parts + ([options["objective"]] if options["objective"] != "fidelity" else [])) + ".json"
