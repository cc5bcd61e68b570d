"""Time and FLOPs of every module of a UNet in the records of a profile: names once in a run, then columns of numbers.

The record "units" has "names" and "kinds" of the modules that are timed. In a record "modules" (with a clock on each)
"modules" is an object of the columns `COLUMNS`, and in a record "flops" the list "flops"; their entries follow the
names, and where a module has nothing timed within it, its exclusive time is None: it is the inclusive one. Older
profiles repeat the names in every record, as rows; `with_rows` reads both.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from focuslab.errors import InputError

UNITS = "units"
COLUMNS = ("calls", "inclusive_seconds", "exclusive_seconds")
DIGITS = 6
"""Significant digits of a time that is kept. A clock is not more exact."""

Record = dict[str, Any]
Key = tuple[float, str]


def units_record(names: Iterable[str], kinds: Mapping[str, str]) -> Record:
    """The record that names the modules; "" is the UNet itself."""
    names = list(names)
    named = {"names": [shown(name) for name in names], "kinds": [kinds[name] for name in names]}
    # They hold for every length and method.
    return {"kind": UNITS, "seconds": None, "repeat": 0, **named}


def shown(name: str) -> str:
    """The name of a module in records, where the UNet itself has one too."""
    return name or "unet"


def columns(rows: Iterable[tuple[str, int, float, float]], names: Iterable[str]) -> dict[str, list]:
    """Columns of (name, calls, inclusive seconds, exclusive seconds) in the order of `names`.

    A module that was not called has zeros.
    """
    by_name = {
        name: (calls, rounded(inclusive), None if exclusive == inclusive else rounded(exclusive))
        for name, calls, inclusive, exclusive in rows
    }
    table = [by_name.get(name, (0, 0.0, None)) for name in names]
    return dict(zip(COLUMNS, map(list, zip(*table, strict=True)), strict=True))


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def with_rows(records: Iterable[Record]) -> list[Record]:
    """The records with "modules" as rows: [name, kind, calls, inclusive, exclusive] of a timing, [name, FLOPs] of a
    count. Raises `InputError` where columns do not fit the names."""
    records = list(records)
    units: Record = next((record for record in records if record["kind"] == UNITS), {"names": [], "kinds": []})
    return [{**record, "modules": _rows(record, units)} if _in_columns(record) else record for record in records]


def _in_columns(record: Record) -> bool:
    return (record["kind"] == "modules" and isinstance(record["modules"], Mapping)) or (
        record["kind"] == "flops" and "flops" in record
    )


def _rows(record: Record, units: Record) -> list[list]:
    with _fitting(record["kind"]):
        if record["kind"] == "flops":
            return [list(row) for row in zip(units["names"], record["flops"], strict=True)]
        rows = zip(units["names"], units["kinds"], *(record["modules"][column] for column in COLUMNS), strict=True)
        return [
            [name, kind, calls, inclusive, inclusive if exclusive is None else exclusive]
            for name, kind, calls, inclusive, exclusive in rows
            if calls
        ]


@contextmanager
def _fitting(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError):
        raise InputError(f"the record {what!r} of a profile does not fit the modules that it names") from None


def module_rows(records: Sequence[Record]) -> dict[Key, list[Record]]:
    """(seconds, method) -> every module with its calls, seconds and FLOPs a step, mean over the records.

    The first row is the step itself, whose exclusive time is what is spent outside of the UNet. A length and method
    that was not timed module by module is left out; FLOPs that were not counted are None.
    """
    with _fitting("modules"):
        return _module_rows(with_rows(records))


def _module_rows(records: Sequence[Record]) -> dict[Key, list[Record]]:
    timed: dict[Key, dict[int, Record]] = defaultdict(dict)
    flops: dict[Key, dict[str, float]] = {}
    for record in records:
        if record["kind"] == "modules":
            # Of two records of the same thing the later one counts.
            timed[record["seconds"], record["method"]][record["repeat"]] = record
        elif record["kind"] == "flops":
            flops[record["seconds"], record["method"]] = dict(record["modules"])
    for record in records:
        # They were counted for one UNet call, of which a step may make several.
        if record["kind"] == "expected" and (key := (record["seconds"], record["method"])) in flops:
            calls = record.get("calls_per_step", 1)
            flops[key] = {name: count * calls for name, count in flops[key].items()}
    return {key: _of_one(list(found.values()), flops.get(key)) for key, found in timed.items()}


def _of_one(timed: Sequence[Record], flops: Mapping[str, float] | None) -> list[Record]:
    steps = sum(len(record["step_seconds"]) for record in timed)
    whole = sum(sum(record["step_seconds"]) for record in timed)
    totals: dict[tuple[str, str], list[float]] = {}
    for record in timed:
        for name, kind, *values in record["modules"]:
            total = totals.setdefault((name, kind), [0.0] * len(COLUMNS))
            totals[name, kind] = [one + more for one, more in zip(total, values, strict=True)]
    unet = totals[shown(""), "other"][1]
    rows = [(("step", "other"), (steps, whole, whole - unet)), *totals.items()]
    return [
        {
            "name": name,
            "kind": kind,
            "calls": round(calls / steps),
            "inclusive_seconds": rounded(inclusive / steps),
            "exclusive_seconds": rounded(exclusive / steps),
            "flops": None if flops is None else flops.get(shown("") if name == "step" else name, 0),
        }
        for (name, kind), (calls, inclusive, exclusive) in rows
    ]
