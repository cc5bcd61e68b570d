"""Captures with a planted structure, in the form that `focuslab.capture_attention` records."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from focuslab.runs import RunInfo

FRAME_SECONDS = 0.04
BLOCKS = {
    "down_blocks.1": (1, 8),
    "down_blocks.2": (2, 4),
    "mid_block": (3, 2),
    "up_blocks.1": (2, 4),
    "up_blocks.2": (1, 8),
}
"""Block -> (level, mel rows)."""
HEADS = 4
HALVES = ("unconditional", "conditional")
LIFTS = {"down_blocks.1": 5.0, "down_blocks.2": 2.4, "mid_block": 1.0, "up_blocks.1": 1.5, "up_blocks.2": 3.0}

Lift = Callable[..., float]
"""`(block, head, step, prompt, half, seconds)`, as keywords, -> lift."""


def planted(block: str, head: int, step: int, prompt: int, half: str, seconds: float) -> float:
    """More in some blocks, heads and late steps; prompts differ a little."""
    _, mel_rows = BLOCKS[block]
    excess = (LIFTS[block] - 1) * (0.4 + 0.4 * head) * (0.7 + 0.03 * step) * (1 if half == "conditional" else 0.9)
    noise = 1 + 0.02 * math.sin(1 + 3 * prompt + 7 * head + step)
    return min((1 + excess) * noise, 0.98 * mel_rows)


def site_table(per_block: int = 2) -> list[dict]:
    return [
        {"name": f"{block}.{i}.attn1", "holder": f"{block}.{i}", "block": block, "level": level, "heads": HEADS}
        for block, (level, _) in BLOCKS.items()
        for i in range(per_block)
    ]


def make_info(prompts: int = 5, seconds=(10.0,), steps: int = 20, capture_steps=(0, 10, 19), **changes) -> RunInfo:
    sites = site_table()
    grids = {
        f"{s:g}": {site["name"]: [grid_time(s, site["level"]), BLOCKS[site["block"]][1]] for site in sites}
        for s in seconds
    }
    parameters = {
        "seconds": list(seconds),
        "steps": steps,
        "capture_steps": list(capture_steps),
        "sites": sites,
        "training_seconds": 10.24,
        **changes,
    }
    return RunInfo(
        command="capture-attn",
        model={"name": "planted"},
        parameters=parameters,
        machine={"processor": "none", "threads": 1},
        versions={"torch": "0", "diffusers": "0", "focuslab": "0"},
        device="cpu",
        dtype="float32",
        seed=0,
        prompts=tuple(f"prompt {i}" for i in range(prompts)),
        grids=grids,
    )


def make_records(info: RunInfo, lift: Lift = planted, without: tuple[str, ...] = ()) -> list[dict]:
    """Records of all prompts and lengths of `info`, without some of the statistics."""
    records = []
    for seconds in info.parameters["seconds"]:
        for prompt in range(len(info.prompts)):
            records += _attention(info, prompt, seconds, lift, without)
            records.append(make_pass(info, prompt, seconds))
    return records


def make_pass(info: RunInfo, prompt: int, seconds: float, plain: float = 1.0, recorded: float = 1.3) -> dict:
    steps = info.parameters["capture_steps"]
    return {
        "kind": "pass",
        "prompt": prompt,
        "seconds": seconds,
        "seconds_elapsed": 30.0,
        "recorded_steps": steps,
        "plain_step_seconds": [plain] * (info.parameters["steps"] - len(steps)),
        "recorded_step_seconds": [recorded] * len(steps),
        "peak_bytes": 1000 + prompt,
        "plain_peak_bytes": 1000,
    }


def grid_time(seconds: float, level: int) -> int:
    frames = math.ceil(seconds / FRAME_SECONDS)
    return math.ceil(frames / 2**level)


def _attention(info: RunInfo, prompt: int, seconds: float, lift: Lift, without: tuple[str, ...]) -> Iterator[dict]:
    for step in info.parameters["capture_steps"]:
        for half in HALVES:
            for site in info.parameters["sites"]:
                block = site["block"]
                lifts = [
                    lift(block=block, head=h, step=step, prompt=prompt, half=half, seconds=seconds)
                    for h in range(site["heads"])
                ]
                head = {"kind": "attention", "prompt": prompt, "seconds": seconds, "step": step, "half": half}
                head |= {"timestep": 1000 - 50 * step, "site": site["name"]}
                statistics = make_statistics(np.array(lifts), *info.grids[f"{seconds:g}"][site["name"]], site["level"])
                yield head | {name: value for name, value in statistics.items() if name not in without}


def make_statistics(lifts: np.ndarray, time: int, mel_rows: int, level: int) -> dict:
    """What a call gives whose heads have these lifts: other rows get less the further off they are."""
    mass = lifts / mel_rows
    distance = np.abs(np.subtract.outer(np.arange(mel_rows), np.arange(mel_rows)))
    others = np.where(distance, np.exp(-distance / 2), 0)
    others = others / np.maximum(others.sum(axis=1, keepdims=True), 1e-30)
    rows = [m * np.eye(mel_rows) + (1 - m) * others if mel_rows > 1 else np.eye(1) for m in mass]

    frames = 2**level
    edges = [0.0, *(2.0**i for i in range(((time - 1) * frames).bit_length() + 1))]
    lags = np.abs(np.subtract.outer(np.arange(time), np.arange(time))) * frames
    chance = np.histogram(lags, bins=edges)[0] / time**2
    own = chance * np.exp(-np.array(edges[:-1]) / 100)
    own, other = own / own.sum(), chance
    spread = np.zeros(len(lifts))
    tokens = time * mel_rows
    recall = {r: mass + (1 - mass) * float(r) for r in ("0", "0.1", "0.2")}
    return {
        "time": time,
        "mel_rows": mel_rows,
        "mass": {"mean": mass.tolist(), "std": (spread + 0.05).tolist()},
        "entropy": {"mean": (0.8 * math.log(tokens) - 0.1 * lifts).tolist(), "std": spread.tolist()},
        "rows": [x.tolist() for x in rows],
        "lag": {
            "edges": [edge * FRAME_SECONDS for edge in edges],
            "own": np.outer(mass, own).tolist(),
            "other": np.outer(1 - mass, other).tolist(),
            "chance": chance.tolist(),
        },
        "recall": {r: {"mean": x.tolist(), "std": spread.tolist()} for r, x in recall.items()},
        "output_error": {r: {"all": float(0.5 * (1 - x).mean()), "heads": (1 - x).tolist()} for r, x in recall.items()},
    }


def make_map(time: int, mel_rows: int, queries: np.ndarray, own: float, reach: float = 8.0, heads: int = HEADS):
    """Exact attention `[heads, Q, N]` of these query tokens: more to their own row by a factor, and to near times."""
    tokens = np.arange(time * mel_rows)
    times, rows = np.divmod(tokens, mel_rows)
    lag = np.abs(times[queries][:, None] - times)
    scores = 1.5 * np.exp(-lag / reach) + np.log(own) * (rows[queries][:, None] == rows)
    rng = np.random.default_rng(0)
    scores = scores + 0.4 * rng.normal(size=(heads, *scores.shape))
    p = np.exp(scores)
    return (p / p.sum(axis=-1, keepdims=True)).astype(np.float32)


def make_arrays(info: RunInfo, queries=((60, 2), (150, 6)), rows=(400, 463), lifts=LIFTS) -> dict[str, np.ndarray]:
    """Query maps of the finest blocks, and crops of all blocks: prompt 0, the last captured step, first site each."""
    seconds, step = info.parameters["seconds"][0], info.parameters["capture_steps"][-1]
    arrays = {}
    for site in info.parameters["sites"][::2]:
        time, mel_rows = info.grids[f"{seconds:g}"][site["name"]]
        for half in HALVES:
            where = f"0/{seconds:g}/{step}/{half}/{site['name']}"
            own = 1.5 * lifts[site["block"]]
            for t, f in queries if site["level"] == 1 else ():
                t = min(t, time - 1)
                p = make_map(time, mel_rows, np.array([t * mel_rows + f]), own)
                arrays[f"query/{where}/{t}:{f}"] = p.reshape(-1, time, mel_rows)
            first = min(rows[0], time * mel_rows - 1 - (rows[1] - rows[0]))
            last = min(first + rows[1] - rows[0], time * mel_rows - 1)
            first = max(first, 0)
            crop = np.arange(first, last + 1)
            arrays[f"crop/{where}/{first}-{last}"] = make_map(time, mel_rows, crop, own)[:, :, crop]
    return arrays
