"""The rows of a capture's summary, checked and picked for tables and figures."""

from collections.abc import Iterable, Mapping, Sequence

from focuslab.errors import InputError
from focuslab.runs import ATTENTION_SCHEMA, check_summary


def attention_rows(summary: Mapping, of: str = "blocks") -> list[Mapping]:
    """The rows of blocks or sites. Raises `InputError` where the summary is none of a capture or holds no row."""
    check_summary(summary, ATTENTION_SCHEMA, "a capture")
    rows = list(summary.get(of) or ())
    if not rows:
        raise InputError("the capture holds no prompt and length that was recorded to its end: let it run on")
    return rows


def lengths_of(rows: Iterable[Mapping]) -> list[float]:
    """Audio lengths in seconds, ascending."""
    return sorted({row["seconds"] for row in rows})


def at_length(rows: Iterable[Mapping], seconds: float, run: str = "capture") -> list[Mapping]:
    """The rows of one length. Raises `InputError` that lists what there is."""
    rows = list(rows)
    own = [row for row in rows if row["seconds"] == seconds]
    if not own:
        there = ", ".join(f"{s:g}" for s in lengths_of(rows))
        raise InputError(f"the {run} has no {seconds:g} s, only {there} s")
    return own


def names_of(rows: Iterable[Mapping]) -> list[str]:
    """Names of blocks or sites in the order of the UNet."""
    return list(dict.fromkeys(row["name"] for row in rows))


def fractions_of(rows: Iterable[Mapping]) -> list[str]:
    """The cross_fractions of which recall or output error was recorded, ascending, as they are named in the rows."""
    names = {name for row in rows for kind in ("recall", "output_error") for name in row[kind]}
    return sorted(names, key=float)


def having(rows: Sequence[Mapping], key: str, what: str) -> list[Mapping]:
    """The rows in which something was recorded. Raises `InputError` where it was in none."""
    found = [row for row in rows if row[key]]
    if not found:
        raise InputError(f"{what} was not recorded: ask for it among the statistics of the capture")
    return found
