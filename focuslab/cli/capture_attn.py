"""focuslab capture-attn"""

import click

from focuslab.cli.options import COUNT, PATH, Fractions, Names, Numbers, WholeNumbers, default_directory, shared_options
from focuslab.cli.progress import Reporter, going_on_from
from focuslab.io.captions import read_prompts
from focuslab.tables.attention import counted

RECORDED = "steps capture_steps sites cross_fractions cross_weight key_counts statistics queries crops seed".split()
"""The options that a run directory is named after, in the order that its name depends on."""


@click.command("capture-attn", short_help="Record where attention goes.")
@click.option("--prompt", "given", multiple=True, help="What is generated; repeat it for several.")
@click.option("--prompts", "file", type=PATH, help="A file of prompts, as evaluate takes captions.")
@click.option("--seconds", type=Numbers(), default="10", show_default=True, help="Lengths of audio.")
@click.option("--steps", type=COUNT, default=20, show_default=True, help="Denoising steps.")
@click.option(
    "--capture-steps",
    type=WholeNumbers("step", "0,10,19"),
    help="Steps that are recorded, from 0.  [default: up to 5, spread]",
)
@click.option("--sites", type=Names(), help="Sites, blocks or patterns such as up_blocks.*.attn1.  [default: all]")
@click.option(
    "--cross-fractions",
    type=Fractions("fraction", "0,0.1"),
    default="0,0.05,0.1,0.2",
    show_default=True,
    help="LiteFocus' r, for recall and output error.",
)
@click.option(
    "--cross-weight", default="1", show_default=True, help="Weight of sampled keys: a number, or unbiased (1/r)."
)
@click.option(
    "--key-counts",
    type=Names(),
    default="250:32",
    show_default=True,
    help="Sampled keys, OWN:OTHER of each mel row, whose error is measured.",
)
@click.option(
    "--statistics",
    type=Names(),
    default="mass,entropy,rows,lag,recall,output_error,sampling",
    show_default=True,
    help="What is recorded; mass alone costs least.",
)
@click.option("--query", "queries", multiple=True, help="t:f, a token whose attention is kept whole; repeatable.")
@click.option("--crop", "crops", multiple=True, help="SITE:first-last, a part of a map that is kept whole; repeatable.")
@click.option("--array-bytes", type=COUNT, default=200_000_000, show_default=True, help="Most for those.")
@click.option("--out", type=PATH, help="Run directory.  [default: runs/capture-attn-MODEL-HASH]")
@click.option("--force", is_flag=True, help="Replace another run in --out.")
@shared_options
def command(model, device, dtype, offline, quiet, given, file, seconds, array_bytes, out, force, **options):
    """Record where self-attention goes while prompts are denoised, and draw Figure 2 of it.

    Same-frequency mass, entropy, mass from mel row to mel row and by time lag, recall and output error of LiteFocus for
    each fraction, and how many sampled keys an error needs: exact, at every site, head and recorded step, for both
    halves of the guidance batch. A token t:f is one of the finest grid among the sites, and kept at those that have it.
    A run that was stopped is resumed when the same command is given again.
    """
    from focuslab.measure.capture import capture_attention
    from focuslab.measure.profile_config import PROMPT
    from focuslab.models.specs import load
    from focuslab.report.figures.attention import write_attention_figures

    prompts = [*given, *(read_prompts(file) if file else ())] or [PROMPT]
    options["cross_weight"] = _number_or_text(options["cross_weight"])
    recorded = {name: options[name] for name in RECORDED}
    if out is None:
        out = default_directory("capture-attn", model, [prompts, seconds, recorded, device, dtype])
    pipe = load(model, device, dtype, offline=offline)
    with going_on_from(out), Reporter(quiet) as reporter:
        run = capture_attention(
            pipe, prompts, seconds, **recorded, array_bytes=array_bytes, out=out, force=force, progress=reporter
        )
    write_attention_figures(run.info, run.summary, run.arrays, out / "figures", how_it_was_made(run.info))
    click.echo(run)
    click.echo(out)


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def how_it_was_made(info) -> str:
    """How the records were made, in one paragraph."""
    p = info.parameters
    prompts = counted(len(info.prompts), "prompt")
    return (
        f"{info.made_on}; {prompts}, guided, steps {', '.join(map(str, p['capture_steps']))} of {p['steps']}, seed "
        f"{info.seed}; {info.made_with}"
    )
