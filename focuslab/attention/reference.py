"""LiteFocus by its definition (Tan et al. 2024, arXiv:2407.10468, Eq. 1 to 6): what every fast form is tested against.

Token `n = t * F + f` is time step t of mel row f. A query attends to its focus set: the keys of its own mel row (S) and
sampled keys of all rows (C). `counts[i, j]` says how often key j counts for query i:

    out[i] = sum_j counts[i, j] exp(scale q_i.k_j) v[j] / sum_j counts[i, j] exp(scale q_i.k_j)

`sampled_counts` are those of `SampledFocus`, which samples the own row too.
"""

import torch
from torch import Tensor


def focus_counts(
    tokens: int,
    mel_rows: int,
    cross_keys: Tensor | None = None,
    *,
    same_frequency: bool = True,
    overlap: str = "once",
    cross_weight: float = 1.0,
) -> Tensor:
    """How often each key counts for each query, as float64 `[N, N]`: 0 outside the focus set. See `litefocus_attention`
    for the parameters."""
    row = torch.arange(tokens) % mel_rows
    own = (row[:, None] == row).double()
    sampled = torch.zeros(tokens, dtype=torch.float64)
    if cross_keys is not None:
        sampled[cross_keys.cpu()] = 1
    if overlap == "twice":
        return same_frequency * own + sampled
    return (own if same_frequency else own * sampled) + cross_weight * (1 - own) * sampled


def reference_attention(
    q: Tensor, k: Tensor, v: Tensor, mel_rows: int, *, cross_keys=None, scale: float | None = None, **switches
) -> Tensor:
    """LiteFocus with the whole N x N map, in the dtype of q: give it float64 to compare with.

    Parameters
    ----------
    q, k, v
        `[B, H, N, D]` with N = T * mel_rows.
    cross_keys
        C, a 1-D LongTensor of token indices. None is the own row alone.
    scale
        Factor on the scores, 1/sqrt(D) by default.
    **switches
        `same_frequency`, `overlap` and `cross_weight` as in `litefocus_attention`.

    Returns
    -------
    Tensor
        `[B, H, N, D]`.
    """
    return attention_by_counts(q, k, v, focus_counts(q.shape[2], mel_rows, cross_keys, **switches), scale)


def sampled_counts(tokens: int, mel_rows: int, own_keys: Tensor, other_keys: Tensor) -> Tensor:
    """`focus_counts` of keys sampled of every row: `own_keys` `[F, own]` count T / own times each for the queries of
    their row, `other_keys` `[F, other]` T / other times for those of all other rows."""
    time = tokens // mel_rows
    own, other = (torch.zeros(mel_rows, tokens, dtype=torch.float64) for _ in range(2))
    for counts, keys in ((own, own_keys.cpu()), (other, other_keys.cpu())):
        counts.scatter_add_(1, keys, torch.full(keys.shape, time / keys.shape[1], dtype=torch.float64))
    return (own + other.sum(dim=0) - other)[torch.arange(tokens) % mel_rows]


def attention_by_counts(q: Tensor, k: Tensor, v: Tensor, counts: Tensor, scale: float | None = None) -> Tensor:
    """Attention `[B, H, N, D]` in which key j counts `counts[i, j]` times for query i."""
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    return (scores + counts.to(q).log()).softmax(dim=-1) @ v
