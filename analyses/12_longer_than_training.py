"""Longer than the model was trained for: what breaks, what mends it, and whether sparse sounds better than dense.

    python analyses/12_longer_than_training.py

Dense, LiteFocus with the paper's weights and with unbiased ones, sampled keys, a window of the training length with and
without the rest, with the rest damped, scores that follow the length, and joint diffusion of overlapping views,
averaged and swapped. On the bundled model, its held-out captions and their recordings, unless --model, --prompts and
--reference say otherwise. It resumes, and only clips that no other table has made are made; each length is written as
soon as it is done. --cost says beforehand how much work it is at most.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from sound_table import SoundTable, command

TABLE = SoundTable(
    script="12_longer_than_training",
    title="Longer than the training length",
    about="Beyond the training length dense attention is spread over more keys than it has learnt from: what mends it?",
    methods=(
        "dense",
        "litefocus",
        "litefocus:cross_weight=unbiased",
        "sampled",
        "window:rest_keys=0",
        "window",
        "decay",
        "length-scale",
        "joint",
        "joint-swap",
    ),
    lengths="10,20,40,80,160",
    limit="60,60,60,30,30",
    metrics=("clap", "kl_softmax", "kernel", "frechet"),
)


main = command(TABLE)

if __name__ == "__main__":
    main()
