"""From a statistic of all clips to one value a clip or group: what intervals are made of.

Source: Tukey's pseudo-values; Efron and Tibshirani 1993, "An Introduction to the Bootstrap", 11.5.
"""

from typing import Any

import numpy as np


def pseudo_values(estimate: float, without: Any) -> np.ndarray:
    """`[n]` values whose mean is `estimate` and whose standard error is the jackknife's.

    without: the estimate `[n]` without each of n clips, or groups of clips of about the same size, in turn. The mean is
    that of all clips, not the jackknife's own, which also corrects a bias that two methods have alike.
    """
    without = np.asarray(without, dtype=float)
    return estimate + (len(without) - 1) * (without.mean() - without)
