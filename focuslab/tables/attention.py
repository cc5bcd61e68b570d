"""The tables of a capture: same-frequency attention by block and by site, and what it means in words."""

from collections.abc import Iterator, Mapping, Sequence

from focuslab.runs import skipped_in_words
from focuslab.tables.attention_rows import attention_rows, fractions_of
from focuslab.tables.table import Column, Table, labels, numbers, seconds_of, words


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

    grown = [None not in (row.get("entropy_growth"), row.get("uniform_growth")) for row in rows]
    columns = [
        seconds_of(rows),
        labels("where", of("name")),
        words("grid\nT x F", [f"{row['time']} x {row['mel_rows']}" for row in rows]),
        numbers("mass", of("same_frequency_mass"), ".1f", "%", factor=100),
        numbers("chance", of("chance"), ".1f", "%", factor=100),
        numbers("lift", of("lift"), low=of("lift_low"), high=of("lift_high")),
        numbers("best\nhead", of("best_head_lift")),
        numbers(
            "entropy\ngrew", [row["entropy_growth"] if g else None for row, g in zip(rows, grown, strict=True)], "+.2f"
        ),
        numbers(
            "uniform\ngrew", [row["uniform_growth"] if g else None for row, g in zip(rows, grown, strict=True)], "+.2f"
        ),
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
