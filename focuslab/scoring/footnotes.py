"""What has to stand under every table of an evaluation, in sentences."""

from typing import Any

from focuslab.analyzers.intervals import FEWEST, LEVEL
from focuslab.records import RunInfo

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
            "Without recordings to compare with, these are against the dense sound of the same captions, noise and "
            f"length: {', '.join(against_dense)}. They say how close a method is to dense, not how good either sounds; "
            "the Frechet distance of such pairs is smaller than that of independent sets."
        )
        if not any(row["method"] == "dense" for row in summary["rows"]):
            notes.append("There is no dense sound in this run, so these were not measured.")
    if stand_ins := info.model.get("stand_ins"):
        notes.append(f"{', '.join(stand_ins)} of this model are stand-ins: its sound means nothing.")
    return notes + _excluded(summary["rows"]) + _recordings(summary["reference"])


def _excluded(rows: list[dict[str, Any]]) -> list[str]:
    words = {"nan": "not finite", "silent": "silent"}
    found = [
        f"{row['method']} at {row['seconds']:g} s: "
        + " and ".join(f"{count} {words[status]}" for status, count in row["excluded"].items() if count)
        for row in rows
        if any(row["excluded"].values())
    ]
    return [f"Excluded from every number: {'; '.join(found)}."] if found else []


def _recordings(reference: dict[str, Any] | None) -> list[str]:
    if reference is None:
        return []
    notes = [f"Reference: {reference['scored']} of {reference['files']} recordings in {reference['directory']}."]
    if reference["resampled"]:
        notes.append(f"{reference['resampled']} recordings were resampled to the pipeline's rate.")
    if reference["silent"]:
        notes.append(f"{reference['silent']} recordings are silent and were left out.")
    if reference["unreadable"]:
        named = "; ".join(reference["unreadable"][:_NAMED])
        more = len(reference["unreadable"]) - _NAMED
        notes.append(
            f"{len(reference['unreadable'])} recordings cannot be read and were left out: {named}"
            f"{f'; and {more} more' if more > 0 else ''}."
        )
    return notes
