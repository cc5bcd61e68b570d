"""focuslab demo"""

import click

from focuslab.cli.options import COUNT, PATH, Numbers, default_directory, shared_options
from focuslab.cli.progress import Reporter, going_on_from


@click.command("demo", short_help="All of it in minutes, ending in one page.")
@click.option("--seconds", type=Numbers(), default="10,20", show_default=True, help="Lengths of audio.")
@click.option("--steps", type=COUNT, default=8, show_default=True, help="Denoising steps measured.")
@click.option("--listening-steps", type=COUNT, default=20, show_default=True, help="Those of the clips.")
@click.option("--out", type=PATH, help="Directory.  [default: runs/demo-MODEL-HASH]")
@click.option("--force", is_flag=True, help="Replace another demo in --out.")
@shared_options
def command(model, device, dtype, seed, offline, quiet, seconds, steps, listening_steps, out, force):
    """Where the time goes, where attention looks, what to make sparse, what it gains and costs, and sound to listen to.

    Goes through capture-attn, profile, recommend with its validation, generate and report on one model, sized for a few
    minutes on two cores with the bundled one, and ends in one page. What was done before is not done again.
    """
    settings = {"seconds": seconds, "steps": steps, "listening_steps": listening_steps, "seed": seed}
    if out is None:
        out = default_directory("demo", model, [settings, device, dtype])
    from focuslab.io.locks import DirectoryLock
    from focuslab.models.specs import load
    from focuslab.workflows.demo import Demonstration

    pipe = load(model, device, dtype, offline=offline)
    pipe.set_progress_bar_config(disable=True)
    demo = Demonstration(pipe, out, **settings, force=force)
    stages = demo.stages
    out.mkdir(parents=True, exist_ok=True)
    with going_on_from(out), DirectoryLock(out):
        for number, stage in enumerate(stages, start=1):
            click.echo(f"{number}/{len(stages)} {stage.name}: {stage.does}")
            with Reporter(quiet) as reporter:
                found = stage.run(reporter)
            click.echo(f"    {found}")
    click.echo(demo.page)
