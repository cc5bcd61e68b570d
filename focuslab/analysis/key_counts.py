"""How many keys to sample: from the spreads that a capture holds to errors, and back. Needs no torch.

The mathematics is that of `focuslab.attention.sampling_error`; `own` and `other` are spreads over the squared output.
"""

import math
from typing import Any

import numpy as np

from focuslab.analysis.calls import Calls

ERRORS = (0.05, 0.1, 0.2)
"""Relative errors of a site's attention that numbers of keys are given for."""


def sampling_of(calls: Calls) -> dict[str, Any]:
    """What the summary of a capture says of sampled keys; empty where the statistic was not recorded.

    * sampling: the spreads of the own row and of the others
    * sampled_predicted, sampled_error: the error of attention before the output projection, by "own:other" keys of a
      row: root mean square predicted, and measured
    * keys_for: the fewest [own, other] keys of a row whose predicted error is at most this
    """
    if not calls.labels("sampling"):
        return {}
    own, other = (calls.values[f"sampling/{part}"] for part in ("own", "other"))
    labels = calls.labels("sampled_error")
    means = float(own.mean()), float(other.mean())
    return {
        "sampling": {"own": means[0], "other": means[1]},
        "sampled_predicted": {
            label: float(predicted_error(own, other, calls.time, parse_counts(label)).mean()) for label in labels
        },
        "sampled_error": {label: float(calls.values[f"sampled_error/{label}"].mean()) for label in labels},
        "keys_for": {f"{error:g}": list(keys_for(*means, calls.time, calls.mel_rows, error)) for error in ERRORS},
    }


def parse_counts(label: str) -> tuple[int, int]:
    """Keys of the own row and of each other row, from "250:32"."""
    own, _, other = label.partition(":")
    return int(own), int(other)


def predicted_error(own: np.ndarray, other: np.ndarray, time: int, keys: tuple[int, int]) -> np.ndarray:
    """The relative error of sampling `keys` of the own row and of each other row of `time` keys."""
    return np.sqrt(_factor(time, keys[0]) * np.asarray(own) + _factor(time, keys[1]) * np.asarray(other))


def keys_for(own: float, other: float, time: int, mel_rows: int, error: float) -> tuple[int, int]:
    """The fewest keys of the own row and of each other row whose predicted error is at most `error`.

    Fewest in all, of a query: sample sizes go with the square root of the spread (Neyman 1934). A part of which all
    keys are needed is taken whole, and the other has the error to itself.
    """
    if time == 1:
        return 1, 1
    others = max(mel_rows - 1, 1)
    # own / m_own + other / m_other is to be at most `allowed`.
    allowed = error**2 * (time - 1) / time**2 + (own + other) / time
    total = math.sqrt(own) + math.sqrt(others * other)
    if not total:
        return 1, 1
    m_own, m_other = math.sqrt(own) * total / allowed, math.sqrt(other / others) * total / allowed
    if m_own >= time:
        m_own, m_other = time, _alone(other, allowed - own / time)
    elif m_other >= time:
        m_own, m_other = _alone(own, allowed - other / time), time
    own_keys, other_keys = (min(max(math.ceil(m - 1e-9), 1), time) for m in (m_own, m_other))
    return own_keys, other_keys


def _alone(spread: float, allowed: float) -> float:
    return spread / allowed if allowed > 0 else math.inf


def _factor(time: int, count: int) -> float:
    return 0.0 if count >= time else time * (time - count) / (count * (time - 1))
