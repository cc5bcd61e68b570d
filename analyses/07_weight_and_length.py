"""Does closer to dense also sound better? The weight of sampled keys, and scores that follow the length, by length.

    python analyses/07_weight_and_length.py

cross_weight from 1 (the paper) over r^-0.5 to 1/r (unbiased) at several r; length-scale, which multiplies scores by
log N / log N_train, everywhere and where LiteFocus works; and both together. On the bundled model, its held-out
captions and their recordings, unless --model, --prompts and --reference say otherwise. It resumes, and only clips that
no other table of 04 to 07 has made are made; each length is written as soon as it is done. --cost says beforehand how
much work it is at most.
"""

import sys
from pathlib import Path

from focuslab.methods import Plan
from focuslab.models.identity import model_name, unet_layout
from focuslab.models.sites import find_sites, select_sites
from focuslab.runs.plan import PlanEntry

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from sound_table import SoundTable, command

FRACTIONS = {0.1: "", 0.02: ":cross_fraction=0.02"}
"""r -> how it is named: a method has one label in all tables, that without what is the default."""
BOTH = "plan:length-scale+litefocus"
SCALED = {"method": "litefocus", "cross_weight": "unbiased", "length_scale": True}
TABLE = SoundTable(
    script="07_weight_and_length",
    title="Weight of sampled keys, and scores that follow the length",
    about="Beyond the training length dense attention is diluted: is what comes closer to it also what sounds better?",
    methods=(
        "dense",
        *(
            f"litefocus{fraction}{weight}"
            for r, fraction in FRACTIONS.items()
            for weight in ("", f":cross_weight={r**-0.5:.3g}", ":cross_weight=unbiased")
        ),
        "length-scale",
        "litefocus:length_scale=true",
        "litefocus:cross_weight=unbiased:length_scale=true",
    ),
    lengths="10,20,40,80",
    limit="60,60,60,30",
)


def scaled_everywhere(pipe) -> Plan:
    """LiteFocus with unbiased weights where the paper has it, length scaling there and at every other site."""
    focused = set(select_sites(find_sites(pipe), None))
    sites = {site.name: SCALED if site in focused else {"method": "length-scale"} for site in find_sites(pipe)}
    return Plan(model_name(pipe), unet_layout(pipe), (PlanEntry(0, None, sites),))


main = command(TABLE, lambda pipe: {BOTH: scaled_everywhere(pipe)})

if __name__ == "__main__":
    main()
