"""Where attention goes: Figure 2 of the paper, and what the paper has not, on the bundled model.

    python analyses/02_attention_patterns.py
    python analyses/02_attention_patterns.py --bars

The first captures statistics at every site for several prompts and lengths (the run directory statistics/), then keeps
exact pieces of maps at the strongest site of each block (maps/), and draws everything. The second measures what
capturing costs on the full-size UNet, beside its targets (targets.md); it takes an hour on two cores.
Whatever was stopped is resumed. With --draw everything is drawn again from what is in --out, and nothing is measured.
"""

import sys
from pathlib import Path

import click
import torch

import focuslab
from focuslab.analysis.maps import strongest_site
from focuslab.attention import attention_entropy, focus_recall, same_frequency_mass
from focuslab.attention.grid import Grid
from focuslab.cli.options import report_errors
from focuslab.cli.progress import Reporter
from focuslab.measure.capture_config import DEFAULT_CAPTURED
from focuslab.report.figures.attention import write_attention_figures
from focuslab.report.figures.figure2 import figure2
from focuslab.report.figures.style import save
from focuslab.runs.directory import to_summary_bytes, write_atomically
from focuslab.tables.attention import at_length, attention_rows, attention_tables
from focuslab.tables.text import in_markdown

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from words import provenance, targets

PROMPTS = (
    "falling rain",
    "a ringing church bell",
    "a grand piano",
    "an emergency siren",
    "a running engine",
    "a singing bird",
    "a drum loop",
    "ocean waves",
    "a solo violin",
    "a ticking clock",
    "howling wind",
    "a passing train",
)
STEPS = 25
CROP_TOKENS = 64
"""Queries and keys of a crop, from the middle of the sound."""

BARS_MODEL, BARS_SECONDS, BARS_STEPS = "random:audioldm2", 80.0, 8
PROJECTED_STEPS = 200
ONE_FRACTION = (0.1,)


@click.command()
@click.option("--model", default="tiny", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="reports/02_attention_patterns", show_default=True)
@click.option("--prompts", type=click.IntRange(1, len(PROMPTS)), default=8, show_default=True, help="How many.")
@click.option("--seconds", default="10,20,40,80", show_default=True, help="Lengths, separated by commas.")
@click.option("--steps", default=STEPS, show_default=True, help="Denoising steps.")
@click.option("--bars", is_flag=True, help=f"Measure the cost of capturing on {BARS_MODEL} instead.")
@click.option("--draw", is_flag=True, help="Draw again what is in --out; measure nothing.")
@report_errors
def main(model: str, out: Path, prompts: int, seconds: str, steps: int, bars: bool, draw: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if draw:
        write(*(focuslab.AttentionRun.load(out / name) for name in ("statistics", "maps")), out)
        return
    if bars:
        write_bars(out)
        return
    lengths = [float(part) for part in seconds.split(",")]
    pipe = focuslab.load(model, "cpu", "float32")
    pipe.set_progress_bar_config(disable=True)
    run = capture(pipe, out / "statistics", prompts=PROMPTS[:prompts], seconds=lengths, steps=steps)
    write(run, capture_maps(pipe, run, out / "maps"), out)


def write(run: focuslab.AttentionRun, maps: focuslab.AttentionRun, out: Path) -> None:
    """Figures, figure2 also as the picture that the README shows, and tables."""
    made = how_it_was_made(run)
    write_attention_figures(maps.info, run.summary, maps.arrays, out, made)
    save(figure2(maps.info, run.summary, maps.arrays), out / "figure2", ("png",), made)
    write_atomically(out / "table.md", f"{made}\n\n{in_markdown(attention_tables(run.summary))}\n".encode())
    write_atomically(out / "README.md", readme(run, maps).encode())
    click.echo(in_markdown(attention_tables(run.summary)))


def capture(pipe, out: Path, **request) -> focuslab.AttentionRun:
    with Reporter(quiet=False) as progress:
        return focuslab.capture_attention(pipe, out=out, progress=progress, **request)


def capture_maps(pipe, run: focuslab.AttentionRun, out: Path) -> focuslab.AttentionRun:
    """Two tokens and a crop at the site of each block that has the highest lift, in the middle of a denoising, at the
    length that stands for the training length, or the shortest."""
    seconds = run.summary["training_length"] or min(run.summary["seconds"])
    rows = at_length(attention_rows(run.summary, "sites"), seconds)
    blocks = [
        [row["name"] for row in rows if row["block"] == block] for block in dict.fromkeys(r["block"] for r in rows)
    ]
    sites = [strongest_site(rows, names) for names in blocks]
    grids = {site: Grid(*run.info.grids[f"{seconds:g}"][site]) for site in sites}
    finest = max(grids.values(), key=lambda grid: grid.tokens)
    steps = run.info.parameters["steps"]
    return capture(
        pipe,
        out,
        prompts=run.info.prompts[:1],
        seconds=[seconds],
        steps=steps,
        capture_steps=[steps // 2],
        sites=sites,
        statistics=(),
        cross_fractions=(),
        queries=[(finest.time // 3, finest.mel_rows // 4), (2 * finest.time // 3, 3 * finest.mel_rows // 4)],
        crops=[crop_in_the_middle(site, grid) for site, grid in grids.items()],
    )


def crop_in_the_middle(site: str, grid: Grid) -> str:
    first = grid.time // 2 * grid.mel_rows
    first = max(0, min(first, grid.tokens - CROP_TOKENS))
    return f"{site}:{first}-{min(first + CROP_TOKENS, grid.tokens) - 1}"


def how_it_was_made(run: focuslab.AttentionRun) -> str:
    parameters = run.info.parameters
    made = provenance(
        "python analyses/02_attention_patterns.py",
        run.info,
        prompts=len(run.info.prompts),
        seconds=parameters["seconds"],
        steps=parameters["steps"],
    )
    return (
        f"{made} {len(run.info.prompts)} prompts, {parameters['steps']} denoising steps with classifier-free guidance, "
        f"of which steps {', '.join(map(str, parameters['capture_steps']))} were recorded."
    )


def readme(run: focuslab.AttentionRun, maps: focuslab.AttentionRun) -> str:
    """What lies in --out, and how it came there."""
    lengths = ", ".join(f"{s:g}" for s in run.info.parameters["seconds"])
    at = maps.info.parameters
    return f"""# Attention patterns

{how_it_was_made(run)}

Prompts: {"; ".join(run.info.prompts)}. Lengths: {lengths} s.

* `figure2`: attention of two tokens, and crops of a map of each block, of the prompt "{maps.info.prompts[0]}" at
  {at["seconds"][0]:g} s and step {at["capture_steps"][0]}, at the site of each block with the highest lift.
* `lift`: lift of each block with its heads, and by step. `rows`: mass between mel rows. `lag`: mass against time lag.
  `fractions`: recall and output error against r. `lengths`: lift and entropy against audio length.
* `table.md`: all blocks and lengths in numbers, and a verdict in words for each.
* `statistics`, `maps`: the run directories. `summary.json` also has a row for every site.
* `targets.md`, where it is there: the targets of the cost of capturing beside what was measured
  (`python analyses/02_attention_patterns.py --bars`). `bars.json` has the numbers behind it.

Lift is the share of attention that stays in the query's own mel row over the share that uniform attention has there.
Intervals are over prompts; with another seed, model or choice of steps the numbers are others.
"""


def write_bars(out: Path) -> None:
    """One run for each kind of capture, in which recorded and plain steps alternate; their medians are compared."""
    pipe = focuslab.load(BARS_MODEL, "cpu", "float32")
    pipe.set_progress_bar_config(disable=True)
    alternating = {
        "prompts": PROMPTS[0],
        "seconds": (BARS_SECONDS,),
        "steps": BARS_STEPS,
        "capture_steps": range(1, BARS_STEPS, 2),
    }
    one_fraction = {"statistics": ("mass", "recall", "output_error"), "cross_fractions": ONE_FRACTION}
    runs = {
        "three": capture(pipe, out / "bars" / "three", **alternating, **one_fraction),
        "mass": capture(pipe, out / "bars" / "mass", **alternating, statistics=("mass",)),
        "all": capture(pipe, out / "bars" / "all", **alternating),
        "default": capture(pipe, out / "bars" / "default", prompts=PROMPTS[0]),
    }
    size = sum(file.stat().st_size for file in (out / "bars" / "default").rglob("*") if file.is_file())
    measured = {
        "made": provenance("python analyses/02_attention_patterns.py --bars", runs["three"].info, runs["default"].info),
        "costs": {name: run.summary["cost"][0] for name, run in runs.items()},
        "default_bytes": size,
        "differences": brute_force_difference(),
    }
    # The captures themselves, of a random model, say nothing else and are not kept in the repository.
    write_atomically(out / "bars.json", to_summary_bytes(measured))
    table = targets_markdown(measured["costs"], size, measured["differences"])
    write_atomically(out / "targets.md", f"{measured['made']}\n\n{table}".encode())
    click.echo(table)


def targets_markdown(costs: dict[str, dict], default_bytes: int, differences: dict[str, float]) -> str:
    """The targets, and what was measured.

    costs: by kind of capture, a row of the summary's "cost". default_bytes: of a default capture on disk.
    differences: statistic -> the largest difference to brute force.
    """
    over = {name: cost["recorded_step_over_plain"] for name, cost in costs.items()}
    projected = 1 + DEFAULT_CAPTURED * (over["all"] - 1) / PROJECTED_STEPS
    three, length = costs["three"], f"at {BARS_SECONDS:g} s"
    at_most = [
        (f"a step {length} with mass, recall and output error at one r, over a plain step", 1.35, over["three"]),
        (f"a step {length} with mass alone, over a plain step", 1.12, over["mass"]),
        (f"peak memory {length}, recording over plain", 1.1, three["peak_bytes"] / three["plain_peak_bytes"]),
        (
            f"{PROJECTED_STEPS} steps {length}, {DEFAULT_CAPTURED} of them with every statistic, over plain",
            1.05,
            projected,
        ),
        *((f"{name}, largest difference to float64 brute force", 1e-5, value) for name, value in differences.items()),
        ("a default capture on disk, MB", 20, default_bytes / 1e6),
    ]
    note = (
        f"Plain and recorded steps alternate within one run, {BARS_STEPS // 2} of each; ratios are of medians. "
        f"{PROJECTED_STEPS} steps are projected from a step with every statistic, which takes {over['all']:.2f} times "
        "a plain one. Differences: float32, scores up to 50."
    )
    return f"{targets((), at_most)}\n\n{note}\n"


def brute_force_difference(time: int = 64, mel_rows: int = 8, largest_score: float = 50.0) -> dict[str, float]:
    """Largest difference over queries of each exact statistic in float32 to the whole map in float64."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 4, time * mel_rows, 32, generator=generator) for _ in range(2))
    q *= largest_score / (q @ k.mT * 32**-0.5).abs().max()
    drawn = torch.randperm(time * mel_rows, generator=generator)[: time * mel_rows // 10]
    p = (q.double() @ k.double().mT * 32**-0.5).softmax(dim=-1)
    row = torch.arange(time * mel_rows) % mel_rows
    own = row[:, None] == row
    focus = own.clone()
    focus[:, drawn] = True
    return {
        "same-frequency mass": (same_frequency_mass(q, k, mel_rows) - (p * own).sum(dim=-1)).abs().max().item(),
        "recall": (focus_recall(q, k, mel_rows, drawn) - (p * focus).sum(dim=-1)).abs().max().item(),
        "entropy": (attention_entropy(q, k) + torch.special.xlogy(p, p).sum(dim=-1)).abs().max().item(),
    }


if __name__ == "__main__":
    main()
