"""How clips change along their length, and with it: each is scored by windows as well."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from focuslab.metrics import silence_share
from focuslab.metrics.clap import Clap
from focuslab.metrics.embedders import cut
from focuslab.stats.intervals import mean_with_interval

ALONG = ("clap", "silence_share", "rms")
"""What is known of each window: CLAP score, share of silence, root mean square."""
REPETITION = "repetition"
"""The mean cosine of a clip's own windows in CLAP: 1 where all sound the same."""
SIMILAR = 0.5
"""Lengths are those of training where they differ from it by less than this share."""


def scores_along(
    samples: np.ndarray, sampling_rate: int, clap: Clap, rows: np.ndarray, caption: np.ndarray | None
) -> dict[str, list[float]]:
    """What `ALONG` names, of each window of a clip `[n]`; empty where it is one window.

    rows: CLAP's embeddings of the windows `[windows, dimension]`; caption: that of the caption `[1, dimension]`.
    """
    if len(rows) < 2:
        return {}
    windows = cut(samples, round(clap.window_samples * sampling_rate / clap.sampling_rate))
    # An embedder may have nothing to say of silence.
    units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    found: dict[str, list[float]] = {
        "silence_share": [float(silence_share(window[None], sampling_rate)[0]) for window in windows],
        "rms": [float(np.sqrt(np.mean(window.astype(np.float64) ** 2))) for window in windows],
    }
    if caption is not None:
        found["clap"] = (units @ caption[0] / np.linalg.norm(caption[0])).tolist()
    cosines = (units @ units.T)[np.triu_indices(len(units), 1)]
    return {**found, REPETITION: [float(cosines.mean())]}


def along_clip(clips: pd.DataFrame, seconds: float) -> dict[str, Any] | None:
    """Means by window over the clips of one length and method, and what changes a minute along the clip.

    Parameters
    ----------
    clips : DataFrame
        Scored clips, with a column "along".
    seconds : float
        Their length.

    Returns
    -------
    dict or None
        "windows": their number; of each of `ALONG` "by_window", its means, and "drift", the slope of the least-squares
        line of a clip, a minute, mean over the clips with its interval; "repetition". None for clips of one window.
    """
    found = [along for along in clips["along"] if isinstance(along, Mapping) and along]
    if not found:
        return None
    count = len(found[0]["rms"])
    # Windows are spread evenly, the first and the last at the ends: their middles differ by equal times.
    minutes = np.linspace(0, 1, count) * (seconds - seconds / count) / 60
    summary: dict[str, Any] = {"windows": count, "n": len(found)}
    for name in ALONG:
        rows = np.array([along[name] for along in found if name in along])
        if len(rows):
            slopes = np.polyfit(minutes, rows.T, 1)[0]
            summary[name] = {"by_window": rows.mean(axis=0).tolist(), **mean_with_interval("drift", slopes)}
    return summary | mean_with_interval(REPETITION, [along[REPETITION][0] for along in found])


def breaks_from(clips: pd.DataFrame, lengths: Sequence[float], training_seconds: float | None) -> dict[str, Any] | None:
    """From which length on dense clips are significantly worse in CLAP score than those of about the training length.

    Parameters
    ----------
    clips : DataFrame
        Scored dense clips, with "seconds", "prompt" and "clap".
    lengths : sequence of float
        Those evaluated.
    training_seconds : float, optional
        The length that the model was trained at.

    Returns
    -------
    dict or None
        "base_seconds"; "rows" with the difference of each longer length, paired by caption, and its interval;
        "seconds", the shortest length from which on all are significantly worse, None where none is. None where no
        length is that of training, or none is longer.
    """
    if training_seconds is None or clips.empty or clips["clap"].isna().all():
        return None
    near = [s for s in lengths if abs(s - training_seconds) < SIMILAR * training_seconds]
    base = min(near, key=lambda s: abs(s - training_seconds), default=None)
    if base is None or not any(s > base for s in lengths):
        return None
    by_caption = clips.pivot_table(index="prompt", columns="seconds", values="clap", aggfunc="mean")
    rows: list[dict[str, Any]] = []
    for seconds in sorted(s for s in lengths if s > base and s in by_caption and base in by_caption):
        differences = (by_caption[seconds] - by_caption[base]).dropna().to_numpy()
        rows.append({"seconds": seconds, "n": len(differences), **mean_with_interval("difference", differences)})
    worse = [row["difference_high"] is not None and row["difference_high"] < 0 for row in rows]
    first = next((i for i in range(len(rows)) if all(worse[i:])), None)
    return {"base_seconds": base, "rows": rows, "seconds": None if first is None else rows[first]["seconds"]}
