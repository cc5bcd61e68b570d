"""The next pattern: how much attention would stay inside patterns other than the own mel row.

    python analyses/08_other_patterns.py

A pattern is a function of the grid and of some query tokens that says which keys belong to it. Put yours into PATTERNS
and run this: for each block it gives the attention inside the pattern, the share of all keys that the pattern computes
(which is what uniform attention would leave inside), and the ratio of both. A good pattern keeps much in few keys.
"""

import sys
from pathlib import Path

import click
from torch import Tensor, arange

import focuslab
from focuslab.attention.grid import Grid
from focuslab.attention.statistics import Pattern
from focuslab.cli.options import report_errors
from focuslab.cli.progress import Reporter
from focuslab.runs.directory import write_atomically

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from words import provenance


def places(grid: Grid, queries: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Time step and mel row of the queries `[Q, 1]` and of all keys `[N]`."""
    keys = arange(grid.tokens, device=queries.device)
    queries = queries[:, None]
    return queries // grid.mel_rows, queries % grid.mel_rows, keys // grid.mel_rows, keys % grid.mel_rows


def own_row(grid: Grid, queries: Tensor) -> Tensor:
    """The paper's: here to compare the others with."""
    _, query_row, _, key_row = places(grid, queries)
    return query_row == key_row


def neighbouring_rows(grid: Grid, queries: Tensor) -> Tensor:
    """The own mel row and the ones beside it."""
    _, query_row, _, key_row = places(grid, queries)
    return (query_row - key_row).abs() <= 1


def same_time(grid: Grid, queries: Tensor) -> Tensor:
    """All mel rows at the query's time step."""
    query_time, _, key_time, _ = places(grid, queries)
    return query_time == key_time


def window(share: float) -> Pattern:
    """All mel rows within a stretch of time around the query that is `share` of the sound long."""

    def near(grid: Grid, queries: Tensor) -> Tensor:
        query_time, _, key_time, _ = places(grid, queries)
        return (query_time - key_time).abs() <= share * grid.time / 2

    return near


def own_row_and_window(grid: Grid, queries: Tensor) -> Tensor:
    """Union of two patterns."""
    return own_row(grid, queries) | window(1 / 16)(grid, queries)


PATTERNS: dict[str, Pattern] = {
    "own row": own_row,
    "own and neighbouring rows": neighbouring_rows,
    "same time": same_time,
    "window of 1/8": window(1 / 8),
    "own row and window of 1/16": own_row_and_window,
}


@click.command()
@click.option("--model", default="tiny", show_default=True)
@click.option("--prompt", default="falling rain", show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--steps", default=20, show_default=True, help="Denoising steps.")
@click.option("--out", type=click.Path(path_type=Path), default="reports/08_other_patterns", show_default=True)
@report_errors
def main(model: str, prompt: str, seconds: float, steps: int, out: Path) -> None:
    pipe = focuslab.load(model)
    pipe.set_progress_bar_config(disable=True)
    with Reporter(quiet=False) as progress:
        run = focuslab.capture_attention(
            pipe, prompt, (seconds,), steps=steps, statistics=(), patterns=PATTERNS, out=out, progress=progress
        )
    table = patterns_table(run)
    made = provenance("python analyses/08_other_patterns.py", run.info, prompt=prompt, seconds=seconds, steps=steps)
    write_atomically(out / "table.md", f"{made}\n\n{table}\n".encode())
    click.echo(table)


def patterns_table(run: focuslab.AttentionRun) -> str:
    """In markdown, a row a block and pattern: attention inside, share of keys, and their ratio."""
    lines = ["| block | pattern | attention inside | share of keys | ratio |", "| --- | --- | --: | --: | --: |"]
    for block in run.summary["blocks"]:
        for name, found in block["patterns"].items():
            inside, keys = (f"{100 * found[key]:.1f} %" for key in ("mass", "chance"))
            lines.append(f"| {block['name']} | {name} | {inside} | {keys} | {found['lift']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
