"""The records of a capture as arrays, and what recording them cost."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Calls:
    """All calls of some sites with one grid at one length.

    values: name -> `[P, S, B, H, ...]`, by prompt, recorded step, half of the guidance batch and head (of all sites one
    after the other); what a site has one of, such as its output error, has one entry a site instead. Names are as in
    the records, with a slash between nested ones: "mass", "mass_std", "recall/0.1", "lag/own".
    """

    seconds: float
    time: int
    mel_rows: int
    prompts: tuple[int, ...]
    steps: tuple[int, ...]
    timesteps: tuple[float, ...]
    halves: tuple[str, ...]
    heads: tuple[tuple[str, int], ...]
    values: Mapping[str, np.ndarray]

    def labels(self, kind: str) -> list[str]:
        """What there is of a nested statistic: ["0", "0.1"] of "recall"."""
        return [name.partition("/")[2] for name in self.values if name.startswith(f"{kind}/")]


def finished(records: Iterable[Record]) -> list[Record]:
    """The attention records of prompts and lengths that were recorded to their end."""
    records = list(records)
    done = {(r["prompt"], r["seconds"]) for r in records if r["kind"] == "pass"}
    return [r for r in records if r["kind"] == "attention" and (r["prompt"], r["seconds"]) in done]


def calls_of(site: Mapping[str, Any], records: Sequence[Record]) -> Calls:
    """All records of one site (a row of the capture's table) at one length.

    Of two records of the same call the later one counts.
    """
    by_call = {(r["prompt"], r["step"], r["half"]): r for r in records}
    prompts, steps = (sorted({key[i] for key in by_call}) for i in (0, 1))
    halves = list(dict.fromkeys(key[2] for key in by_call))
    flat = [dict(_values(by_call[p, s, h])) for p in prompts for s in steps for h in halves]
    first = records[0]
    # Only what every call has: a statistic of some calls is a mean of nothing in particular.
    names = [name for name in flat[0] if all(name in call for call in flat)]
    shape = len(prompts), len(steps), len(halves)
    values = {name: np.array([call[name] for call in flat], dtype=float) for name in names}
    return Calls(
        seconds=first["seconds"],
        time=first["time"],
        mel_rows=first["mel_rows"],
        prompts=tuple(prompts),
        steps=tuple(steps),
        timesteps=tuple(by_call[prompts[0], s, halves[0]]["timestep"] for s in steps),
        halves=tuple(halves),
        heads=tuple((site["name"], head) for head in range(site["heads"])),
        values={name: x.reshape(*shape, *x.shape[1:]) for name, x in values.items()},
    )


def together(parts: Sequence[Calls]) -> Calls:
    """The calls of several sites with the same grid, their heads one after the other."""
    names = [name for name in parts[0].values if all(name in part.values for part in parts)]
    values = {name: np.concatenate([part.values[name] for part in parts], axis=3) for name in names}
    return replace(parts[0], heads=tuple(head for part in parts for head in part.heads), values=values)


def _values(record: Record) -> Iterator[tuple[str, Any]]:
    """(name, value with one entry a head or one in all)."""
    for kind in ("mass", "entropy"):
        if kind in record:
            yield kind, record[kind]["mean"]
            yield f"{kind}_std", record[kind]["std"]
    if "rows" in record:
        yield "rows", record["rows"]
    for name, value in record.get("lag", {}).items():
        yield f"lag/{name}", value if name in ("own", "other") else [value]
    for name, value in record.get("recall", {}).items():
        yield f"recall/{name}", value["mean"]
    for name, value in record.get("output_error", {}).items():
        yield f"output_error/{name}", [value["all"]]
        yield f"head_error/{name}", value["heads"]
    for name, value in record.get("sampling", {}).items():
        yield f"sampling/{name}", [value["all"]]
    for name, value in record.get("sampled_error", {}).items():
        yield f"sampled_error/{name}", [value["all"]]
    for name, value in record.get("labels", {}).items():
        yield f"labels/{name}", value
    for name, value in record.get("patterns", {}).items():
        yield f"patterns/{name}", value["mean"]
        yield f"patterns_chance/{name}", [value["chance"]]


def capture_cost(passes: Iterable[Record], steps: int) -> dict[str, Any]:
    """The part of a capture's summary that says what recording cost, by length and in all.

    It is of the denoising steps' own time: no decoding, no writing.
    """
    grouped = defaultdict(list)
    for record in passes:
        grouped[record["seconds"]].append(record)
    by_length = [own for _, own in sorted(grouped.items())]
    rows = [_row(own, steps) for own in by_length]
    return {"cost": rows, "capture_over_plain": _over_plain(by_length, steps), "peak_bytes": _most(rows, "peak_bytes")}


def _row(passes: Sequence[Record], steps: int) -> dict[str, Any]:
    plain, recorded = (_seconds(passes, kind) for kind in ("plain", "recorded"))
    return {
        "seconds": passes[0]["seconds"],
        "passes": len(passes),
        "plain_step_seconds_median": median(plain) if plain else None,
        "recorded_step_seconds_median": median(recorded) if recorded else None,
        "recorded_step_over_plain": _ratio(median(recorded), median(plain)) if plain and recorded else None,
        "capture_over_plain": _over_plain([passes], steps),
        "peak_bytes": _most(passes, "peak_bytes"),
        "plain_peak_bytes": _most(passes, "plain_peak_bytes"),
    }


def _over_plain(by_length: Sequence[Sequence[Record]], steps: int) -> float | None:
    """Time of all steps over what it would be if each UNet call had taken what the median plain one did there.

    A pass says how many UNet calls each step made; without it each made one.
    """
    taken = expected = 0.0
    for passes in by_length:
        plain, calls = [], 0
        for p in passes:
            unet_calls = p.get("unet_calls") or [1] * steps
            calls += sum(unet_calls)
            of_plain = [count for step, count in enumerate(unet_calls) if step not in p["recorded_steps"]]
            plain += [seconds / count for seconds, count in zip(p["plain_step_seconds"], of_plain, strict=False)]
        if plain:
            taken += sum(_seconds(passes, "plain")) + sum(_seconds(passes, "recorded"))
            expected += median(plain) * calls
    return _ratio(taken, expected) if expected else None


def _seconds(passes: Sequence[Record], kind: str) -> list[float]:
    return [seconds for p in passes for seconds in p[f"{kind}_step_seconds"]]


def _ratio(one: float, other: float) -> float:
    """In 6 significant digits, as in the records."""
    return float(f"{one / other:.6g}")


def _most(rows: Iterable[Record], key: str) -> int | None:
    return max((row[key] for row in rows if row.get(key) is not None), default=None)
