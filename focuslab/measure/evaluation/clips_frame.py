"""The records of an evaluation as a table with a row a clip."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from focuslab.measure.evaluation.items import DENSE, Work
from focuslab.measure.evaluation.metrics import METRICS

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
        the times, "speedup" over the dense clip of the same group that was timed in the same sitting, and a column a
        metric.
    """
    rows = [
        {
            **{name: record.get(name) for name in ("kind", "seconds", "method", "prompt", "sitting", "status")},
            **{name: record.get(name) for name in ("shard", "place")},
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
