"""README.md of 09_gpu.py: tables of what was measured on which card, and what was not reached."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from words import provenance, targets

from focuslab.runs import RunInfo
from focuslab.tables.table import NOTHING, Table, labels, times, words
from focuslab.tables.text import in_markdown

Record = Mapping[str, Any]


def readme(info: RunInfo, records: Sequence[Record], not_reached: Sequence[str]) -> str:
    place = info.machine.get("accelerator", f"{info.machine['processor']}: no GPU")
    made = provenance("python analyses/09_gpu.py", info)
    sections = [f"# {info.model['name']} on {place}", made, *_sections(_by_kind(records))]
    failed = [f"* {r['kind']}: `{r['error'].strip().splitlines()[-1]}`" for r in records if "error" in r]
    if failed:
        sections += ["## What failed", "\n".join(failed)]
    if not_reached:
        sections += ["## What was not reached", f"Time was over before: {', '.join(not_reached)}."]
    return "\n\n".join(sections) + "\n"


def _by_kind(records: Sequence[Record]) -> dict[str, list[Record]]:
    by_kind: dict[str, list[Record]] = {}
    for record in records:
        if "error" not in record:
            by_kind.setdefault(record["kind"], []).append(record)
    return by_kind


def _sections(by_kind: Mapping[str, list[Record]]) -> Iterable[str]:
    for test in by_kind.get("tests", ()):
        yield (
            f"Tests marked `cuda`: {test['last_line']}" if test["exit_code"] is not None else "The tests took too long."
        )
    profiles = sorted(by_kind.get("profile", ()), key=lambda r: r["seconds"])
    if profiles:
        yield _steps([row for profile in profiles for row in profile["rows"]])
    for seconds in sorted({record["seconds"] for record in by_kind.get("compiled", ())}):
        rows = [record["rows"] for record in by_kind["compiled"] if record["seconds"] == seconds]
        yield _compiled(f"One call of a compiled UNet at {seconds:g} s", rows)
    for record in by_kind.get("trace", ()):
        yield _activity(f"What the device did in one step at {record['seconds']:g} s", record["activity"])
    for record in by_kind.get("generation", ()):
        yield _generation(f"A whole generation of {record['seconds']:g} s", record)
    at_least, at_most = _targets(by_kind, profiles)
    if at_least or at_most:
        yield "## Targets"
        yield targets(at_least, at_most)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], *notes: str) -> str:
    cells = zip(*rows, strict=True)
    columns = [(labels if name == "method" else words)(name, own) for name, own in zip(head, cells, strict=True)]
    return in_markdown([Table(title, columns, list(notes))])


def _milliseconds(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{1e3 * seconds:.1f} ms"


def _steps(rows: Sequence[Record]) -> str:
    return _table(
        "A denoising step",
        ("method", "length", "step", "speed-up", "ideal reached", "memory added"),
        (
            (
                row["method"],
                f"{row['seconds']:g} s",
                _milliseconds(row["step_seconds_median"]),
                times(row["speedup_vs_dense"]),
                NOTHING if row["share_of_ideal"] is None else f"{row['share_of_ideal']:.0%}",
                NOTHING if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e9:.2f} GB",
            )
            for row in rows
        ),
        "Medians. Speed-ups are over fused dense attention of the same interleaved run.",
    )


def _compiled(title: str, records: Sequence[Sequence[Record]]) -> str:
    def cells(rows: Sequence[Record]) -> Sequence[str]:
        dense, dense_compiled, sparse, compiled = (row["unet_seconds_median"] for row in rows)
        return (
            rows[-1]["method"],
            *map(_milliseconds, (dense, dense_compiled, sparse, compiled)),
            times(dense_compiled / compiled),
            times(dense / compiled),
            f"{rows[-1]['first_call_seconds']:.0f} s",
        )

    head = ("method", "dense", "dense compiled", "eager", "compiled", "over dense compiled", "over dense", "first call")
    note = "Medians. The four forms of a row are interleaved in one run."
    return _table(title, head, map(cells, records), note)


def _activity(title: str, activity: Mapping[str, Record | None]) -> str:
    if None in activity.values():
        return f"{title}: it launched no work on a device, so there is no idle time to show."
    return _table(
        title,
        ("method", "device", "idle", "kernels", "launches", "synchronizations", "copies to the device"),
        (
            (
                label,
                _milliseconds(a["device_seconds"]),
                f"{a['idle_seconds'] / a['device_seconds']:.0%}",
                *(str(a[key]) for key in ("kernels", "launches", "synchronizations", "copies_to_device")),
            )
            for label, a in activity.items()
        ),
    )


def _generation(title: str, record: Record) -> str:
    stages = ", ".join(f"{stage.replace('_', ' ')} {_milliseconds(value)}" for stage, value in record["stages"].items())
    return _table(
        title,
        ("method", "steps", "whole", "denoising"),
        (
            (r["method"], str(r["steps"]), f"{r['whole_seconds']:.2f} s", f"{r['denoising_seconds']:.2f} s")
            for r in record["rows"]
        ),
        f"Stages by themselves: {stages}. Prompt encoding is left out where the encoders are stand-ins.",
    )


def _targets(by_kind: Mapping[str, list[Record]], profiles: Sequence[Record]) -> tuple[list, list]:
    """What issue A of the plan asks for on a GPU, beside what was measured."""
    at_least, at_most = [], []
    for profile in profiles:
        length = f"at {profile['seconds']:g} s"
        for row in profile["rows"]:
            if row["method"] == "litefocus" and profile["seconds"] >= 80 and row["share_of_ideal"] is not None:
                at_least.append((f"LiteFocus {length}, share of its ideal speed", 0.95, row["share_of_ideal"]))
        off = [abs(r["predicted_peak_bytes"] / r["peak_bytes"] - 1) for r in profile["rows"] if r["peak_bytes"]]
        if off:
            at_most.append((f"predicted over measured memory {length}, largest difference", 0.15, max(off)))
        if profile["instrumented_over_plain"] is not None:
            at_most.append((f"cost of the module timer {length}", 1.02, profile["instrumented_over_plain"]))
    for record in by_kind.get("capture", ()):
        cost = record["recorded_step_over_plain"]
        at_most.append((f"a recorded step over a plain one at {record['seconds']:g} s", 1.25, cost))
    return at_least, at_most
