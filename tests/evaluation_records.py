"""Summaries of evaluations with planted numbers, in the form that `focuslab.evaluate` writes."""

from focuslab.runs import RunInfo

ABOUT = {
    "frechet": ("Frechet distance of CLAP embeddings", "lower", "clap", "directory"),
    "kernel": ("Kernel distance of CLAP embeddings", "lower", "clap", "directory"),
    "kl_softmax": ("KL divergence of classes, softmax", "lower", "ast", "directory"),
    "clap": ("CLAP score", "higher", "clap", None),
    "log_mel_l1": ("Log-mel L1 distance", "lower", None, "dense"),
}
CHECKPOINTS = {"clap": "tiny (the text_encoder of the pipeline)", "ast": "MIT/ast", None: None}
SPEED = {"dense": 1.0, "litefocus": 1.5, "tome": 1.3}
VALUES = {
    "dense": {"frechet": 7.0, "kernel": 0.40, "kl_softmax": 2.0, "clap": 0.16},
    "litefocus": {"frechet": 6.0, "kernel": 0.30, "kl_softmax": 1.9, "clap": 0.18, "log_mel_l1": 0.31},
    "tome": {"frechet": 9.0, "kernel": 0.55, "kl_softmax": 2.4, "clap": 0.11, "log_mel_l1": 0.72},
}


def about(**changes) -> dict:
    """What the summary says of each metric; `frechet={"checkpoint": ...}` changes one."""
    found = {
        name: {
            "title": title,
            "unit": "",
            "better": better,
            "embedder": embedder,
            "checkpoint": CHECKPOINTS[embedder],
            "protocol": "windows of 10 s",
            "reference": reference,
        }
        for name, (title, better, embedder, reference) in ABOUT.items()
    }
    for name, change in changes.items():
        found[name] |= change
    return found


def metric(name: str, value: float, minus: float | None, width: float, described: dict) -> dict:
    def interval(middle, half):
        return {"value": middle, "low": middle - half, "high": middle + half, "n": 96}

    half = width * abs(value)
    keys = ("embedder", "checkpoint", "protocol", "reference")
    return {
        **interval(value, half),
        **{key: described[name][key] for key in keys},
        "minus_dense": None if minus is None else interval(minus, half / 2),
    }


def row(seconds: float, method: str, values: dict, described: dict, *, dense=None, speed=1.0, width=0.05) -> dict:
    """One row; `dense` are dense's values, for the paired differences. `width`: half an interval, over the value."""
    dense = dense or {}
    return {
        "seconds": seconds,
        "method": method,
        "n": 96,
        "excluded": {"nan": 0, "silent": 0},
        "step_seconds_median": 0.1 / speed,
        "speedup_vs_dense": speed,
        "speedup_low": speed * 0.98,
        "speedup_high": speed * 1.02,
        "generation_seconds": seconds,
        "scoring_seconds": 0.2,
        "metrics": {
            name: metric(
                name,
                value,
                value - dense[name] if name in dense and method != "dense" else None,
                width,
                described,
            )
            for name, value in values.items()
        },
    }


def summary(lengths=(10.0, 40.0), values=None, width=0.05, speed=None, **changes) -> dict:
    """methods x lengths; longer sounds are a little worse by every method. `changes`: see `about`."""
    values, speed, described = values or VALUES, speed or SPEED, about(**changes)
    rows = []
    for i, seconds in enumerate(lengths):
        at = {m: {name: value + 0.01 * i for name, value in v.items()} for m, v in values.items()}
        rows += [
            row(seconds, m, v, described, dense=at.get("dense"), speed=speed[m], width=width) for m, v in at.items()
        ]
    names = {name for v in values.values() for name in v}
    return {
        "schema": "focuslab/evaluation/1",
        "rows": rows,
        "metrics": {name: value for name, value in described.items() if name in names},
        "items": {"total": 96 * len(rows), "scored": 96 * len(rows), "nan": 0, "silent": 0},
        "scoring_over_generating": 0.2 * len(rows) / sum(row["seconds"] for row in rows),
        "footnotes": ["Intervals are of 95 %, bootstrap over captions.", "1 sound was silent & left out."],
    }


def info(**changes) -> RunInfo:
    """How the paper made its numbers, as far as a run records it."""
    given = {
        "command": "evaluate",
        "model": {"name": "cvssp/audioldm2"},
        "parameters": {"steps": 200, "seeds": [0]},
        "machine": {"accelerator": "NVIDIA RTX A6000"},
        "versions": {},
        "device": "cuda",
        "dtype": "float32",
        "seed": 0,
        "prompts": tuple(f"caption {i}" for i in range(4845)),
    }
    return RunInfo(**given | changes)


PAPERS_METRICS = {"frechet": {"checkpoint": "harritaylor/torchvggish"}}
"""`changes` under which the Frechet distance is the paper's FAD."""
