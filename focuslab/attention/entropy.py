"""Entropy of attention from its log-sum-exp, without the map."""

import math

import torch
from torch import Tensor

from focuslab.attention.kernels import attention_with_lse
from focuslab.attention.mass import check_q_k, nan_where_not_finite, wide_dtype


@torch.no_grad()
def attention_entropy(q: Tensor, k: Tensor, *, scale: float | None = None) -> Tensor:
    """Entropy of each query's attention in nats, `lse - scale * q . (softmax(Q K^T) K)`. No gradient.

    It is computed in float64 where the device has it, which takes the time of several dense passes. Where a rounding of
    1e-4 does no harm, `entropy_from_lse` takes a dense pass in float32.

    Parameters
    ----------
    q, k
        `[B, H, N, D]`.
    scale
        Factor on the scores, 1/sqrt(D) by default.

    Returns
    -------
    Tensor
        `[B, H, N]` from 0 to log N, in the dtype of `same_frequency_mass`.
    """
    scale = check_q_k(q, k, 1, scale)
    wide = wide_dtype(q)
    # A log-sum-exp and a mean score, each rounded by itself: in float32 off by some 1e-5 from scores of 8 on.
    precise = precise_dtype(q.device)
    precise_q, precise_k = q.to(precise), k.to(precise)
    mean_key, lse = attention_with_lse(precise_q, precise_k, precise_k, scale=scale)
    return entropy_from_lse(precise_q, mean_key, lse, scale).to(wide) + nan_where_not_finite(q, k)


def entropy_from_lse(q: Tensor, mean_key: Tensor, lse: Tensor, scale: float) -> Tensor:
    """Entropy `[B, H, N]` in nats from the mean key `softmax(Q K^T) K` `[B, H, N, D]` and the log-sum-exp."""
    mean_score = scale * (q.to(lse.dtype) * mean_key.to(lse.dtype)).sum(dim=-1)
    return (lse - mean_score).clamp(0, math.log(q.shape[2]))


def precise_dtype(device: torch.device) -> torch.dtype:
    """float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
