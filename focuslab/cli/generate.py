"""focuslab generate"""

import re
from pathlib import Path

import click

from focuslab.cli.options import COUNT, PATH, scheduler_option, shared_options
from focuslab.cli.progress import Reporter


@click.command("generate", short_help="Make one sound from a prompt.")
@click.option("--prompt", required=True, help="What to hear.")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Length of audio.")
@click.option(
    "--method", help="One of profile's, with parameters as in litefocus:cross_fraction=0.2.  [default: dense]"
)
@click.option("--plan", type=PATH, help="Plan of recommend; its entry for this length is used.")
@click.option("--steps", type=COUNT, default=200, show_default=True, help="Denoising steps.")
@scheduler_option
@click.option("--out", type=PATH, help="WAV file.  [default: named after the prompt]")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@shared_options
def command(model, device, dtype, seed, offline, quiet, prompt, seconds, method, plan, steps, scheduler, out, force):
    """Make one sound. The same options give the same samples; all settings are written beside the file as .json."""
    from focuslab.errors import InputError
    from focuslab.measure.generate import check_free, generate
    from focuslab.methods import parse_method
    from focuslab.models.lengths import check_seconds
    from focuslab.models.schedulers import check_scheduler_name
    from focuslab.models.specs import load

    if plan and method:
        raise InputError(f"--plan {plan} and --method {method} cannot both be used: give one of them")
    method = f"plan:{plan}" if plan else method or "dense"
    parsed = parse_method(method)
    check_scheduler_name(scheduler)
    made_by = "-".join(_slug(name) for name in (method, scheduler) if name)
    out = out or Path(f"{_slug(prompt)}-{seconds:g}s-{made_by}-seed{seed}.wav")
    check_free(out, force)
    pipe = load(model, device, dtype, offline=offline)
    check_seconds(pipe, seconds)
    pipe.set_progress_bar_config(disable=True)
    given = {"method": parsed, "steps": steps, "scheduler": scheduler, "seed": seed}
    with Reporter(quiet) as reporter:
        sound = generate(pipe, prompt, seconds, **given, progress=reporter)
    click.echo(sound.write(out, force=force))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "sound"
