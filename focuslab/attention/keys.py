"""Which keys are sampled for cross-frequency compensation: the set C of LiteFocus, and its law (Eq. 6)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from focuslab.attention.grid import Grid
from focuslab.errors import InputError

SAMPLINGS = ("stratified", "uniform")


@dataclass(frozen=True)
class CrossKeys:
    """The set C of keys sampled for cross-frequency compensation.

    Attributes
    ----------
    index : LongTensor `[M]`
        Distinct token indices.
    per_row : int or None
        m where `index.view(F, m)` holds m keys of mel row f in its row f (a stratified sample), which needs no mask.
        None for any other set.
    others : LongTensor or None
        The `keys_of_other_rows` of a stratified sample where they were computed before.
    """

    index: Tensor
    per_row: int | None = None
    others: Tensor | None = None

    @classmethod
    def from_index(cls, index: Tensor, grid: Grid) -> "CrossKeys":
        """Any set of token indices, repeated ones counted once. Reads the values, so it waits for a CUDA device."""
        if index.ndim != 1 or index.dtype != torch.long:
            raise InputError(
                f"cross_keys must be a 1-D LongTensor of token indices, not {index.dtype} {list(index.shape)}"
            )
        if not index.numel():
            return cls(index, 0)
        low, high = index.min().item(), index.max().item()
        if low < 0 or high >= grid.tokens:
            raise InputError(f"cross_keys must lie in 0..{grid.tokens - 1}, but reach from {low} to {high}")
        index = index.unique()
        rows = index % grid.mel_rows
        counts = rows.bincount(minlength=grid.mel_rows)
        if (counts == counts[0]).all().item():
            return cls(index[rows.argsort(stable=True)], int(counts[0]))
        return cls(index)


def cross_key_count(grid: Grid, fraction: float, sampling: str) -> int:
    """How many keys a sample takes: `floor(r * N)` if uniform (Eq. 6), `F * round(r * T)` if stratified."""
    if sampling == "uniform":
        # A product such as 0.29 * 100 falls short of its integer by rounding.
        return math.floor(fraction * grid.tokens + 1e-9)
    return grid.mel_rows * round(fraction * grid.time)


def sample_cross_keys(
    grid: Grid, count: int, sampling: str, generator: torch.Generator, device: torch.device | str = "cpu"
) -> CrossKeys:
    """Sample `count` of the N keys without replacement: from all of them, or equally from every mel row.

    They are sampled on the CPU in float32, so that one seed gives the same keys on every device and whatever torch's
    default device and dtype are.

    Parameters
    ----------
    grid : Grid
    count : int
        Keys to sample, as `cross_key_count` gives them.
    sampling : {"stratified", "uniform"}
        Equally from every mel row, or from all keys (Eq. 6 of the LiteFocus paper, arXiv:2407.10468).
    generator : torch.Generator
        On the CPU.
    device : torch.device or str
        Where the keys are needed.

    Returns
    -------
    CrossKeys
    """
    if sampling == "uniform":
        index, per_row = torch.randperm(grid.tokens, generator=generator, device="cpu")[:count], None
    else:
        per_row = count // grid.mel_rows
        scores = torch.rand(grid.mel_rows, grid.time, generator=generator, dtype=torch.float32, device="cpu")
        time = scores.topk(per_row, dim=1).indices
        index = (time * grid.mel_rows + torch.arange(grid.mel_rows, device="cpu")[:, None]).flatten()
    return CrossKeys(to_device(index, device), per_row)


def to_device(index: Tensor, device: torch.device | str) -> Tensor:
    """A tensor from the CPU on the device, without waiting for it."""
    return all_to_device([index], device)[0]


def all_to_device(tensors: Sequence[Tensor], device: torch.device | str) -> list[Tensor]:
    """Tensors of one dtype from the CPU on the device, in one copy and without waiting for it."""
    if not tensors or torch.device(device).type == "cpu":
        return list(tensors)
    sizes = [tensor.numel() for tensor in tensors]
    # From pageable memory the copy would make the host wait for the stream.
    pinned = torch.device(device).type == "cuda"
    flat = torch.empty(sum(sizes), dtype=tensors[0].dtype, device="cpu", pin_memory=pinned)
    torch.cat([tensor.flatten() for tensor in tensors], out=flat)
    parts = flat.to(device, non_blocking=True).split(sizes)
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def keys_of_other_rows(cross_keys: CrossKeys, mel_rows: int) -> Tensor:
    """For each mel row the sampled keys of all the others, as token indices `[(F - 1) * m, F]`."""
    if cross_keys.others is not None:
        return cross_keys.others
    others = rows_but_own(mel_rows, cross_keys.index.device)
    return cross_keys.index.view(mel_rows, -1)[others].flatten(1).t().contiguous()


def rows_but_own(mel_rows: int, device: torch.device) -> Tensor:
    """For each mel row all the others, `[F, F - 1]`."""
    rows = torch.arange(mel_rows, device=device)
    return (rows[:, None] + rows[None, 1:]) % mel_rows
