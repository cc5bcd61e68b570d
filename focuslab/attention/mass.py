"""Where attention goes, exactly and without the N x N map.

With `lse_A = logsumexp_{j in A} scale * q . k_j`, the softmax mass of a query on a set A of keys is
`exp(lse_A - lse_all)`. Two roads lead there, each in O(N) memory:

* log-sum-exps: split all keys into sets A, B, ...: one fused call a set, N x N query-key pairs in all, and the masses
  are the softmax over the sets' log-sum-exps. Taken where a fused kernel returns its log-sum-exp.
* one-hot values: `softmax(Q K^T) onehot` is the mass itself. Taken where no kernel does, and to check the other road.

The public functions never form `exp(lse_A - lse_all)` from two separate passes: float32 kernels round a score of 50 by
up to 1e-5, each pass in its own way, and the mass near 1 would take that error in full. Where a dense pass has been
made anyhow its log-sum-exp is free, and `mass_from_lse` gives the mass of a set for the share of pairs in it (`rows`):
to average over many queries that costs less, and a recorder does it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.attention.kernels import attention_with_lse, check_qkv, lse_kernel
from focuslab.attention.keys import CrossKeys
from focuslab.attention.rows import partition, select
from focuslab.errors import InputError

ONE_HOT_WIDTH = 128
"""Columns of one-hot values in one call: queries and keys are padded with zeros to this width."""


@torch.no_grad()
def same_frequency_mass(q: Tensor, k: Tensor, mel_rows: int, *, scale: float | None = None) -> Tensor:
    """Softmax mass of each query on the keys of its own mel row, `exp(lse_own - lse_all)`. No gradient.

    Parameters
    ----------
    q, k
        `[B, H, N, D]` with N = T * mel_rows, token `n = t * mel_rows + f`.
    mel_rows
        F.
    scale
        Factor on the scores, 1/sqrt(D) by default.

    Returns
    -------
    Tensor
        `[B, H, N]` from 0 to 1, float32, or float64 for float64. Uniform attention gives 1 / mel_rows.

    Raises
    ------
    InputError
        For shapes or dtypes that do not fit.
    """
    scale = check_q_k(q, k, mel_rows, scale)
    row = torch.arange(q.shape[2], device=q.device) % mel_rows
    return _at_own_row(_mass_by_label(q, k, row, mel_rows, scale), mel_rows) + nan_where_not_finite(q, k)


@torch.no_grad()
def mass_by_label(q: Tensor, k: Tensor, labels: Tensor, n_labels: int, *, scale: float | None = None) -> Tensor:
    """Softmax mass of each query on the keys of each label, `softmax(scale * Q K^T) onehot(labels)`. No gradient.

    Parameters
    ----------
    q, k
        `[B, H, N, D]`.
    labels
        LongTensor `[N]`, the label of each key from 0 to n_labels - 1. A label without keys has mass 0.
    n_labels
        How many labels there are.
    scale
        Factor on the scores, 1/sqrt(D) by default.

    Returns
    -------
    Tensor
        `[B, H, N, n_labels]`, which sums to 1 over the labels, in the dtype of `same_frequency_mass`.

    Raises
    ------
    InputError
        For shapes, dtypes or labels that do not fit.
    """
    scale = check_q_k(q, k, 1, scale)
    if labels.ndim != 1 or labels.dtype != torch.long or labels.shape[0] != q.shape[2]:
        raise InputError(
            f"labels must be a LongTensor with a label for each of the {q.shape[2]} keys, "
            f"not {labels.dtype} {list(labels.shape)}"
        )
    if n_labels < 1:
        raise InputError(f"n_labels must be at least 1, not {n_labels}")
    low, high = labels.min().item(), labels.max().item()
    if low < 0 or high >= n_labels:
        raise InputError(f"labels must lie in 0..{n_labels - 1}, but reach from {low} to {high}")
    return _mass_by_label(q, k, labels.to(q.device), n_labels, scale) + nan_where_not_finite(q, k)[..., None]


@torch.no_grad()
def focus_recall(
    q: Tensor, k: Tensor, mel_rows: int, cross_keys: Tensor | CrossKeys | None, *, scale: float | None = None
) -> Tensor:
    """Mass of dense attention inside each query's focus set, `sigmoid(lse_inside - lse_outside)`. No gradient.

    It costs one dense pass, however many keys are sampled, and waits for a CUDA device.

    Parameters
    ----------
    q, k
        `[B, H, N, D]` with N = T * mel_rows.
    mel_rows
        F.
    cross_keys
        The sampled keys as in `litefocus_attention`: any token indices, each counted once. With None or none the focus
        set is the own mel row alone.
    scale
        Factor on the scores, 1/sqrt(D) by default.

    Returns
    -------
    Tensor
        `[B, H, N]` from 0 to 1, in the dtype of `same_frequency_mass`.

    Raises
    ------
    InputError
        For shapes, dtypes or indices that do not fit.
    """
    scale = check_q_k(q, k, mel_rows, scale)
    grid = Grid.of_tokens(q.shape[2], mel_rows)
    if cross_keys is not None and not isinstance(cross_keys, CrossKeys):
        cross_keys = CrossKeys.from_index(cross_keys.to(q.device), grid)
    if cross_keys is None or not cross_keys.index.numel():
        return same_frequency_mass(q, k, mel_rows, scale=scale)
    # [F, N]: whether a key is in the focus set of the queries of a mel row.
    inside = torch.arange(grid.tokens, device=q.device) % mel_rows == torch.arange(mel_rows, device=q.device)[:, None]
    inside[:, cross_keys.index] = True
    if lse_kernel(q.device.type, q.dtype, q.shape[-1]) is None:
        return _at_own_row(mass_of_sets(q, k, inside.t(), scale), mel_rows) + nan_where_not_finite(q, k)
    recall = torch.empty(q.shape[:3], dtype=wide_dtype(q), device=q.device)
    for row, (keys_inside, keys_outside) in enumerate(partition(inside)):
        queries = q[:, :, row::mel_rows]
        lse_inside, lse_outside = (_lse(queries, select(k, index), scale) for index in (keys_inside, keys_outside))
        recall[:, :, row::mel_rows] = torch.sigmoid(lse_inside - lse_outside)
    return recall + nan_where_not_finite(q, k)


def mass_from_lse(lse_part: Tensor, lse_all: Tensor) -> Tensor:
    """`exp(lse_part - lse_all)`, the mass of a part of the keys, not above 1 by rounding."""
    return (lse_part - lse_all).exp().clamp(max=1)


def label_lse(q: Tensor, k: Tensor, labels: Tensor, n_labels: int, scale: float) -> Tensor:
    """Log-sum-exp of each query's scores on the keys of each label, `[B, H, N, n_labels]`; -inf for no keys.

    N x N pairs in all, in one call a label. Waits for a CUDA device.
    """
    counts = labels.bincount(minlength=n_labels).tolist()
    sorted_keys = select(k, labels.argsort(stable=True))
    lse = q.new_full((n_labels, *q.shape[:3]), -math.inf, dtype=wide_dtype(q))
    for label, keys in enumerate(sorted_keys.split(counts, dim=2)):
        if keys.shape[2]:
            lse[label] = _lse(q, keys, scale)
    return lse.movedim(0, -1)


def mass_of_sets(q: Tensor, k: Tensor, members: Tensor, scale: float) -> Tensor:
    """Mass of each query on each of S sets of keys, by values of 0 and 1: `softmax(scale * Q K^T) members`.

    members is `[N, S]`, which key is in which set; sets may overlap. Returns `[B, H, N, S]`.
    """
    wide = wide_dtype(q)
    # Half precision would round the masses.
    q, k = q.to(wide), k.to(wide)
    # Probabilities that a kernel rounds sum to nearly 1. One more set, of all keys, says to what.
    members = F.pad(members.to(wide), (0, 1), value=1.0)
    width = max(q.shape[-1], min(members.shape[1], ONE_HOT_WIDTH))
    # The CPU's fused kernel wants queries, keys and values of one width; zeros leave the scores as they are.
    q, k = (F.pad(x, (0, width - x.shape[-1])) for x in (q, k))
    masses = []
    for columns in members.split(width, dim=1):
        values = F.pad(columns, (0, width - columns.shape[1])).expand(*k.shape[:2], -1, -1)
        masses.append(attention_with_lse(q, k, values, scale=scale)[0][..., : columns.shape[1]])
    masses = torch.cat(masses, dim=-1)
    return (masses[..., :-1] / masses[..., -1:]).clamp(max=1)


def _mass_by_label(q: Tensor, k: Tensor, labels: Tensor, n_labels: int, scale: float) -> Tensor:
    if lse_kernel(q.device.type, q.dtype, q.shape[-1]) is None:
        return mass_of_sets(q, k, F.one_hot(labels, n_labels), scale)
    return label_lse(q, k, labels, n_labels, scale).softmax(dim=-1)


def check_q_k(q: Tensor, k: Tensor, mel_rows: int, scale: float | None) -> float:
    """The scale, or `InputError` unless q and k are `[B, H, N, D]` of one kind with N in `mel_rows` equal rows."""
    check_qkv(q, k, k)
    Grid.of_tokens(q.shape[2], mel_rows)
    return q.shape[-1] ** -0.5 if scale is None else scale


def wide_dtype(q: Tensor) -> torch.dtype:
    """float32, or float64 for float64."""
    return torch.promote_types(q.dtype, torch.float32)


def nan_where_not_finite(q: Tensor, k: Tensor) -> Tensor:
    """`[B, H, N]`: NaN where a query or any key is NaN or infinite, 0 elsewhere.

    The CPU's fused kernel takes the scores of a NaN query for 0 where there are fewer keys than fit in a register.
    """
    wide = wide_dtype(q)
    return 0 * q.sum(dim=-1, dtype=wide) + 0 * k.sum(dim=(2, 3), dtype=wide)[..., None]


def _at_own_row(by_row: Tensor, mel_rows: int) -> Tensor:
    """From `[B, H, N, F]`, a value for each mel row, the value of each token's own row, `[B, H, N]`."""
    return by_row.unflatten(2, (-1, mel_rows)).diagonal(dim1=3, dim2=4).flatten(2, 3)


def _lse(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Log-sum-exp of the scores of q on k; -inf where there is no key."""
    if not k.shape[2]:
        return q.new_full(q.shape[:3], -math.inf, dtype=wide_dtype(q))
    # The kernels want values too; the keys are at hand.
    return attention_with_lse(q, k, k, scale=scale)[1]
