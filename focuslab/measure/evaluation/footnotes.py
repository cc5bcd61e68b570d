"""What has to stand under every table of an evaluation, in sentences."""

from typing import Any

from focuslab.measure.evaluation.items import DENSE
from focuslab.runs import RunInfo
from focuslab.stats.intervals import FEWEST, LEVEL

_NAMED = 5
"""Files that are named; of more, how many."""


def footnotes(info: RunInfo, summary: dict[str, Any]) -> list[str]:
    """summary: all of it but these. Each is one sentence or a few about what was not as a reader would expect."""
    parameters, metrics = info.parameters, summary["metrics"]
    notes = [
        f"{len(info.prompts)} captions, {len(parameters['seeds'])} seed(s) each, {parameters['steps']} steps, "
        f"{info.made_on}.",
        f"low and high: {LEVEL:.0%} bootstrap interval over captions; none with fewer than {FEWEST} captions.",
    ]
    clips = {row["n"] + sum(row["excluded"].values()) for row in summary["rows"]}
    if len(clips) > 1:
        notes.append("A row with a smaller number of clips is of the first captions alone.")
    for about in parameters["embedders"].values():
        notes.append(f"{about['name']}: {about['checkpoint']}; {about['protocol']}.")
    if summary["scorer_is_own"]:
        notes.append(
            "The CLAP that scores is the one that conditions this pipeline, which flatters the pipeline; compare "
            "methods with it, not models."
        )
    if "frechet" in metrics:
        notes.append(
            "The Frechet distance is of CLAP embeddings, not of VGGish's as in FAD: compare it only with itself."
        )
        dimension = parameters["embedders"]["clap"]["dimension"]
        fewest = min(row["n"] for row in summary["rows"])
        if fewest <= dimension:
            notes.append(
                f"The Frechet distance has {fewest} clips for {dimension} dimensions, so it is too large by an amount "
                "that depends on their number: compare only rows of equal n."
            )
    if "kl_softmax" in metrics or "kl_sigmoid" in metrics:
        notes.append(
            f"The KL divergence is of the classes of {parameters['embedders']['ast']['checkpoint']}, not of PANNs' as "
            "in the paper: compare it only with itself."
        )
    against_dense = [m["title"] for m in metrics.values() if m["reference"] == "dense" and m["embedder"]]
    if against_dense:
        notes.append(
            "Without recordings to compare with, these are against the dense clips of the same captions, noise and "
            f"length: {', '.join(against_dense)}. They say how close a method is to dense, not how good either sounds; "
            "the Frechet distance of such pairs is smaller than that of independent sets."
        )
    if stand_ins := info.model.get("stand_ins"):
        notes.append(f"{', '.join(stand_ins)} of this model are stand-ins: its sound means nothing.")
    kl = any(name.startswith("kl_") for name in metrics)
    return [
        *notes,
        *_excluded(summary["rows"]),
        *_not_measured(summary["rows"], metrics),
        *_recordings(summary["reference"], len(info.prompts) if kl else None),
    ]


def _excluded(rows: list[dict[str, Any]]) -> list[str]:
    words = {"nan": "not finite", "silent": "silent"}
    found = [
        f"{row['method']} at {row['seconds']:g} s: "
        + " and ".join(f"{count} {words[status]}" for status, count in row["excluded"].items() if count)
        for row in rows
        if any(row["excluded"].values())
    ]
    return [f"Excluded from every number: {'; '.join(found)}."] if found else []


def _not_measured(rows: list[dict[str, Any]], metrics: dict[str, Any]) -> list[str]:
    """A sentence for each reason; of a metric that was measured of other rows, which rows it is absent from."""
    absent: dict[str, dict[str, list[str]]] = {}
    measured = {name for row in rows for name, found in row["metrics"].items() if found["value"] is not None}
    for row in rows:
        for name, found in row["metrics"].items():
            is_compared_with = row["method"] == DENSE and found["reference"] == DENSE
            if "reason" in found and row["n"] and not is_compared_with:
                places = absent.setdefault(found["reason"], {}).setdefault(name, [])
                places += [f"{row['method']} at {row['seconds']:g} s"] if name in measured else []
    return [
        f"Not measured, since {reason}: "
        + "; ".join(metrics[name]["title"] + (f" of {', '.join(at)}" if at else "") for name, at in names.items())
        + "."
        for reason, names in absent.items()
    ]


def _recordings(reference: dict[str, Any] | None, captions: int | None) -> list[str]:
    """captions: how many there are, where a metric needs the recording of each."""
    if reference is None:
        return []
    notes = [f"Reference: {reference['scored']} of the {reference['files']} entries of {reference['directory']}."]
    if captions is not None:
        notes.append(
            f"{reference['paired']} of {captions} captions have a recording of their own; the KL divergence is of "
            "these alone."
        )
    if reference["resampled"]:
        notes.append(f"{reference['resampled']} recordings were resampled to the pipeline's rate.")
    if reference["silent"]:
        notes.append(f"{reference['silent']} recordings are silent and were left out.")
    if reference["unreadable"]:
        named = "; ".join(reference["unreadable"][:_NAMED])
        more = len(reference["unreadable"]) - _NAMED
        notes.append(
            f"{len(reference['unreadable'])} entries were left out: {named}{f'; and {more} more' if more > 0 else ''}."
        )
    return notes
