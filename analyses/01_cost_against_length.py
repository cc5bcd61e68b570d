"""Figure 1 of the paper with LiteFocus beside it, on the full-size UNet, and how fast the sparse forms really are.

    python analyses/01_cost_against_length.py

One run directory a length below --out, so that short lengths can be repeated more often than long ones; a run that was
stopped is resumed. Then figures over all lengths (figure1, and speed_against_ideal), the table behind them (table.md),
and the targets of speed and memory beside what was measured (targets.md). With --draw the figures and the
table are made again from the run directories, and nothing is measured.
"""

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from torch import Tensor

import focuslab
from focuslab.analysis.cost import merge_summaries
from focuslab.attention.grid import Grid
from focuslab.cli.options import report_errors
from focuslab.cli.progress import Reporter
from focuslab.hooks.processors import SiteCall
from focuslab.methods import Eager, LiteFocus, Method, TokenMerging
from focuslab.methods.references import Dense
from focuslab.report.figures.figure1 import figure1, plot_speed_against_ideal
from focuslab.report.figures.style import save
from focuslab.runs.directory import write_atomically
from focuslab.tables.profile import profile_tables
from focuslab.tables.text import in_markdown

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from words import provenance, targets


@dataclass(frozen=True)
class PublishedFormula(Method):
    """LiteFocus as its authors' code computes it: own row and sampled keys side by side, a key in both counted twice,
    softmax over maps that are held in memory. The fused form has to be measured against something."""

    cross_fraction: float = 0.1

    def core(self, q: Tensor, k: Tensor, v: Tensor, call: SiteCall) -> Tensor:
        time_steps, mel_rows = call.grid.time, call.grid.mel_rows
        drawn = torch.randperm(call.grid.tokens, generator=call.generator(0))[: self._count(call.grid)].to(q.device)

        def by_row(x: Tensor) -> Tensor:
            return x.unflatten(2, (time_steps, mel_rows)).transpose(2, 3)

        scale = q.shape[-1] ** -0.5
        own_scores = by_row(q) @ by_row(k).mT * scale
        drawn_scores = by_row(q @ k[:, :, drawn].mT * scale)
        shares = torch.cat([own_scores, drawn_scores], dim=-1).softmax(dim=-1)
        out = shares[..., :time_steps] @ by_row(v) + shares[..., time_steps:] @ v[:, :, None, drawn]
        return out.transpose(2, 3).flatten(2, 3)

    def density(self, grid: Grid) -> float:
        return grid.chance + self._count(grid) / grid.tokens

    def _count(self, grid: Grid) -> int:
        return int(self.cross_fraction * grid.tokens)


UNBIASED, PUBLISHED = "litefocus:cross_weight=unbiased", "published-unfused"
LONG = {"dense": Dense(), "litefocus": LiteFocus()}
FUSED = {
    **LONG,
    UNBIASED: LiteFocus(cross_weight="unbiased"),
    "same-frequency": LiteFocus(cross_fraction=0),
    "tome": TokenMerging(),
}
SHORT = {**FUSED, "naive": Eager()}
METHODS = {10.0: SHORT, 20.0: SHORT, 40.0: FUSED, 80.0: {**FUSED, PUBLISHED: PublishedFormula()}, 160.0: LONG}
"""By length in seconds. Unfused attention of the whole UNet is shown where it is affordable."""
REPEATS = {10.0: 9, 20.0: 5, 40.0: 3, 80.0: 3, 160.0: 2}
"""Timings of each method by length in seconds."""


@click.command()
@click.option("--model", default="random:audioldm2", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/01_cost_against_length"))
@click.option("--draw", is_flag=True, help="Draw again what is in --out; measure nothing.")
@report_errors
def main(model: str, out: Path, draw: bool) -> None:
    if draw:
        write_figures([focuslab.ProfileRun.load(directory_of(out, seconds)) for seconds in REPEATS], out)
        return
    pipe = focuslab.load(model, "cpu", "float32")
    runs = []
    for seconds, repeats in REPEATS.items():
        with Reporter(quiet=False) as progress:
            runs.append(
                focuslab.profile(
                    pipe,
                    (seconds,),
                    METHODS[seconds],
                    repeats=repeats,
                    out=directory_of(out, seconds),
                    progress=progress,
                )
            )
        write_figures(runs, out)
    rows = {(row["seconds"], row["method"]): row for run in runs for row in run.rows}
    bars = targets_markdown(rows, runs[0])
    write_atomically(out / "targets.md", f"{how_it_was_made(runs)}\n\n{bars}".encode())
    click.echo(bars)


def directory_of(out: Path, seconds: float) -> Path:
    return out / f"{seconds:03.0f}s"


def write_figures(runs: list[focuslab.ProfileRun], out: Path) -> None:
    """The figures over all lengths, figure1 also as the picture that the README shows, and the table behind them."""
    summary, made = merge_summaries([run.summary for run in runs]), how_it_was_made(runs)
    # The published formula, at one length, is a row of the table and no line.
    drawn = [row for row in summary["rows"] if row["method"] != PUBLISHED]
    save(figure1({**summary, "rows": drawn}), out / "figure1", ("svg", "png"), made)
    ours = [row for row in drawn if row["method"] in (*LONG, "bound")]
    save(plot_speed_against_ideal(ours).figure, out / "speed_against_ideal", made=made)
    write_atomically(out / "table.md", f"{made}\n\n{in_markdown(profile_tables(summary))}\n".encode())


def how_it_was_made(runs: list[focuslab.ProfileRun]) -> str:
    repeats = ", ".join(f"{r.info.parameters['repeats']} at {r.info.parameters['seconds'][0]:g} s" for r in runs)
    made = provenance("python analyses/01_cost_against_length.py", runs[0].info, runs[-1].info)
    return (
        f"{made} Interleaved timings of each method: {repeats}; every raw value is in the run directories beside "
        "this file."
    )


def targets_markdown(rows: dict, shortest: focuslab.ProfileRun) -> str:
    """The targets, and what was measured."""

    def ratio(field: str, of: tuple[float, str], to: tuple[float, str]) -> float:
        return rows[of][field] / rows[to][field]

    step, lite = "step_seconds_median", "litefocus"
    at_least = [
        *((f"LiteFocus at {s:g} s, share of its ideal speed", 0.95, rows[s, lite]["share_of_ideal"]) for s in REPEATS),
        ("LiteFocus at 80 s, speed-up over fused dense", 1.9, rows[80, lite]["speedup_vs_dense"]),
        ("LiteFocus at 160 s, speed-up over fused dense", 2.3, rows[160, lite]["speedup_vs_dense"]),
        ("LiteFocus at 80 s, speed-up over the published formula", 2.5, ratio(step, (80, PUBLISHED), (80, lite))),
    ]
    at_most = [
        *(
            (f"unbiased weight over weight 1 at {s:g} s", 1.05, ratio(step, (s, UNBIASED), (s, lite)))
            for s in REPEATS
            if s <= 80
        ),
        ("LiteFocus, growth from 40 to 80 s", 2.4, ratio(step, (80, lite), (40, lite))),
        *(
            (f"peak memory at {s:g} s, LiteFocus over dense", 1.1, ratio("peak_bytes", (s, lite), (s, "dense")))
            for s in REPEATS
        ),
        ("cost of the instrument at 10 s", 1.02, shortest.summary["instrumented_over_plain"]),
        ("exclusive times at 10 s against the whole, relative difference", 0.01, additivity(rows[10, "dense"])),
        ("focuslab --help, seconds", 0.4, help_seconds()),
    ]
    growth = ratio(step, (80, "dense"), (40, "dense"))
    return f"{targets(at_least, at_most)}\n\nDense grows by {growth:.2f} from 40 to 80 s in the same runs.\n"


def additivity(row: dict) -> float:
    whole = row["modules"][0]["inclusive_seconds"]
    return abs(sum(module["exclusive_seconds"] for module in row["modules"]) / whole - 1)


def help_seconds() -> float:
    """Median of eleven whole processes."""
    values = []
    for _ in range(11):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from focuslab.cli import main; main(['--help'])"], stdout=subprocess.DEVNULL
        )
        values.append(time.perf_counter() - start)
    return statistics.median(values)


if __name__ == "__main__":
    main()
