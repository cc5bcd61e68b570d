"""A run's summary as text: tables for the terminal and the same tables in GitHub's markdown.

Needs the standard library only. Also holds what figures and tables of a profile share: checked rows, and the order of
methods.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from focuslab.errors import InputError
from focuslab.runs import PROFILE_SCHEMA, check_summary, skipped_in_words
from focuslab.tables.attention_rows import attention_rows, fractions_of
from focuslab.tables.text import (
    NOT_MEASURED,
    NOTHING,
    Column,
    Table,
    at_lengths,
    formatter,
    in_markdown,
    in_terminal,
    percent,
    times,
)

SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
LONG_SECONDS = ((60.0, "min"), *SECONDS[:2])
BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
FLOPS = ((1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1.0, "FLOP"))


def profile_table(summary: Mapping) -> str:
    """The tables of a profile for a terminal: plain text, aligned, at most `WIDTH` columns, no newline at the end.

    `summary` is a profile's summary.json as a dict. Raises `InputError` where it is none or holds no row.
    """
    return in_terminal(profile_tables(summary))


def profile_markdown(summary: Mapping) -> str:
    """The same tables and notes as `profile_table`, in GitHub's markdown."""
    return in_markdown(profile_tables(summary))


def attention_table(summary: Mapping) -> str:
    """The tables of a capture for a terminal, a row a block and length: numbers, then verdicts in words.

    `summary` is a capture's summary.json as a dict. Raises `InputError` where it is none or holds no row.
    """
    return in_terminal(attention_tables(summary))


def attention_markdown(summary: Mapping) -> str:
    """The same tables and notes as `attention_table`, in GitHub's markdown."""
    return in_markdown(attention_tables(summary))


def summary_rows(summary: Mapping) -> list[Mapping]:
    """The checked rows of a profile's summary. Raises `InputError` where it is none or holds no row."""
    check_summary(summary, PROFILE_SCHEMA, "a profile")
    return checked_rows(summary.get("rows"))


def checked_rows(rows: Iterable[Mapping] | None) -> list[Mapping]:
    """The rows, sorted by length and within it by `methods_of`.

    Raises `InputError` where there is none, where one lacks what every row has (length, method, positive step time),
    or where a method stands twice at one length.
    """
    rows = list(rows or ())
    if not rows:
        raise InputError("the profile holds no measured row: expected at least one method at one length")
    seen = set()
    for row in rows:
        method = row.get("method")
        if not isinstance(method, str) or not method:
            raise InputError(f"a row of the profile has no method: expected a label, got {method!r}")
        for key in ("seconds", "step_seconds_median"):
            value = row.get(key)
            if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
                raise InputError(f"a row of the profile ({method}) has {key} {value!r}: expected a positive number")
        if (row["seconds"], method) in seen:
            raise InputError(f"the profile holds {method} at {row['seconds']:g} s twice: expected one row each")
        seen.add((row["seconds"], method))
    order = {method: i for i, method in enumerate(methods_of(rows))}
    return sorted(rows, key=lambda row: (row["seconds"], order[row["method"]]))


def methods_of(rows: Iterable[Mapping]) -> list[str]:
    """The methods of the rows: dense first, bound last, between them in the order in which they first stand."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    return sorted(methods, key=lambda method: (is_bound(method), method != "dense"))


def is_bound(method: str) -> bool:
    """Whether a label is the bound, which is a reference and no method."""
    return method.split(":")[0] == "bound"


def dense_seconds(rows: Iterable[Mapping]) -> dict[float, float]:
    """Audio length in seconds -> median step time of dense in seconds."""
    return {row["seconds"]: row["step_seconds_median"] for row in rows if row["method"] == "dense"}


def missing_rows(rows: Sequence[Mapping]) -> str:
    """Which methods have no row at which lengths, in words, e.g. "naive at 80, 160 s"; "" where none is missing."""
    have = {(row["seconds"], row["method"]) for row in rows}
    lengths = sorted({row["seconds"] for row in rows})
    return at_lengths((m, s) for m in methods_of(rows) for s in lengths if (s, m) not in have)


def profile_tables(summary: Mapping) -> list[Table]:
    tables = [_step_table(summary)]
    if summary.get("stages"):
        tables.append(_stage_table(summary["stages"]))
    return tables


def _step_table(summary: Mapping) -> Table:
    rows = summary_rows(summary)
    dense = dense_seconds(rows)
    steps = summary.get("projected_steps")
    time, time_unit = formatter(
        SECONDS, (r.get(k) for r in rows for k in ("step_seconds_median", "step_seconds_p10", "step_seconds_p90"))
    )
    memory, memory_unit = formatter(BYTES, (r.get(k) for r in rows for k in ("peak_bytes", "predicted_peak_bytes")))
    flops, flops_unit = formatter(FLOPS, (r.get("flops_per_step") for r in rows))
    long, long_unit = formatter(LONG_SECONDS, (r.get("generation_seconds_projected") for r in rows))

    def spread(row: Mapping) -> str:
        low, high = row.get("step_seconds_p10"), row.get("step_seconds_p90")
        between = f" ({time(low)}..{time(high)})" if low is not None and high is not None else ""
        return time(row["step_seconds_median"]) + between

    def ideal(row: Mapping) -> str:
        seconds = row.get("ideal_seconds")
        return times(dense[row["seconds"]] / seconds if seconds and row["seconds"] in dense else None)

    def peak(row: Mapping) -> str:
        if row.get("peak_bytes") is None and row.get("predicted_peak_bytes") is not None:
            return f"~{memory(row['predicted_peak_bytes'])}"
        return memory(row.get("peak_bytes"))

    def share(row: Mapping) -> str:
        kinds = ((row.get(key) or {}).get("self_attention") for key in ("kind_share", "kind_flop_share"))
        return " / ".join(percent(value, 1) for value in kinds)

    columns = [
        Column(("length", "[s]"), [f"{row['seconds']:g}" for row in rows]),
        Column(("method", ""), [row["method"] for row in rows], left=True),
        Column((f"step time [{time_unit}]", "median (p10..p90)"), [spread(row) for row in rows]),
        Column(("speed-up", "vs dense"), [times(row.get("speedup_vs_dense")) for row in rows]),
        Column(("ideal", "speed"), [ideal(row) for row in rows]),
        Column(("of", "ideal"), [percent(row.get("share_of_ideal"), 0, " %") for row in rows]),
        Column(("peak", f"[{memory_unit}]"), [peak(row) for row in rows]),
        Column((flops_unit, "/step"), [flops(row.get("flops_per_step")) for row in rows]),
        Column(("self-att. [%]", "time / FLOPs"), [share(row) for row in rows]),
        Column(
            (f"{steps} st." if steps else "whole", f"[{long_unit}]"),
            [long(row.get("generation_seconds_projected")) for row in rows],
        ),
    ]
    return Table("Denoising, per step", columns, _step_notes(summary, rows, dense))


def _step_notes(summary: Mapping, rows: Sequence[Mapping], dense: Mapping[float, float]) -> list[str]:
    def lacking(key: str, among: Iterable[Mapping] = rows) -> str:
        return at_lengths((row["method"], row["seconds"]) for row in among if row.get(key) is None)

    notes = skipped_in_words(summary.get("skipped") or ())
    if any(is_bound(row["method"]) for row in rows):
        notes.append("bound: the time if the attention core of the chosen sites cost nothing; a reference, no method.")
    if any(row.get("ideal_seconds") is not None for row in rows):
        notes.append("ideal: bound + density x (dense - bound); at 100 % only fewer pairs can be faster.")
    sparse = [r for r in rows if not is_bound(r["method"]) and (r.get("kept_pairs") or 1) < 1]
    others = [row for row in rows if row["method"] != "dense"]
    unideal = [(r["method"], r["seconds"]) for r in sparse if not r.get("ideal_seconds") or r["seconds"] not in dense]
    undensed = [row for row in others if row["seconds"] not in dense]
    for what, where in (
        ("no row (refused, stopped or left out)", missing_rows(rows)),
        ("spread of the step time", lacking("step_seconds_p10")),
        ("speed-up (needs dense at the same length)", lacking("speedup_vs_dense", undensed)),
        ("speed-up", lacking("speedup_vs_dense", [row for row in others if row["seconds"] in dense])),
        ("ideal (needs dense and bound at the same length)", at_lengths(unideal)),
        ("FLOPs", lacking("flops_per_step")),
        ("share of kinds in time", lacking("kind_share")),
        ("share of kinds in FLOPs", lacking("kind_flop_share")),
    ):
        if where:
            notes.append(f"Not measured, {what}: {where}.")
    if held := [row["held_bytes"] for row in rows if row.get("held_bytes") is not None]:
        number, unit = formatter(BYTES, held)
        notes.append(f"peak: what a step needs above what is held before it, at most {number(max(held))} {unit}.")
    if any(row.get("peak_bytes") is not None and row.get("held_bytes") is None for row in rows):
        notes.append("peak: all that the process held, weights included, in runs of earlier versions.")
    unmeasured = [row for row in rows if row.get("peak_bytes") is None]
    if unmeasured:
        predicted = any(row.get("predicted_peak_bytes") is not None for row in unmeasured)
        tilde = "; ~ is predicted" if predicted else ""
        notes.append(f"Not measured, peak memory{tilde}: {lacking('peak_bytes')}.")
    projected = lacking("generation_seconds_projected")
    if any(row.get("generation_seconds_projected") is not None for row in rows):
        steps = summary.get("projected_steps")
        whole = f"a whole generation of {steps} steps" if steps else "a whole generation"
        notes.append(f"The last column is {whole}, projected from the measured steps, not run.")
    if projected:
        notes.append(f"Not projected, a whole generation: {projected}.")
    if summary.get("shares_of_eager"):
        notes.append("Step times are of the compiled UNet. Shares of time are of the same UNet running eagerly.")
    over = summary.get("instrumented_over_plain")
    if over is None:
        notes.append("Not measured, the cost of the timers.")
    else:
        notes.append(f"A step with timers takes {over:.3f} times a plain one.")
    return notes


def _stage_table(stages: Sequence[Mapping]) -> Table:
    time, unit = formatter(SECONDS, (stage.get("stage_seconds_median") for stage in stages))
    columns = [
        Column(("length", "[s]"), [f"{stage['seconds']:g}" for stage in stages]),
        Column(("stage", ""), [str(stage["stage"]) for stage in stages], left=True),
        Column(
            ("time", f"[{unit}]"),
            [
                NOT_MEASURED if stage.get("stage_seconds_median") is None else time(stage["stage_seconds_median"])
                for stage in stages
            ],
        ),
    ]
    said: dict[str, list[tuple[str, float]]] = {}
    for stage in stages:
        note = stage.get("note")
        if note is None and stage.get("stage_seconds_median") is None:
            note = f"{NOT_MEASURED}: no reason was given"
        if note is not None:
            said.setdefault(" ".join(str(note).split()), []).append((str(stage["stage"]), stage["seconds"]))
    return Table("Other stages", columns, [f"{at_lengths(where)}: {note}" for note, where in said.items()])


def attention_tables(summary: Mapping) -> list[Table]:
    rows = attention_rows(summary)
    length = Column(("length", "[s]"), [f"{row['seconds']:g}" for row in rows])
    block = Column(("block", ""), [row["name"] for row in rows], left=True)

    def lift(row: Mapping) -> str:
        low, high = row["lift_low"], row["lift_high"]
        return _number(row["lift"], 2) + ("" if low is None else f" ({low:.2f}..{high:.2f})")

    def growth(row: Mapping) -> str:
        own, uniform = row.get("entropy_growth"), row.get("uniform_growth")
        return NOTHING if None in (own, uniform) else f"{own:+.2f}/{uniform:+.2f}"

    columns = [
        length,
        block,
        Column(("grid", "T x F"), [f"{row['time']} x {row['mel_rows']}" for row in rows]),
        Column(
            ("mass/chance", "[%]"),
            [f"{percent(row['same_frequency_mass'], 1)}/{percent(row['chance'], 1)}" for row in rows],
        ),
        Column(("lift", "(interval)"), [lift(row) for row in rows]),
        Column(("best", "head"), [_number(row["best_head_lift"], 2) for row in rows]),
        Column(("entropy grew", "own/uniform"), [growth(row) for row in rows]),
    ]
    for r in fractions_of(rows):
        cells = [f"{percent(row['recall'].get(r), 0)}/{percent(row['output_error'].get(r), 0)}" for row in rows]
        columns.append(Column((f"r={r}", "[%]"), cells))
    in_words = [length, block, Column(("verdict", ""), [row["verdict"] for row in rows], left=True, words=True)]
    return [
        Table("Same-frequency attention, by block", columns, _attention_notes(summary, rows)),
        Table("In words", in_words, []),
    ]


def _attention_notes(summary: Mapping, rows: Sequence[Mapping]) -> list[str]:
    interval = summary["interval"]
    notes = skipped_in_words(summary.get("skipped") or ())
    if any(row["lift"] is not None for row in rows):
        prompts = ", ".join(str(n) for n in sorted({row["prompts"] for row in rows}))
        notes.append(
            f"Lift: mass over chance; interval: {interval['level']:.0%}, bootstrap over prompts ({prompts} of them)."
        )
    else:
        notes.append("Not measured, same-frequency mass.")
    if interval["note"]:
        notes.append(f"Interval: {interval['note']}.")
    if fractions_of(rows):
        notes.append("r: recall/output error with LiteFocus at one site alone, mean over the sites of the block.")
    training = f"the training length of {summary['training_seconds']:g} s"
    if all(row["entropy"] is None for row in rows):
        notes.append("Not measured, entropy.")
    elif summary["training_length"] is None:
        notes.append(f"Not known, how entropy grew: no measured length is near {training}.")
    else:
        notes.append(
            f"Entropy grew, in nats, since {summary['training_length']:g} s, which stands for {training}; beside it, "
            "what uniform attention would have."
        )
    if "unfused" in (summary.get("log_sum_exp") or ""):
        notes.append("Recorded without a fused kernel: none of this torch returns log-sum-exps for these heads.")
    over = summary["capture_over_plain"]
    notes.append(
        "Not measured, the cost of recording."
        if over is None
        else f"All steps together took {over:.3f} times what plain ones would have."
    )
    return notes


def _number(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else f"{value:.{decimals}f}"
