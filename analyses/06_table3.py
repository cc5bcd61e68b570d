"""Table 3 of the paper: only the own mel row, beside LiteFocus with sampled keys and dense, by length.

    python analyses/06_table3.py

On the bundled model, its held-out captions and their recordings, unless --model, --prompts and --reference say
otherwise. It resumes, and only clips that no other table of 04 to 07 has made are made; each length is written as soon
as it is done. --cost says beforehand how much work it is at most.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from sound_table import SoundTable, command

TABLE = SoundTable(
    script="06_table3",
    title="Only same-frequency focusing (S)",
    about="The paper's Table 3: attention to the own mel row alone, beside LiteFocus (r = 0.1) and dense.",
    methods=("dense", "same-frequency", "litefocus"),
    lengths="10,20,30,40,80",
    limit="60,60,60,60,30",
)


main = command(TABLE)

if __name__ == "__main__":
    main()
