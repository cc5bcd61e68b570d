"""A choice of sites as text: what the plan does at each length, block by block, and why, in words.

Needs the standard library only. Also holds what tables and figures of a choice share.
"""

from collections.abc import Iterable, Mapping

from focuslab.errors import InputError
from focuslab.runs import CHOICE_SCHEMA, check_summary
from focuslab.runs.method_spec import brief
from focuslab.tables.profile import SECONDS
from focuslab.tables.text import (
    NOTHING,
    Column,
    Table,
    formatter,
    in_markdown,
    in_terminal,
    percent,
    times,
)

MARKS = ("plan", "paper", "all sites", "dense")
"""The order in which marked choices stand; others stand before dense."""


def choice_table(summary: Mapping) -> str:
    """The tables of a choice for a terminal: plain text, aligned, at most `WIDTH` columns, no newline at the end.

    `summary` is that of `focuslab.search.summary`. Raises `InputError` where it is none or has no length.
    """
    return in_terminal(choice_tables(summary))


def choice_markdown(summary: Mapping) -> str:
    """The same tables and notes as `choice_table`, in GitHub's markdown."""
    return in_markdown(choice_tables(summary))


def length_rows(summary: Mapping) -> list[Mapping]:
    """A row a length. Raises `InputError` where the summary is none of a choice or has no length."""
    check_summary(summary, CHOICE_SCHEMA, "a choice")
    rows = list(summary.get("lengths") or ())
    if not rows:
        raise InputError("the choice holds no length: expected at least one that was measured")
    return rows


def marks_of(row: Mapping) -> dict[str, Mapping]:
    """The marked choices of one length by name, in the order of `MARKS`."""
    order = {name: i for i, name in enumerate(MARKS)}
    return dict(sorted(row["points"].items(), key=lambda pair: order.get(pair[0], len(order) - 1.5)))


def timed_note(summary: Mapping) -> str | None:
    """At which lengths the plan was timed before it was published, in words."""
    rows = length_rows(summary)
    where = ", ".join(f"{row['seconds']:g}" for row in rows if row["points"].get("plan", {}).get("timed"))
    return (
        f"Times of plan and paper at {where} s were measured of the whole choice, interleaved with dense."
        if where
        else None
    )


def brief_group(group: str) -> str:
    """A block as it is; of a site its block and its place in it: "up_blocks.2 a3.0.attn1"."""
    return group.replace(".attentions.", " a").replace(".transformer_blocks.", ".")


def choice_tables(summary: Mapping) -> Iterable[Table]:
    rows = length_rows(summary)
    yield _by_length(summary, rows)
    for row in rows:
        yield _by_group(row)
    words = [(row, group) for row in rows for group in row["groups"]]
    yield Table(
        "In words",
        [
            Column(("length", "[s]"), [f"{row['seconds']:g}" for row, _ in words]),
            Column(("block", ""), [brief_group(group["group"]) for _, group in words], left=True),
            Column(("reason", ""), [group["reason"] for _, group in words], left=True, words=True),
        ],
        [],
    )


def _by_length(summary: Mapping, rows: list[Mapping]) -> Table:
    shown = [(row, name, point) for row in rows for name, point in marks_of(row).items()]
    time, unit = formatter(SECONDS, (point["step_seconds"] for _, _, point in shown))

    def error(point: Mapping) -> str:
        low, high = point["error_low"], point["error_high"]
        between = f" ({percent(low, 2)}..{percent(high, 2)})" if low is not None and point["error"] else ""
        return percent(point["error"], 2) + between

    columns = [
        Column(("length", "[s]"), [f"{row['seconds']:g}" for row, _, _ in shown]),
        Column(("choice", ""), [name for _, name, _ in shown], left=True),
        Column(("sparse", "groups"), [str(len(point["methods"])) for _, _, point in shown]),
        Column((f"step time [{unit}]", "predicted"), [time(point["step_seconds"]) for _, _, point in shown]),
        Column(("speed-up", "vs dense"), [times(point["speedup"]) for _, _, point in shown]),
        Column(("UNet error [%]", "(from joint runs)"), [error(point) for _, _, point in shown]),
    ]
    return Table("The plan and what it is compared with", columns, _notes(summary, shown))


def _notes(summary: Mapping, shown: list[tuple]) -> list[str]:
    combination = summary["combination"]
    notes = [summary["crossover"], _budget(length_rows(summary))]
    rule = f"(sum error^p)^(1/p), p = {combination['exponent']:.2f}"
    if combination["misfit"] is None:
        notes.append(f"Errors of groups combine as {rule}: assumed, for there was no joint run to fit it on.")
    else:
        notes.append(
            f"Errors of groups combine as {rule}, fitted on {combination['runs']} joint runs: it misses them by "
            f"{percent(combination['misfit'], 1)} %; measured over predicted from {combination['low']:.2f} to "
            f"{combination['high']:.2f}."
        )
    if timed := timed_note(summary):
        notes.append(timed)
    filled = sorted({row["seconds"] for row, _, point in shown if point["predicted_from_flops"]})
    if filled:
        notes.append(f"Time predicted from FLOPs, not measured, at {', '.join(f'{s:g}' for s in filled)} s.")
    return notes


def _budget(rows: list[Mapping]) -> str:
    """What was asked for, in words; by length where it was another at each."""
    for key, words, text in (
        ("max_error", "the fastest with an error of at most", lambda value: f"{percent(value, 2)} %"),
        ("min_speedup", "the least error with a speed-up over dense of at least", lambda value: f"{value:.2f}x"),
    ):
        asked = {row["seconds"]: row["budget"][key] for row in rows if row["budget"][key] is not None}
        if len(set(asked.values())) == 1:
            return f"Chosen: {words} {text(next(iter(asked.values())))}."
        if asked:
            return f"Chosen: {words} {', '.join(f'{text(value)} at {s:g} s' for s, value in asked.items())}."
    return "Chosen: the knee, where the share of time saved most exceeds the share of error that it costs."


def _by_group(row: Mapping) -> Table:
    groups = row["groups"]
    most = max((abs(1e3 * group["saved_seconds"]) for group in groups if group["saved_seconds"] is not None), default=0)
    decimals = 0 if most >= 1000 else 1 if most >= 100 else 2 if most >= 10 else 3

    def number(key: str, decimals: int) -> list[str]:
        return [NOTHING if group[key] is None else f"{group[key]:.{decimals}f}" for group in groups]

    def share(key: str, decimals: int) -> list[str]:
        return [percent(group[key], decimals) for group in groups]

    columns = [
        Column(("block", ""), [brief_group(group["group"]) for group in groups], left=True),
        Column(("sites", ""), [str(group["sites"]) for group in groups]),
        Column(("tried", ""), [brief(group["method"]) if group["method"] else NOTHING for group in groups], left=True),
        Column(("lift", ""), number("lift", 2)),
        Column(("recall", "[%]"), share("recall", 1)),
        Column(("site error", "[%]"), share("local_error", 1)),
        Column(("UNet error", "[%]"), share("error", 2)),
        Column(
            ("saved", "[ms]"),
            [
                NOTHING
                if group["saved_seconds"] is None
                else f"{'~' if group['predicted'] else ''}{1e3 * group['saved_seconds']:.{decimals}f}"
                for group in groups
            ],
        ),
        Column(("verdict", ""), ["sparse" if group["taken"] else "dense" for group in groups], left=True),
    ]
    time, time_unit = formatter(SECONDS, [row["dense_step_seconds"]])
    notes = []
    if any(not group["taken"] for group in groups):
        notes.append("Of a block that stays dense, what saves most for its error is shown.")
    if any(group["predicted"] for group in groups):
        notes.append("~ is predicted from FLOPs, not measured.")
    title = f"At {row['seconds']:g} s, block by block (a dense step: {time(row['dense_step_seconds'])} {time_unit})"
    return Table(title, columns, notes)
