"""focuslab profile"""

import os

import click

from focuslab.cli.options import COUNT, PATH, Names, Numbers, default_directory, scheduler_option, shared_options
from focuslab.cli.progress import Reporter, going_on_from
from focuslab.methods.catalogue import catalogue


@click.command("profile", short_help="Time a denoising step, method against method.")
@click.option("--seconds", type=Numbers(), default="10,20,40,80", show_default=True, help="Lengths of audio.")
@click.option(
    "--methods",
    type=Names(),
    default="dense,litefocus",
    show_default=True,
    help=f"{', '.join(catalogue())}; with parameters as in litefocus:cross_fraction=0.2:cross_weight=unbiased, several "
    "sites joined by +; or plan:FILE. Methods joined by +, as in deepcache+sampled, run together.",
)
@click.option("--steps", type=COUNT, default=1, show_default=True, help="Denoising steps a timing.")
@click.option("--repeats", type=COUNT, default=3, show_default=True, help="Timings of each method.")
@scheduler_option
@click.option("--prompt", default=None, help="What is generated; time hardly depends on it.")
@click.option("--trace", is_flag=True, help="Also trace one step of each, for Perfetto and TensorBoard.")
@click.option("--out", type=PATH, help="Run directory.  [default: runs/profile-MODEL-HASH]")
@click.option("--force", is_flag=True, help="Replace another run in --out.")
@shared_options
def command(model, device, dtype, seed, offline, quiet, seconds, methods, scheduler, out, force, **timed):
    """Time, memory and FLOPs of a denoising step at several lengths, dense against sparse, and Figure 1 of them.

    The methods follow each other in every round. Beside each sparse method stands its bound (the time if attention at
    its sites cost nothing) and its ideal (the bound, and its share of query-key pairs of the rest). A run that was
    stopped is resumed when the same command is given again.
    """
    # One line of the profiler's own for each trace would break the progress bar.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    from focuslab.measure.profile import profile
    from focuslab.measure.profile_config import PROMPT
    from focuslab.methods import parse_methods
    from focuslab.models.schedulers import check_scheduler_name
    from focuslab.models.specs import load
    from focuslab.report.figures.figure1 import write_figure1

    parsed = parse_methods(methods)
    # In this order: the name of the directory depends on it.
    timed = {name: timed[name] for name in ("steps", "repeats", "prompt", "trace")} | {"seed": seed}
    timed["prompt"] = PROMPT if timed["prompt"] is None else timed["prompt"]
    # Where none is named, the directory is that of earlier versions.
    timed |= {"scheduler": scheduler} if check_scheduler_name(scheduler) else {}
    if out is None:
        out = default_directory("profile", model, [seconds, methods, *timed.values(), device, dtype])
    pipe = load(model, device, dtype, offline=offline)
    with going_on_from(out), Reporter(quiet) as reporter:
        run = profile(pipe, seconds, parsed, **timed, out=out, force=force, progress=reporter)
    write_figure1(run.summary, out / "figures", how_it_was_made(run.info))
    click.echo(run)
    click.echo(out)


def how_it_was_made(info) -> str:
    """How the numbers were made, in one paragraph."""
    parameters = info.parameters
    return (
        f"{info.made_on}; guided batch of 2, {parameters['repeats']} interleaved timings of {parameters['steps']} "
        f"step(s) each, median and 10th to 90th percentile; {info.made_with}"
    )
