"""What attention costs in every family of mel-latent models, and what sparse attention gains in each.

    python analyses/13_families.py

Full-size UNets with random weights, whose times are those of trained ones. Times are those of `focuslab.profile`, one
run directory a model and length below --out; a run that was stopped is resumed. Then Figure 1 of each model, one figure
of all of them, the table behind them (table.md), and the targets beside what was measured (targets.md). A length that
was not measured is projected from the three longest that were, and called so. With --draw nothing is measured.
"""

import sys
from pathlib import Path

import click
import numpy as np
from matplotlib.figure import Figure

import focuslab
from focuslab.analysis.cost import merge_summaries
from focuslab.cli.options import report_errors
from focuslab.cli.progress import Reporter
from focuslab.report.figures.figure1 import STEP_LABEL, figure1
from focuslab.report.figures.layout import LENGTH_LABEL, length_ticks
from focuslab.report.figures.style import PAGE_INCHES, new_figure, save, style
from focuslab.runs.directory import write_atomically

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from words import provenance, targets

MODELS = ("random:audioldm2", "random:audioldm", "random:musicldm", "random:tango")
COLORS = ("#000000", "#0072B2", "#D55E00", "#882255")
DENSE, PAPER, SAMPLED, BOUND_OF_ALL = "dense", "litefocus", "sampled", "bound:sites=*"
METHODS = (DENSE, PAPER, SAMPLED)
"""The bounds of their sites are measured beside them."""
REPEATS = {10.0: 5, 20.0: 3, 40.0: 3, 80.0: 1}
"""Length -> interleaved timings of each method, after one untimed step of each."""
LONGEST = {"random:tango": 40.0}
"""Longest length that is measured where it is not the last of all: a dense step of Tango at 80 s takes long."""
FROM = (10.0, 20.0, 40.0)
"""Lengths that a longer one is projected from, by the parabola through their times."""

Runs = dict[str, dict[float, focuslab.ProfileRun]]
"""By model and length."""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/13_families"), show_default=True)
@click.option("--model", "models", multiple=True, default=MODELS, show_default=True)
@click.option("--seconds", "longest", type=float, help="Longest length, also of models that usually end earlier.")
@click.option("--draw", is_flag=True, help="Draw again what is in --out; measure nothing.")
@report_errors
def main(out: Path, models: tuple[str, ...], longest: float | None, draw: bool) -> None:
    for model in () if draw else models:
        measure(model, out, LONGEST.get(model, max(REPEATS)) if longest is None else longest)
    runs: Runs = {}
    for model in MODELS:
        places = {seconds: directory_of(out, model, seconds) for seconds in REPEATS}
        if found := {s: focuslab.ProfileRun.load(place) for s, place in places.items() if place.exists()}:
            runs[model] = found
    infos = sorted((run.info for own in runs.values() for run in own.values()), key=lambda info: info.started)
    made = provenance("python analyses/13_families.py", infos[0], infos[-1])
    for model, own in runs.items():
        summary = merge_summaries([run.summary for run in own.values()])
        save(figure1(summary), out / f"figure1-{model.removeprefix('random:')}", made=made)
    save(families_figure(runs), out / "families", ("svg", "png"), made)
    text = f"{made}\n\n{cost_table(runs)}\n"
    write_atomically(out / "table.md", text.encode())
    write_atomically(out / "targets.md", f"{made}\n\n{targets_table(runs)}\n".encode())
    click.echo(text)


def measure(model: str, out: Path, longest: float) -> None:
    pipe = focuslab.load(model, "cpu", "float32")
    for seconds, repeats in REPEATS.items():
        if seconds <= longest:
            with Reporter(quiet=False) as progress:
                place = directory_of(out, model, seconds)
                focuslab.profile(pipe, (seconds,), METHODS, repeats=repeats, out=place, progress=progress)


def directory_of(out: Path, model: str, seconds: float) -> Path:
    return out / f"{model.removeprefix('random:')}-{seconds:03.0f}s"


def rows_of(own: dict[float, focuslab.ProfileRun]) -> dict[float, dict[str, dict]]:
    """Length -> method -> its row."""
    return {seconds: {row["method"]: row for row in run.rows} for seconds, run in own.items()}


def cost_table(runs: Runs) -> str:
    """In markdown: seconds of a step, speed against dense, shares of self-attention and of the ideal."""
    lines = [
        "| model | length, s | method | step, s | against dense | self-attention | of its ideal | timings |",
        "| --- | --: | --- | --: | --: | --: | --: | --: |",
    ]
    for model, own in runs.items():
        for seconds, rows in rows_of(own).items():
            for method, row in rows.items():
                share = (row.get("kind_share") or {}).get("self_attention")
                cells = [
                    f"{row['step_seconds_median']:.2f}",
                    f"{row['speedup_vs_dense']:.2f}x",
                    "" if share is None else f"{share:.0%}",
                    f"{row['share_of_ideal']:.0%}" if row.get("share_of_ideal") else "",
                    str(own[seconds].info.parameters["repeats"]),
                ]
                lines.append(f"| {model} | {seconds:g} | `{method}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def targets_table(runs: Runs) -> str:
    """The targets, and what was measured or projected."""
    at_least = []
    for model, own in runs.items():
        rows = rows_of(own)
        at_least += [
            (f"{model} at {s:g} s, share of LiteFocus of its ideal", 0.95, of[PAPER]["share_of_ideal"])
            for s, of in rows.items()
            if s in FROM
        ]
        for seconds, target in ((40.0, 4), (80.0, 6)) if model == "random:tango" else ():
            if seconds in rows:
                at_least.append((_sampled(model, seconds), target, rows[seconds][SAMPLED]["speedup_vs_dense"]))
            elif all(s in rows for s in FROM):
                dense, sampled = (projected({s: rows[s][label] for s in FROM}, seconds) for label in (DENSE, SAMPLED))
                about = ", projected from " + ", ".join(f"{s:g}" for s in FROM) + " s"
                at_least.append((_sampled(model, seconds) + about, target, dense / sampled))
    return targets(at_least, [])


def _sampled(model: str, seconds: float) -> str:
    return f"{model} at {seconds:g} s, `{SAMPLED}` at every site over dense"


def projected(rows: dict[float, dict], seconds: float) -> float:
    """Seconds of a step at another length, by the parabola through those that were measured: time is quadratic."""
    times = [row["step_seconds_median"] for row in rows.values()]
    return float(np.polyval(np.polyfit(list(rows), times, 2), seconds))


def families_figure(runs: Runs) -> Figure:
    """Seconds of a step and the share of self-attention in dense against length, a color a model; `sampled` dashed."""
    with style():
        figure = new_figure(PAGE_INCHES, 3.0)
        left, right = figure.subplots(1, 2)
        for model, color in zip(MODELS, COLORS, strict=True):
            rows = rows_of(runs.get(model, {}))
            for method, dashes in ((DENSE, "-"), (SAMPLED, "--")) if rows else ():
                look = {"color": color, "linestyle": dashes, "marker": "o"}
                own = {seconds: of[method] for seconds, of in rows.items() if method in of}
                label = model.removeprefix("random:") if method == DENSE else None
                left.plot(list(own), [row["step_seconds_median"] for row in own.values()], label=label, **look)
                shares = {s: row["kind_share"]["self_attention"] for s, row in own.items() if row.get("kind_share")}
                right.plot(list(shares), [100 * share for share in shares.values()], **look)
        lengths = sorted({seconds for own in runs.values() for seconds in own})
        left.set(yscale="log", ylabel=STEP_LABEL)
        right.set(ylim=(0, 100), ylabel="Share of self-attention [%]")
        for ax in (left, right):
            ax.set(xscale="log", xlim=(lengths[0] / 1.15, lengths[-1] * 1.15), xlabel=LENGTH_LABEL)
            length_ticks(ax, lengths)
        left.legend(title=f"{DENSE}; {SAMPLED} dashed")
    return figure


if __name__ == "__main__":
    main()
