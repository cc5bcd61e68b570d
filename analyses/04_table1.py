"""Table 1 of the paper: dense, LiteFocus, Token Merging, and a plan, by length: quality and speed.

    python analyses/04_table1.py --plan reports/03_block_selection/plan.json

On the bundled model, its held-out captions and their recordings, unless --model, --prompts and --reference say
otherwise. It resumes, and only clips that no other table of 04 to 07 has made are made; each length is written as soon
as it is done. --cost says beforehand how much work it is at most.
"""

import sys
from pathlib import Path

import click

from focuslab.cli.options import report_errors
from focuslab.methods import parse_methods

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from sound_table import SoundTable, options, run

TABLE = SoundTable(
    script="04_table1",
    title="Dense, sparse and merged attention, by length",
    about="The methods of the paper's Table 1, LiteFocus with unbiased weights, and a plan of `focuslab recommend`.",
    methods=("dense", "litefocus", "litefocus:cross_weight=unbiased", "tome"),
    lengths="10,20,40,80",
    limit="60,60,60,30",
    png=(40.0,),
)


@click.command()
@click.option("--plan", type=click.Path(path_type=Path), help="A plan of focuslab recommend, to stand beside them.")
@options(TABLE)
@report_errors
def main(plan: Path | None, **given) -> None:
    run(
        TABLE,
        **given,
        more_methods=lambda pipe: {} if plan is None else parse_methods([f"plan:{plan}"]),
        more_options={"plan": plan},
    )


if __name__ == "__main__":
    main()
