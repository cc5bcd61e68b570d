"""Table 2 of the paper: only sampled keys, no own mel row, with r from 1 (which is dense) to 0.2, by length.

    python analyses/05_table2.py

On the bundled model, its held-out captions and their recordings, unless --model, --prompts and --reference say
otherwise. It resumes, and only clips that no other table of 04 to 07 has made are made; each length is written as soon
as it is done. --cost says beforehand how much work it is at most.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from sound_table import SoundTable, command

FRACTIONS = (0.8, 0.6, 0.4, 0.2)
TABLE = SoundTable(
    script="05_table2",
    title="Only cross-frequency compensation (C)",
    about="The paper's Table 2: attention to keys drawn from all mel rows, without the own one. r = 1 is dense.",
    methods=("dense", *(f"cross-frequency:cross_fraction={r:g}" for r in FRACTIONS)),
    lengths="10,20,30,40",
    limit="60",
)


main = command(TABLE)

if __name__ == "__main__":
    main()
