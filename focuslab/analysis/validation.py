"""From the records of a validation to what was measured of each choice, beside what had been predicted of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from focuslab.analysis.sensitivity import mean_error
from focuslab.runs import PROOF_SCHEMA
from focuslab.stats.intervals import mean_with_interval

TIME_TOLERANCE = 0.1
"""A step whose time, as a share of the dense one, is further off than this share of it misses its prediction."""
DISTANCES = ("log_mel_l1", "rms_ratio", "centroid_ratio")

Record = Mapping[str, Any]
Predictions = Mapping[float, Mapping[str, Mapping[str, Any]]]
"""Audio length -> choice -> what `choice_summary` has in its "points"."""


def validation_summary(
    records: Iterable[Record], timings: Sequence[Record], predictions: Predictions, steps: int
) -> dict[str, Any]:
    """The summary of whatever has been recorded.

    Parameters
    ----------
    records : iterable of dict
        "error" and "sound" of `focuslab.measure.validation`.
    timings : sequence of dict
        The rows of the profile of the same choices.
    predictions : mapping
        What was predicted of each choice at each length.
    steps : int
        Denoising steps of a generation.

    Returns
    -------
    dict
        "missed" is all that the plan missed, in words. "rows" has a row a length and choice with

        * step_seconds_median, _p10, _p90 of the steps that are not kept dense; speedup_vs_dense of a whole generation's
          steps, dense_steps of them dense
        * error: relative error of the guided UNet output, mean over held-out prompts and steps; error_low and _high
          are the interval over prompts
        * log_mel_l1, rms_ratio, centroid_ratio: of the final clip, to the dense clip of the same seed, each with _low
          and _high; sounds: how many; silent: how many were left out because the dense or this clip was all zeros
        * predicted: what had been predicted, None where nothing was; time_off, error_off: measured over predicted,
          less 1; missed: in words, empty where both predictions held
    """
    records = list(records)
    errors: dict[tuple[float, str], list[Mapping[str, Any]]] = defaultdict(list)
    sounds: dict[tuple[float, str], list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        kept = errors if record["kind"] == "error" else sounds if record["kind"] == "sound" else None
        if kept is not None:
            kept[record["seconds"], record["method"]].append(record)
    dense = {row["seconds"]: row["step_seconds_median"] for row in timings if row["method"] == "dense"}
    rows = []
    for timing in timings:
        key = seconds, method = timing["seconds"], timing["method"]
        if method.startswith("bound") or (method != "dense" and key not in errors):
            continue
        times = ("step_seconds_median", "step_seconds_p10", "step_seconds_p90")
        row = {
            "seconds": seconds,
            "method": method,
            **{name: timing[name] for name in times},
            "dense_steps": timing.get("dense_steps", 0),
            "speedup_vs_dense": generation_speedup(timing, dense.get(seconds), steps),
            **(mean_error(errors[key]) if method != "dense" else _NO_ERROR),
            **_distances(sounds[key]),
        }
        predicted = predictions.get(seconds, {}).get(method)
        rows.append({**row, "predicted": dict(predicted) if predicted else None, **_off(row, predicted)})
    missed = [f"at {row['seconds']:g} s {words}" for row in rows if row["method"] == "plan" for words in row["missed"]]
    return {"schema": PROOF_SCHEMA, "steps": steps, "rows": rows, "missed": missed}


_NO_ERROR = {"error": 0.0, "error_low": 0.0, "error_high": 0.0, "prompts": None, "n": 0}


def generation_speedup(timing: Record, dense: float | None, steps: int) -> float | None:
    """Dense over a choice, of all `steps` of a generation, from its row of a profile and the dense step's median.

    "dense_share" in the row is the share of the UNet calls that stay dense; without it every step is one call.
    """
    if dense is None:
        return None
    share = timing.get("dense_share", min(timing.get("dense_steps", 0) / steps, 1.0))
    return dense / (share * dense + (1 - share) * timing["step_seconds_median"])


def _distances(clips: Sequence[Record]) -> dict[str, Any]:
    audible = [clip for clip in clips if clip["log_mel_l1"] is not None]
    found: dict[str, Any] = {"sounds": len(audible), "silent": len(clips) - len(audible)}
    for name in DISTANCES:
        found |= mean_with_interval(name, [clip[name] for clip in audible])
    return found


def _off(row: Record, predicted: Record | None) -> dict[str, Any]:
    """By how much a row misses what was predicted, and in words whether that is too much."""
    time_off = error_off = None
    missed = []
    if predicted and row["speedup_vs_dense"]:
        # As shares of the dense step in the same run: the machine may be faster or slower now as a whole.
        time_off = predicted["speedup"] / row["speedup_vs_dense"] - 1
        if abs(time_off) > TIME_TOLERANCE:
            missed.append(
                f"{row['speedup_vs_dense']:.2f} times as fast as dense where {predicted['speedup']:.2f} was predicted"
            )
    if predicted and predicted["error"] and row["n"]:
        error_off = row["error"] / predicted["error"] - 1
        low, high = row["error_low"], row["error_high"]
        least, most = (predicted[end] or predicted["error"] for end in ("error_low", "error_high"))
        # Without an interval, of one prompt, there is no telling.
        if low is not None and (low > most or high < least):
            missed.append(
                f"the UNet's error is {100 * row['error']:.2g} % ({100 * low:.2g} to {100 * high:.2g}) where "
                f"{100 * predicted['error']:.2g} % ({100 * least:.2g} to {100 * most:.2g}) was predicted"
            )
    return {"time_off": time_off, "error_off": error_off, "missed": missed}
