"""focuslab evaluate"""

import click

from focuslab.cli.options import (
    COUNT,
    PATH,
    Names,
    Numbers,
    WholeNumbers,
    default_directory,
    scheduler_option,
    shared_options,
)
from focuslab.cli.progress import Reporter, going_on_from
from focuslab.io.captions import read_captions


@click.command("evaluate", short_help="Score the sound of methods over many captions.")
@click.option(
    "--prompts",
    "file",
    type=PATH,
    required=True,
    help="Captions: a text with one in each line, a CSV with a column caption (AudioCaps' as it is), or JSON (Lines).",
)
@click.option("--limit", type=COUNT, help="Take only the first so many captions.")
@click.option("--seconds", type=Numbers(), default="10", show_default=True, help="Lengths of audio.")
@click.option(
    "--methods", type=Names(), default="dense,litefocus", show_default=True, help="As in profile, with parameters."
)
@click.option("--seeds", type=WholeNumbers("seed", "0,1,2"), help="Clips of each caption.  [default: that of --seed]")
@click.option("--steps", type=COUNT, default=200, show_default=True, help="Denoising steps.")
@scheduler_option
@click.option(
    "--metrics",
    type=Names(),
    help="fad, kl, clap, fidelity, or single ones.  [default: all; kl not for bundled and random models]",
)
@click.option(
    "--reference",
    type=PATH,
    help="Directory of WAV, FLAC or OGG to compare with.  [default: the dense sound]",
)
@click.option(
    "--clap", help="The CLAP that scores: a hub id, a directory, or own.  [default: another than the model's]"
)
@click.option("--tagger", help="The AST of kl: a hub id or a directory.  [default: MIT's, fine-tuned on AudioSet]")
@click.option("--keep-audio", is_flag=True, help="Keep the clips as WAVs in --out.")
@click.option("--dry-run", is_flag=True, help="Measure one step of each and say what it would take.")
@click.option("--out", type=PATH, help="Run directory.  [default: runs/evaluate-MODEL-HASH]")
@click.option("--force", is_flag=True, help="Replace another run in --out.")
@shared_options
def command(model, device, dtype, seed, offline, quiet, file, limit, seconds, methods, dry_run, out, force, **scoring):
    """Generate every caption at every length by every method, score each sound, and print one table.

    Each sound has a seed of its own, so the table does not depend on order or on the number of processes: start it with
    accelerate launch or torchrun for one process a GPU, on one machine or many with a common file system. A run that
    was stopped is resumed when the same command is given again, by however many. With the same --out and more captions
    at the end of the list, more lengths, seeds or methods, only what is new is made.
    """
    from focuslab.measure.evaluation.config import Share, parse_metrics
    from focuslab.measure.evaluation.cost import estimate
    from focuslab.measure.evaluation.evaluate import evaluate
    from focuslab.measure.evaluation.job import prepare
    from focuslab.methods import parse_methods
    from focuslab.models.schedulers import check_scheduler_name, using_scheduler
    from focuslab.models.specs import load

    share = Share.of_launcher()
    captions = read_captions(file)[:limit]
    parsed = parse_methods(methods)
    if scoring["metrics"] is not None:
        parse_metrics(scoring["metrics"])
    # In this order: the name of the directory depends on it.
    scheduler = check_scheduler_name(scoring.pop("scheduler"))
    scoring |= {"seeds": scoring.pop("seeds") or (seed,), "steps": scoring.pop("steps"), "offline": offline}
    # Where none is named, the directory is that of earlier versions.
    scoring |= {"scheduler": scheduler} if scheduler else {}
    if out is None:
        texts = [(caption.text, caption.names) for caption in captions]
        reference = scoring["reference"] and str(scoring["reference"])
        out = default_directory(
            "evaluate", model, [texts, seconds, methods, {**scoring, "reference": reference}, device, dtype]
        )
    pipe = load(model, share.device(device), dtype, offline=offline)
    silent = quiet or share.rank > 0
    if dry_run:
        with Reporter(silent) as reporter, using_scheduler(pipe, scheduler):
            job = prepare(pipe, captions, seconds, parsed, **scoring)
            if share.rank == 0:
                click.echo(estimate(pipe, job, share.world, reporter))
        return
    with going_on_from(out), Reporter(silent) as reporter:
        run = evaluate(pipe, captions, seconds, parsed, **scoring, out=out, force=force, share=share, progress=reporter)
    if run is None:
        done = f"process {share.rank} of {share.world} has done its share"
        click.echo(f"focuslab: {done}; the last one to end makes the table, or the same command given again", err=True)
        return
    click.echo(run)
    click.echo(out)
