"""From the records and embeddings of an evaluation to its table: one length and method after the other."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from focuslab.measure.evaluation.along import along_clip, breaks_from
from focuslab.measure.evaluation.config import FEWEST as FEWEST_CLIPS
from focuslab.measure.evaluation.config import METRICS
from focuslab.measure.evaluation.estimates import KERNEL_GAMMA, RATIOS, Estimate, Estimator, Recordings
from focuslab.measure.evaluation.footnotes import footnotes
from focuslab.measure.evaluation.items import DENSE, Work, sitting_of
from focuslab.measure.evaluation.scorer import NAN, SCORED, SILENT
from focuslab.measure.evaluation.shards import ShardReader
from focuslab.runs import EVALUATION_SCHEMA, RunInfo
from focuslab.stats.intervals import FEWEST, bootstrap_interval

_BACK: dict[str, Callable[[float], float]] = {
    **dict.fromkeys(RATIOS, math.exp),
    # An interval of a squared distance that is symmetrical may begin below 0.
    "frechet": lambda distance: max(distance, 0.0),
}


def evaluation_summary(
    info: RunInfo,
    records: Iterable[dict[str, Any]],
    work: Work,
    stored: ShardReader,
    training_seconds: float | None = None,
) -> dict:
    """The content of summary.json (see the design); rows of fewer captions than others have a smaller `n`.

    training_seconds: the length that the model was trained at, where it is known.
    """
    records = list(records)
    references = {record["index"]: record for record in records if record["kind"] == "reference"}
    clips = clips_frame((r for r in records if r["kind"] != "reference"), work, sitting_of(info.parameters["methods"]))
    table = _Table(info, clips, references, work, stored)
    statuses = clips["status"].value_counts()
    summary = {
        "schema": EVALUATION_SCHEMA,
        "rows": [row for s in work.seconds for method in work.methods if (row := table.row(s, method))],
        "metrics": {name: table.description(name) for name in table.metrics},
        "reference": table.reference_facts(),
        "breaks": breaks_from(table.dense_clips(), work.seconds, training_seconds),
        "items": {"total": len(clips), **{status: int(statuses.get(status, 0)) for status in (SCORED, NAN, SILENT)}},
        "scorer_is_own": bool(info.parameters["embedders"].get("clap", {}).get("own")),
        "scoring_over_generating": float(clips["scoring_seconds"].sum() / clips["generation_seconds"].sum()),
    }
    return {**summary, "footnotes": footnotes(info, summary)}


class _Table:
    """Rows of numbers out of clips."""

    def __init__(self, info: RunInfo, clips: pd.DataFrame, references: dict[int, Any], work: Work, stored: ShardReader):
        self.parameters = info.parameters
        self.clips = clips
        self.references = references
        self.work = work
        self.metrics: tuple[str, ...] = tuple(info.parameters["metrics"])
        self.recordings: Recordings | None = None
        if (given := self.parameters["reference"]) is not None:
            scored = {i: (r["shard"], r["place"]) for i, r in sorted(references.items()) if r["status"] == SCORED}
            self.recordings = Recordings(scored, [i if i in scored else None for i in given["paired"]])
        self.estimator = Estimator(clips, work, stored, self.recordings)

    def against(self, name: str) -> str | None:
        """What a metric is compared with here: "directory", "dense" or nothing."""
        against = METRICS[name].against
        if against != "reference":
            return against
        return DENSE if self.recordings is None else "directory"

    def lacking(self, name: str, method: str) -> str | None:
        """Why a metric cannot be measured of a method here; None where it can be."""
        against = self.against(name)
        if against == DENSE and DENSE not in self.work.methods:
            return "the run has no dense clips to compare with"
        if against == DENSE and method == DENSE:
            return "dense is what others are compared with"
        if self.recordings is None or against != "directory":
            return None
        if METRICS[name].embedder == "ast" and all(index is None for index in self.recordings.paired):
            return "no caption names a recording of the reference that could be scored"
        if METRICS[name].embedder != "ast" and len(self.recordings.places) < 2:
            return f"{len(self.recordings.places)} recordings of the reference could be scored: expected 2 or more"
        return None

    def description(self, name: str) -> dict[str, Any]:
        metric = METRICS[name]
        embedder = self.parameters["embedders"].get(metric.embedder, {})
        return {
            **{key: getattr(metric, key) for key in ("title", "unit", "better")},
            "embedder": embedder.get("name", metric.embedder),
            "checkpoint": embedder.get("checkpoint"),
            "protocol": _protocol(name, embedder.get("protocol"), self.against(name)),
            "reference": self.against(name),
        }

    def row(self, seconds: float, method: str) -> dict[str, Any] | None:
        """One row of the table; None where no clip of it was made."""
        clips = self.clips[(self.clips["seconds"] == seconds) & (self.clips["method"] == method)]
        if clips.empty:
            return None
        scored = clips[clips["status"] == SCORED]
        return {
            "seconds": seconds,
            "method": method,
            "n": len(scored),
            "excluded": {status: int((clips["status"] == status).sum()) for status in (NAN, SILENT)},
            **_speed(clips),
            **{name: float(clips[name].sum()) for name in TIMES[1:]},
            "metrics": {name: self._metric(name, scored, method) for name in self.metrics},
            "along": along_clip(scored, seconds),
        }

    def dense_clips(self) -> pd.DataFrame:
        """Those that could be scored."""
        return self.clips[(self.clips["method"] == DENSE) & (self.clips["status"] == SCORED)]

    def reference_facts(self) -> dict[str, Any] | None:
        given = self.parameters["reference"]
        if given is None or self.recordings is None:
            return None
        found = self.references.values()
        late = [f"{r['file']} ({r['reason']})" for r in found if r["status"] == "unreadable"]
        return {
            "directory": given["directory"],
            "files": len(given["files"]) + len(given["unreadable"]),
            "scored": len(self.recordings.places),
            "resampled": sum(bool(r.get("resampled")) for r in found),
            "unreadable": [*given["unreadable"], *late],
            "silent": sum(r["status"] == SILENT for r in found),
            "paired": sum(index is not None for index in self.recordings.paired),
        }

    def _metric(self, name: str, scored: pd.DataFrame, method: str) -> dict[str, Any]:
        about = {key: self.description(name)[key] for key in ("embedder", "checkpoint", "protocol", "reference")}
        reason = self.lacking(name, method)
        found = Estimate(None, None, 0) if reason else self.estimator.estimate(name, scored)
        if found.value is None:
            expected = f"expected {FEWEST_CLIPS.get(name, 1)} or more"
            reason = reason or f"only {found.count} clips can be measured: {expected}"
            return {**found.to_json(), **about, "minus_dense": None, "reason": reason}
        minus_dense = None
        if self.against(name) != DENSE and method != DENSE and DENSE in self.work.methods:
            minus_dense = self._minus_dense(name, found, scored)
        return {**found.to_json(_BACK.get(name, float)), **about, "minus_dense": minus_dense}

    def _minus_dense(self, name: str, found: Estimate, scored: pd.DataFrame) -> dict[str, Any]:
        """The difference to dense, of the clips whose noise both could make a clip of."""
        dense = self.estimator.scored(scored["seconds"].iloc[0], DENSE)
        mine, of_dense = scored[scored["group"].isin(dense["group"])], dense[dense["group"].isin(scored["group"])]
        if len(mine) < len(scored):
            found = self.estimator.estimate(name, mine)
        return (found - self.estimator.estimate(name, of_dense)).to_json()


def _speed(clips: pd.DataFrame) -> dict[str, float | None]:
    taken = clips["step_seconds"].to_numpy()
    row = {
        "step_seconds_median": float(np.median(taken)),
        "step_seconds_p10": float(np.percentile(taken, 10)),
        "step_seconds_p90": float(np.percentile(taken, 90)),
        **dict.fromkeys(("speedup_vs_dense", "speedup_low", "speedup_high")),
    }
    # Both numbers of a pair were taken one after the other, by the same process.
    ratios = clips["speedup"].dropna().to_numpy()
    if len(ratios):
        row["speedup_vs_dense"] = float(np.median(ratios))
    if len(ratios) >= FEWEST:
        row["speedup_low"], row["speedup_high"] = bootstrap_interval(ratios, np.median)
    return row


def _protocol(name: str, windows: str | None, against: str | None) -> str:
    beside = {
        "directory": "the recordings of --reference",
        DENSE: "the dense clip of the same caption, noise and length",
        None: None,
    }[against]
    a_window = "one window a clip, mean over the choice of the window"
    how = {
        "frechet": f"{a_window}; squared",
        "kernel": f"{a_window}; kernel ({KERNEL_GAMMA:g} x.y + 1)^3, unbiased",
        "kl_softmax": "KL(expected || generated), posteriors averaged over windows, paired by caption",
        "kl_sigmoid": "KL(expected || generated) of every class by itself, averaged over windows, paired by caption",
        "clap": "cosine of the mean of the windows' rows and the caption's row",
        "log_mel_l1": "mean difference of natural log-mel spectrograms of 64 bands at 16 kHz",
        "silence_share": "frames of 50 ms below -60 dB of full scale",
        "clipping_share": "samples at full scale of a 16-bit file",
    }.get(name, "")
    return "; ".join(part for part in (how, f"against {beside}" if beside else "", windows) if part)


TIMES = ("step_seconds", "generation_seconds", "scoring_seconds")
_KEY = ["group", "method"]


def clips_frame(records: Iterable[dict[str, Any]], work: Work, sitting: str) -> pd.DataFrame:
    """What the records say of each clip.

    Parameters
    ----------
    records : iterable of dict
        Those of clips ("item"), and of dense clips that were timed again ("timing").
    work : Work
        It holds all of them.
    sitting : str
        Of several times of one clip those count that were taken in this sitting, or else the first.

    Returns
    -------
    DataFrame
        With "seconds", "method", "group" (the place of its noise in the work), "prompt", "status", "shard", "place",
        "along", the times, "speedup" over the dense clip of the same group that was timed in the same sitting, and a
        column a metric.
    """
    rows = [
        {
            **{name: record.get(name) for name in ("kind", "seconds", "method", "prompt", "sitting", "status")},
            **{name: record.get(name) for name in ("shard", "place", "along")},
            **{name: record.get(name, np.nan) for name in TIMES},
            **dict.fromkeys(METRICS, np.nan),
            **record.get("values", {}),
            "group": work.number_of(record) // len(work.methods),
        }
        for record in records
    ]
    frame = pd.DataFrame(rows)
    dense = frame[frame["method"] == DENSE].drop_duplicates(["group", "sitting"], keep="last")
    dense = dense[["group", "sitting", "step_seconds"]].rename(columns={"step_seconds": "of_dense"})
    frame = frame.merge(dense, "left", ["group", "sitting"])
    frame["speedup"] = frame["of_dense"] / frame["step_seconds"]
    ours = frame[frame["sitting"] == sitting].drop_duplicates(_KEY, keep="last")
    timed = pd.concat([ours, frame.drop_duplicates(_KEY)]).drop_duplicates(_KEY)[[*_KEY, *TIMES, "speedup"]]
    items = frame[frame["kind"] == "item"].drop(columns=[*TIMES, "speedup"])
    return items.merge(timed, "left", _KEY)
