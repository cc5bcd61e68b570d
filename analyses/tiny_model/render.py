"""Render the training sounds to disk, in shards of 60 clips; a shard that exists is not rendered again.

    python analyses/tiny_model/render.py --out DIR --train 5400 --test 600 --jobs 2

DIR/train/00000.npy holds int16 [60, SAMPLES], DIR/train/00000.jsonl index, caption, label and attributes of each clip.
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from sounds import SAMPLES, draw_clip

SHARD = 60


def render_shard(folder: Path, split: str, number: int, count: int) -> str:
    """Render clips `number * SHARD` on, `count` of them; the array is written last, so it marks a whole shard."""
    path = folder / split / f"{number:05d}.npy"
    if path.exists() and len(np.load(path, mmap_mode="r")) == count:
        return f"{split} {number:05d} kept"
    path.parent.mkdir(parents=True, exist_ok=True)
    samples, lines = np.zeros((count, SAMPLES), np.int16), []
    for row in range(count):
        index = number * SHARD + row
        clip = draw_clip(split, index)
        samples[row] = np.round(clip.waveform * 32767)
        facts = {"index": index, "caption": clip.caption, "label": clip.label, "attributes": clip.attributes}
        lines.append(json.dumps(facts) + "\n")
    part = path.with_suffix(".part")
    part.write_text("".join(lines), encoding="utf-8")
    os.replace(part, path.with_suffix(".jsonl"))
    with part.open("wb") as file:
        np.save(file, samples)
    os.replace(part, path)
    return f"{split} {number:05d} rendered"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--train", type=int, default=5400, help="number of training clips")
    parser.add_argument("--test", type=int, default=600, help="number of test clips")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    given = parser.parse_args()
    shards = [
        (given.out, split, number, min(SHARD, total - number * SHARD))
        for split, total in (("test", given.test), ("train", given.train))
        for number in range(-(-total // SHARD))
    ]
    with ProcessPoolExecutor(given.jobs) as pool:
        for done in [pool.submit(render_shard, *shard) for shard in shards]:
            print(done.result(), flush=True)


if __name__ == "__main__":
    main()
