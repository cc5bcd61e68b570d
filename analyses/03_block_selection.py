"""Which blocks to make sparse at each length: plans for the bundled model, and what running them shows.

    python analyses/03_block_selection.py

Three plans from the same records: the knee of the frontier (plan.json), the one closest to dense that is as fast as
the paper's choice (as-fast-as-paper.json), and the fastest that is as close to dense as it (as-close-as-paper.json).
Each is validated on prompts and seeds that its choice has not seen. Then it makes figures, tables, and the targets
beside what was measured (targets.md). The same command resumes what was stopped. With --draw figures and tables are
made again from what is in --out, and nothing is measured.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

import focuslab
from focuslab.cli.options import report_errors
from focuslab.cli.progress import Reporter
from focuslab.io.captions import CHOICE_PROMPTS, VALIDATION_PROMPTS
from focuslab.methods import Plan
from focuslab.report.figures.frontier import frontier_figure, write_frontier
from focuslab.report.figures.site_map import write_site_map
from focuslab.report.figures.style import save
from focuslab.results import AttentionRun, ProfileRun, SensitivityRun, ValidationRun
from focuslab.runs.directory import SUMMARY, read_json, write_atomically
from focuslab.search.experiments import Group, choice_key, choice_of, joint_ablations
from focuslab.search.plan_files import plan_directory
from focuslab.search.select import Selection, select
from focuslab.tables.choice import choice_tables
from focuslab.tables.text import in_markdown
from focuslab.tables.validation import measured_of, validation_tables
from focuslab.workflows.recommend import VALIDATION, Recommendation, recommend
from focuslab.workflows.records import RECORDS

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from words import provenance, targets

KNEE, FAST, CLOSE = "plan", "as-fast-as-paper", "as-close-as-paper"
BUDGETS = {KNEE: {}, FAST: {"min_speedup": "paper"}, CLOSE: {"max_error": "paper"}}
SHORTEST_TARGET = 20.0
"""Below it there are no targets: there attention is a small part of a step."""


@click.command()
@click.option("--model", default="tiny", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="reports/03_block_selection", show_default=True)
@click.option("--seconds", default="10,20,40,80", show_default=True, help="Lengths, separated by commas.")
@click.option(
    "--prompts", type=click.IntRange(1, 4), default=4, show_default=True, help="To choose with, and to validate."
)
@click.option("--steps", default=20, show_default=True, help="Denoising steps.")
@click.option("--draw", is_flag=True, help="Draw again what is in --out; measure nothing.")
@report_errors
def main(model: str, out: Path, seconds: str, prompts: int, steps: int, draw: bool) -> None:
    if draw:
        write({name: loaded(out / f"{name}.json") for name in BUDGETS}, out)
        return
    lengths = [float(part) for part in seconds.split(",")]
    pipe = focuslab.load(model, "cpu", "float32")
    pipe.set_progress_bar_config(disable=True)
    made = {}
    for name, budget in BUDGETS.items():
        with Reporter(quiet=False) as progress:
            made[name] = recommend(
                pipe,
                lengths,
                **budget,
                prompts=CHOICE_PROMPTS[:prompts],
                validation_prompts=VALIDATION_PROMPTS[:prompts],
                steps=steps,
                out=out / f"{name}.json",
                progress=progress,
            )
    how = write(made, out)
    bars = targets_markdown(made, pass_seconds(out), choice_seconds(out))
    write_atomically(out / "targets.md", f"{how}\n\n{bars}\n".encode())
    click.echo(bars)


def loaded(path: Path) -> Recommendation:
    """What was made of a plan, from its files: all but points and frontiers of the choice."""
    directory, plan = plan_directory(path), Plan.load(path)
    summary = read_json(directory / SUMMARY)
    validation = ValidationRun.load(directory / VALIDATION) if summary["proof"] else None
    return Recommendation(plan, path, Selection({}, {}, summary["choice"], plan), validation, tuple(summary["notes"]))


def write(made: Mapping[str, Recommendation], out: Path) -> str:
    """Figures and tables of all plans, and the README. Returns how they were made, in words."""
    for one in made.values():
        write_plan(one, how_it_was_made(one))
    knee = made[KNEE]
    figure = frontier_figure(knee.selection.summary, measured=measured_by(knee))
    # The picture that the README shows.
    save(figure, knee.directory / "frontier", ("png",), how_it_was_made(knee))
    how = how_it_was_made(last_validated(made))
    write_atomically(out / "README.md", readme(made, how).encode())
    return how


def measured_by(made: Recommendation) -> Mapping | None:
    return measured_of(made.validation.summary) if made.validation else None


def write_plan(made: Recommendation, how: str) -> None:
    """Figures and tables of one plan, in its directory."""
    write_frontier(made.selection.summary, made.directory, how, measured=measured_by(made))
    write_site_map(made.selection.summary, made.directory, how)
    tables = [in_markdown(choice_tables(made.selection.summary))]
    if made.validation:
        tables += [
            in_markdown(validation_tables(made.validation.summary)),
            *(f"**Missed** {words}" for words in made.missed),
        ]
    write_atomically(made.directory / "table.md", "\n\n".join([how, *tables, ""]).encode())


def how_it_was_made(made: Recommendation) -> str:
    measured = SensitivityRun.load(made.path.parent / RECORDS / "sensitivity").info
    last = made.validation.info if made.validation else measured
    asked = {"prompts": len(measured.prompts), **{name: measured.parameters[name] for name in ("seconds", "steps")}}
    how = provenance("python analyses/03_block_selection.py", measured, last, **asked)
    return (
        f"{how} Chosen with {asked['prompts']} prompts and seed {measured.seed}, validated with as many others and "
        f"another seed, {asked['steps']} denoising steps with classifier-free guidance."
    )


def last_validated(made: Mapping[str, Recommendation]) -> Recommendation:
    """That whose validation ended last, and with it all of them; any of them where nothing was validated."""
    return max(made.values(), key=lambda one: one.validation.info.ended if one.validation else "")


def readme(made: Mapping[str, Recommendation], how: str) -> str:
    """What lies in --out, and how it came there."""
    knee = made[KNEE]
    validated = next((one.validation.info.prompts for one in made.values() if one.validation), ())
    crossover = "\n".join(f"* `{name}.json`: {one.selection.summary['crossover']}" for name, one in made.items())
    combination = knee.selection.summary["combination"]
    return f"""# Block selection

{how}

{crossover}

Chosen with: {"; ".join(knee.plan.evidence["made_from"]["sensitivity pass"]["prompts"])}.
Validated with: {"; ".join(validated)}.

Errors of blocks add up as (sum of error^p)^(1/p) with p = {combination["exponent"]:.2f}, fitted on
{combination["runs"]} joint ablations, which it misses by {100 * (combination["misfit"] or 0):.0f} % (root mean square).

* `NAME.json`: the plan; `with focuslab.Plan.load("NAME.json")(pipe): ...` applies it.
* `NAME/frontier`, `NAME/site_map`, `NAME/table.md`: the frontier with the paper's choice on it, predicted and measured;
  the sites on a map of the UNet; every block with its lift, recall, error, milliseconds saved, and the reason in words.
* `NAME/proof`, `records`: run directories of what was measured.
* `targets.md`: the targets beside what was measured.

Intervals are over prompts. Another machine has other times, and so another plan: run `focuslab recommend` there.
"""


def targets_markdown(made: Mapping[str, Recommendation], passes: Mapping[float, float], choice: float) -> str:
    """The targets, and what was measured.

    passes: audio length -> seconds that the sensitivity pass took. choice: seconds of a choice from records.
    """
    at_least, at_most = [], []
    fast, close = (made[name].validation for name in (FAST, CLOSE))
    lengths = [s for s in sorted(passes) if s >= SHORTEST_TARGET]
    for s in lengths if fast else ():
        plan, paper = fast.row(s, "plan"), fast.row(s, "paper")
        at_most.append((f"{s:g} s, as fast: UNet error over the paper's choice", 0.6, plan["error"] / paper["error"]))
        at_least.append((f"{s:g} s, as fast: measured speed over it", 1.0, speed(plan) / speed(paper)))
    for s in lengths[-1:] if close else ():
        plan, paper = close.row(s, "plan"), close.row(s, "paper")
        at_least.append(
            (f"{s:g} s, as close: measured speed over the paper's choice", 1.08, speed(plan) / speed(paper))
        )
        at_most.append((f"{s:g} s, as close: UNet error over it", 1.0, plan["error"] / paper["error"]))
    for name, one in made.items():
        for row in one.validation.rows if one.validation else ():
            if row["method"] == "plan" and row["time_off"] is not None:
                what = f"{row['seconds']:g} s, {name}: measured time against predicted, relative difference"
                at_most.append((what, 0.1, abs(row["time_off"])))
    at_most += [(f"sensitivity pass at {s:g} s, seconds", 600, spent) for s, spent in sorted(passes.items())]
    at_most.append(("the choice itself from records, seconds", 5, choice))
    return targets(at_least, at_most)


def speed(row: Mapping) -> float:
    return row["speedup_vs_dense"]


def pass_seconds(out: Path) -> dict[float, float]:
    """Seconds of the pass by length, without the joint ablations that single plans asked for."""
    run = SensitivityRun.load(out / RECORDS / "sensitivity")
    found = {}
    for s in run.info.parameters["seconds"]:
        groups = [Group.from_json(group) for group in run.info.parameters["groups"][f"{s:g}"]]
        own = {choice_key(choice) for choice in joint_ablations(groups)}
        found[s] = sum(
            record["seconds_elapsed"]
            for record in run.records
            if record["seconds"] == s and (record["kind"] != "joint" or choice_key(choice_of(record)) in own)
        )
    return found


def choice_seconds(out: Path) -> float:
    """Seconds from records that are loaded to a plan."""
    records = out / RECORDS
    runs = (
        ProfileRun.load(records / "profile"),
        SensitivityRun.load(records / "sensitivity"),
        AttentionRun.load(records / "capture"),
    )
    start = time.perf_counter()
    select(*runs)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
