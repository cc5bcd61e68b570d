"""What every metric asks of its arrays."""

from typing import Any

import numpy as np

from focuslab.errors import InputError


def rows(values: Any, name: str, at_least: int = 1) -> np.ndarray:
    """`values` as float64 `[N, D]`. Raises `InputError` for other shapes, fewer than `at_least` rows, NaN, infinity."""
    array = _floats(values, name)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"{name} has shape {list(array.shape)}, expected [N, D]: one row of D numbers a clip")
    if len(array) < at_least:
        raise InputError(f"{name} has {len(array)} rows and this metric needs {at_least} or more: give more clips")
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinity: leave out the clips that failed and say how many")
    return array


def pairs(first: Any, second: Any, first_name: str, second_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 `[N, D]` of one shape, row i of one belonging to row i of the other. Raises `InputError`."""
    one, other = rows(first, first_name), rows(second, second_name)
    if one.shape != other.shape:
        raise InputError(
            f"{first_name} has shape {list(one.shape)} and {second_name} {list(other.shape)}, expected the same: row i "
            "of both belongs to one caption"
        )
    return one, other


def same_width(first: np.ndarray, second: np.ndarray) -> None:
    """Raises `InputError` for rows from spaces of different dimension."""
    if first.shape[-1] != second.shape[-1]:
        raise InputError(
            f"embeddings of {first.shape[-1]} and of {second.shape[-1]} dimensions cannot be compared: embed both "
            "sets with the same checkpoint"
        )


def waveforms(values: Any, name: str = "waveforms") -> np.ndarray:
    """Sound as floating-point `[B, samples]`, full scale at 1. Raises `InputError`."""
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name} holds {array.dtype}, expected floating-point samples with full scale at 1: divide")
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"{name} has shape {list(array.shape)}, expected [B, samples]: one row a clip, one channel")
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinity: leave out the clips that failed and say how many")
    return array


def _floats(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} is no array of numbers, expected [N, D]: one row of D numbers a clip") from None
