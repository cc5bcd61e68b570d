"""The tables of a capture: same-frequency attention by block and by site, its checked rows, and verdicts in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from focuslab.errors import InputError
from focuslab.runs import ATTENTION_SCHEMA, check_summary, skipped_in_words
from focuslab.stats.intervals import FEWEST
from focuslab.tables.table import Column, Table, labels, numbers, seconds_of, words


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


def attention_tables(summary: Mapping) -> list[Table]:
    """Numbers of each block, and a verdict in words. Raises `InputError` where `summary` is none of a capture."""
    rows = attention_rows(summary)
    verdict = words("verdict", [row["verdict"] for row in rows])
    sampling = [row for row in rows if row.get("keys_for")]
    numbers_of = Table("Same-frequency attention, by block", attention_columns(rows), list(_notes(summary, rows)))
    tables = [numbers_of, Table("In words", [*numbers_of.columns[:2], verdict])]
    return [*tables, sampling_table(sampling)] if sampling else tables


def sampling_table(rows: Sequence[Mapping]) -> Table:
    """Errors of sampled keys, predicted and measured, and how many keys an error needs."""
    columns = [
        seconds_of(rows),
        labels("where", [row["name"] for row in rows]),
        words("grid\nT x F", [f"{row['time']} x {row['mel_rows']}" for row in rows]),
    ]
    for counts in dict.fromkeys(counts for row in rows for counts in row["sampled_error"]):
        columns += [
            numbers(f"{counts}\n{name}", [row[key].get(counts) for row in rows], ".1f", "%", factor=100)
            for key, name in (("sampled_predicted", "predicted"), ("sampled_error", "error"))
        ]
    for error in dict.fromkeys(error for row in rows for error in row["keys_for"]):
        columns.append(words(f"keys for\n{float(error):.0%}", [_keys_in_words(row, error) for row in rows]))
    return Table(
        "Keys to sample, by block",
        columns,
        [
            "OWN:OTHER: sampled keys of the own mel row and of each other row; in brackets, their share of all pairs. "
            "The error is that of attention before the output projection, against dense."
        ],
    )


def _keys_in_words(row: Mapping, error: str) -> str:
    own, other = row["keys_for"][error]
    share = (own + (row["mel_rows"] - 1) * other) / (row["time"] * row["mel_rows"])
    return f"{own}:{other} ({share:.1%})"


def attention_columns(rows: Sequence[Mapping]) -> list[Column]:
    """The numbers of blocks or sites, a column a statistic."""

    def of(key: str) -> list:
        return [row.get(key) for row in rows]

    def growth(key: str) -> list:
        both = ("entropy_growth", "uniform_growth")
        return [None if None in map(row.get, both) else row[key] for row in rows]

    columns = [
        seconds_of(rows),
        labels("where", of("name")),
        words("grid\nT x F", [f"{row['time']} x {row['mel_rows']}" for row in rows]),
        numbers("mass", of("same_frequency_mass"), ".1f", "%", factor=100),
        numbers("chance", of("chance"), ".1f", "%", factor=100),
        numbers("lift", of("lift"), low=of("lift_low"), high=of("lift_high")),
        numbers("best\nhead", of("best_head_lift")),
        numbers("entropy\ngrew", growth("entropy_growth"), "+.2f"),
        numbers("uniform\ngrew", growth("uniform_growth"), "+.2f"),
    ]
    for r in fractions_of(rows):
        columns += [
            numbers(f"r={r}\n{name}", [row[key].get(r) for row in rows], ".0f", "%", factor=100)
            for key, name in (("recall", "recall"), ("output_error", "error"))
        ]
    return columns


def _notes(summary: Mapping, rows: Sequence[Mapping]) -> Iterator[str]:
    interval = summary["interval"]
    yield from skipped_in_words(summary.get("skipped") or ())
    if any(row["lift"] is not None for row in rows):
        prompts = ", ".join(str(n) for n in sorted({row["prompts"] for row in rows}))
        yield f"Lift: mass over chance; interval: {interval['level']:.0%}, bootstrap over prompts ({prompts} of them)."
    else:
        yield "Not measured, same-frequency mass."
    if interval["note"]:
        yield f"Interval: {interval['note']}."
    if fractions_of(rows):
        yield "r: recall and output error with LiteFocus at one site alone, mean over the sites of the block."
    training = f"the training length of {summary['training_seconds']:g} s"
    if all(row["entropy"] is None for row in rows):
        yield "Not measured, entropy."
    elif summary["training_length"] is None:
        yield f"Not known, how entropy grew: no measured length is near {training}."
    else:
        yield (
            f"Entropy grew, in nats, since {summary['training_length']:g} s, which stands for {training}; beside it, "
            "how much uniform attention grew."
        )
    if "unfused" in (summary.get("log_sum_exp") or ""):
        yield "Recorded without a fused kernel: none of this torch returns log-sum-exps for these heads."
    over = summary["capture_over_plain"]
    if over is None:
        yield "Not measured, the cost of recording."
    else:
        yield f"All steps together took {over:.3f} times what plain ones would have."


BARELY = 0.05
"""A lift this near to 1 is called barely apart from chance, however sure the interval is of it."""


def verdict(row: Mapping[str, Any]) -> str:
    """What the lifts of a row of the summary say: "4.1 times chance, on 7 of 8 heads, at every recorded step".

    At chance is a lift whose interval holds 1. A head or a step counts as above chance where its own interval is, or
    with one prompt, where there is no interval, its lift is. Intervals of few prompts are narrower than they should be,
    and the verdict says so.
    """
    if row["mel_rows"] == 1:
        return "one mel row: every key is in it"
    if row["lift"] is None:
        return "not known: same-frequency mass was not recorded"
    few = f" ({row['prompts']} prompts: not sure)" if 1 < row["prompts"] < FEWEST else ""
    return _of_lift(row) + few


def _of_lift(row: Mapping[str, Any]) -> str:
    lift, low, high = row["lift"], row["lift_low"], row["lift_high"]
    heads = f"{row['heads_above_chance']} of {counted(row['heads'], 'head')}"
    if low is None:
        return f"{times(lift)} times chance, on {heads}, {_steps(row)} (one prompt: no interval)"
    if low <= 1 <= high:
        text = f"at chance: {times(lift)} times it ({times(low, lift)} to {times(high, lift)})"
        return text + (f", above it on {heads}" if row["heads_above_chance"] else "")
    if abs(lift - 1) < BARELY:
        return f"barely {'above' if lift > 1 else 'below'} chance: {times(lift)} times it, above it on {heads}"
    if lift < 1:
        return f"below chance: {times(lift)} times it, above it on {heads}"
    return f"{times(lift)} times chance, on {heads}, {_steps(row)}"


def times(lift: float, like: float | None = None) -> str:
    """A lift in two digits or three, and more near 1: 12, 4.1, 1.43, 1.003; with as many decimals as `like` has."""
    decisive = lift if like is None else like
    decimals = 3 if abs(decisive - 1) < 0.00995 else 2 if decisive < 1.995 else 1 if decisive < 9.95 else 0
    return f"{lift:.{decimals}f}"


def _steps(row: Mapping[str, Any]) -> str:
    steps = row["by_step"]
    above = sum((s["lift"] if s["lift_low"] is None else s["lift_low"]) > 1 for s in steps)
    if above == len(steps):
        return "at every recorded step" if above > 1 else "at the one recorded step"
    return f"at {above} of {counted(len(steps), 'recorded step')}"


def counted(number: int, noun: str) -> str:
    """ "1 prompt", "2 prompts"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
