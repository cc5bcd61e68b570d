"""How far a denoising loop has come, read off the timestep that it gives the UNet."""

from torch import Tensor


def call_index(timestep: Tensor | float) -> int:
    """Index of a UNet call in the schedule of its generation, 0 for the first.

    Pipelines take each timestep out of `scheduler.timesteps` by iterating over it, so it is a view whose place in that
    tensor is the index. Nothing is remembered between calls, no value is read and no device is waited for, so the index
    is right for several pipelines or threads that share one UNet. A scheduler of order k has k entries to most steps,
    each with an index of its own.

    Parameters
    ----------
    timestep
        What the UNet is called with: an entry of a schedule, also one that was expanded to the batch.

    Returns
    -------
    int
        The index. A number, which stands in no schedule, gives its own integer part, so that different numbers give
        different indices. A tensor that is no entry of a larger one gives 0.
    """
    if not isinstance(timestep, Tensor):
        return int(timestep)
    is_one_entry = all(size == 1 or stride == 0 for size, stride in zip(timestep.shape, timestep.stride(), strict=True))
    return timestep.storage_offset() if is_one_entry else 0
