"""From the records of a capture to its summary: how much attention stays in its own mel row, per site and block."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from focuslab.analysis.calls import Calls, Record, calls_of, capture_cost, finished, together
from focuslab.analysis.key_counts import sampling_of
from focuslab.runs import ATTENTION_SCHEMA, RunInfo, skipped_rows
from focuslab.stats.intervals import FEWEST, LEVEL, RESAMPLES, bootstrap_interval
from focuslab.tables.attention import verdict

NEAR_TRAINING = 1.1
"""The length measured nearest to the training length stands for it if it is not further off than this factor."""


def attention_summary(info: RunInfo, records: Iterable[Record]) -> dict[str, Any]:
    """The summary of whatever prompts and lengths have been recorded to their end; what was not recorded is None.

    "sites" and "blocks" have a row for each length, a mean over prompts, recorded steps, both halves of the guidance
    batch ("halves" has each) and heads, and in a block over its sites. X_low and X_high are the interval of X over
    prompts, None with one prompt. Of blocks compare lifts: mass depends on the number of mel rows, which levels differ
    in. Fields of a row that need words:

    * same_frequency_mass_std: over the queries of a call. lift_heads: of each head, of each site in turn.
      heads_above_chance: those whose interval lies above 1
    * entropy, in nats, beside uniform_entropy (log N), training_entropy (at the length that stands for the training
      length), entropy_growth since there, and uniform_growth, which uniform attention would have
    * recall, output_error: by cross_fraction; recall_chance is the recall of uniform attention
    * rows: mass from query row (first) to key row (second), `[F][F]`, mean over heads
    * sampling, sampled_predicted, sampled_error, keys_for: as `sampling_of` says
    * lag: mass on the own mel row and on the others by time lag, in bins of seconds between edges, each drawn at its
      middle; uniform attention has chance / F and chance * (1 - 1 / F), and a lift is the mass over that
    """
    records = list(records)
    parameters = info.parameters
    training = parameters["training_seconds"]
    sites, blocks = _by_length(parameters["sites"], finished(records))
    lengths = sorted({calls.seconds for calls in sites.values()})
    reference = _training_length(lengths, training)
    return {
        "schema": ATTENTION_SCHEMA,
        "sites": _rows(sites, parameters["sites"], reference),
        "blocks": _rows(blocks, parameters["sites"], reference),
        "interval": _interval_note(sites.values()),
        "seconds": lengths,
        "skipped": skipped_rows(records),
        "log_sum_exp": info.machine.get("log_sum_exp"),
        "training_seconds": training,
        "training_length": reference,
        **capture_cost([r for r in records if r["kind"] == "pass" and r["seconds"] in lengths], parameters["steps"]),
    }


def _by_length(table: Sequence[Record], records: Sequence[Record]) -> tuple[dict[tuple, Calls], dict[tuple, Calls]]:
    """(seconds, name) -> calls, of sites and of blocks, by length and then in the order of the UNet."""
    grouped = defaultdict(list)
    for record in records:
        grouped[record["seconds"], record["site"]].append(record)
    sites, parts = {}, defaultdict(list)
    for seconds in sorted({seconds for seconds, _ in grouped}):
        for site in table:
            if (seconds, site["name"]) in grouped:
                calls = calls_of(site, grouped[seconds, site["name"]])
                sites[seconds, site["name"]] = calls
                parts[seconds, site["block"]].append(calls)
    return sites, {key: together(calls) for key, calls in parts.items()}


def _training_length(lengths: Sequence[float], training: float) -> float | None:
    """The measured length that stands for the training length, if there is one."""
    nearest = min(lengths, key=lambda s: abs(math.log(s / training)), default=None)
    near = nearest is not None and abs(math.log(nearest / training)) <= math.log(NEAR_TRAINING)
    return nearest if near else None


def _rows(found: dict[tuple, Calls], table: Sequence[Record], reference: float | None) -> list[dict[str, Any]]:
    places = {name: site for site in table for name in (site["name"], site["block"])}
    rows = []
    for (_, name), calls in found.items():
        place = places[name]
        row = {"name": name, "block": place["block"], "level": place["level"], **_row(calls)}
        row |= _against_training(calls, found.get((reference, name)))
        rows.append(row | {"verdict": verdict(row)})
    return rows


def _row(calls: Calls) -> dict[str, Any]:
    values = calls.values
    mass, chance = values.get("mass"), 1 / calls.mel_rows
    row = {
        "sites": len({site for site, _ in calls.heads}),
        "heads": len(calls.heads),
        "seconds": calls.seconds,
        "time": calls.time,
        "mel_rows": calls.mel_rows,
        "chance": chance,
        "prompts": len(calls.prompts),
        "same_frequency_mass": _mean(mass),
        "same_frequency_mass_std": None if mass is None else _rounded(math.sqrt((values["mass_std"] ** 2).mean())),
        **_lifts(calls),
        **_with_interval("entropy", values.get("entropy")),
        "uniform_entropy": _rounded(math.log(calls.time * calls.mel_rows)),
        **_by_label("recall", calls),
        "recall_chance": {r: _rounded(chance + float(r) * (1 - chance)) for r in calls.labels("recall")},
        **_by_label("output_error", calls),
        **sampling_of(calls),
        "halves": {half: _half(calls, i) for i, half in enumerate(calls.halves)},
        "rows": _mean(values.get("rows")),
        "lag": None,
    }
    if calls.labels("lag"):
        row["lag"] = _lag(calls)
    for name in calls.labels("labels"):
        row.setdefault("labels", {})[name] = _mean(values[f"labels/{name}"])
    for name in calls.labels("patterns"):
        inside, uniform = (float(values[f"{kind}/{name}"].mean()) for kind in ("patterns", "patterns_chance"))
        found = {"mass": _rounded(inside), "chance": _rounded(uniform), "lift": _rounded(inside / uniform)}
        row.setdefault("patterns", {})[name] = found
    return row


def _lifts(calls: Calls) -> dict[str, Any]:
    if "mass" not in calls.values:
        missing = ("lift", "lift_low", "lift_high", "lift_heads", "heads_above_chance", "best_head", "best_head_lift")
        return {**dict.fromkeys(missing), "by_step": []}
    lift = calls.values["mass"] * calls.mel_rows
    heads = lift.mean(axis=(0, 1, 2))
    lows, _ = _interval(lift, keep=3)
    best = int(heads.argmax())
    return {
        **_with_interval("lift", lift),
        "lift_heads": _rounded(heads),
        "heads_above_chance": int((heads > 1).sum() if lows is None else (lows > 1).sum()),
        "best_head": {"site": calls.heads[best][0], "head": calls.heads[best][1]},
        "best_head_lift": _rounded(heads[best]),
        "by_step": _by_step(calls, lift),
    }


def _by_step(calls: Calls, lift: np.ndarray) -> list[dict[str, Any]]:
    (lows, highs), entropy = _interval(lift, keep=1), calls.values.get("entropy")
    return [
        {
            "step": step,
            "timestep": timestep,
            "lift": _rounded(lift[:, i].mean()),
            "lift_low": None if lows is None else _rounded(lows[i]),
            "lift_high": None if highs is None else _rounded(highs[i]),
            "entropy": None if entropy is None else _rounded(entropy[:, i].mean()),
        }
        for i, (step, timestep) in enumerate(zip(calls.steps, calls.timesteps, strict=True))
    ]


def _lag(calls: Calls) -> dict[str, list]:
    edges, own, other, share = (
        calls.values[f"lag/{n}"].mean(axis=(0, 1, 2, 3)) for n in ("edges", "own", "other", "chance")
    )
    chance = 1 / calls.mel_rows
    # The first bin holds lag 0 alone; the others are so wide that their geometric middle stands for them.
    middles = [edges[1] / 2, *np.sqrt(edges[1:-1] * edges[2:])]
    lifts = {
        f"{name}_lift": [
            _rounded(m / (s * uniform)) if s * uniform > 0 else None for m, s in zip(mass, share, strict=True)
        ]
        for name, mass, uniform in (("own", own, chance), ("other", other, 1 - chance))
    }
    lists = {"edges": edges, "middles": middles, "own": own, "other": other, "chance": share}
    return {name: _rounded(x) for name, x in lists.items()} | lifts


def _half(calls: Calls, i: int) -> dict[str, Any]:
    """The main numbers of one half of the guidance batch."""
    values = {name: x[:, :, i : i + 1] for name, x in calls.values.items()}
    mass = values.get("mass")
    return {
        "same_frequency_mass": _mean(mass),
        **_with_interval("lift", None if mass is None else mass * calls.mel_rows),
        "entropy": _mean(values.get("entropy")),
        **{
            kind: {label: _mean(values[f"{kind}/{label}"]) for label in calls.labels(kind)}
            for kind in ("recall", "output_error")
        },
    }


def _by_label(kind: str, calls: Calls) -> dict[str, dict[str, float | None]]:
    """{kind: {label: mean}, kind_low: ..., kind_high: ...}, by cross_fraction."""
    result: dict[str, dict] = {kind: {}, f"{kind}_low": {}, f"{kind}_high": {}}
    for label in calls.labels(kind):
        for name, value in _with_interval(kind, calls.values[f"{kind}/{label}"]).items():
            result[name][label] = value
    return result


def _against_training(calls: Calls, reference: Calls | None) -> dict[str, Any]:
    """Entropy beside that at the training length, and its growth in nats beside that of uniform attention."""
    if reference is None or not all("entropy" in c.values for c in (calls, reference)):
        return dict.fromkeys(
            ("training_entropy", "entropy_growth", "entropy_growth_low", "entropy_growth_high", "uniform_growth")
        )
    # Prompt by prompt: what differs from prompt to prompt at both lengths is no growth.
    shared = sorted(set(calls.prompts) & set(reference.prompts))
    here, there = (c.values["entropy"][[c.prompts.index(p) for p in shared]] for c in (calls, reference))
    return {
        "training_entropy": _mean(reference.values["entropy"]),
        **_with_interval("entropy_growth", here - there if shared else None),
        "uniform_growth": _rounded(math.log(calls.time * calls.mel_rows / (reference.time * reference.mel_rows))),
    }


def _interval_note(found: Iterable[Calls]) -> dict[str, Any]:
    fewest, note = min((len(calls.prompts) for calls in found), default=0), None
    if fewest == 1:
        note = "one prompt at some length: no interval there, for it would be over prompts"
    elif 0 < fewest < FEWEST:
        covered = f"{100 * (1 - 2.0 ** (1 - fewest)):.0f}"
        note = f"{fewest} prompts: an interval is at most the range over them, which covers {covered} %, not 95 %"
    return {"level": LEVEL, "over": "prompts", "resamples": RESAMPLES, "note": note}


def _with_interval(name: str, values: np.ndarray | None) -> dict[str, float | None]:
    low, high = _interval(values)
    return {name: _mean(values), f"{name}_low": _rounded(low), f"{name}_high": _rounded(high)}


def _interval(values: np.ndarray | None, keep: int | None = None) -> tuple[Any, Any]:
    """Of the mean of `[P, S, B, H]` over all but the axis `keep`; (None, None) with one prompt."""
    if values is None or len(values) < 2:
        return None, None
    return bootstrap_interval(values.mean(axis=tuple(axis for axis in (1, 2, 3) if axis != keep)))


def _mean(values: np.ndarray | None) -> Any:
    """The mean over all calls and heads, of what lies behind them as nested lists."""
    return None if values is None else _rounded(values.mean(axis=(0, 1, 2, 3)))


def _rounded(value: Any) -> Any:
    """Numbers with 6 significant digits, as in the records; arrays as lists."""
    if value is None:
        return None
    if np.ndim(value):
        return [_rounded(part) for part in value]
    return float(f"{value:.6g}")
