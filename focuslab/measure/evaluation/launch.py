"""Which of several processes this one is, as `accelerate launch` and `torchrun` tell it.

Nothing is sent between the processes: each knows its share of the work, and they meet in the run directory alone. So
none waits for another to start, to finish or to live, and the tasks of a batch system's array do as well as a launcher
(accelerate's own `PartialState` would have all of them join one process group first).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from focuslab.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Process `rank` of `world`; `local_rank` counts those on this machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @classmethod
    def of_launcher(cls, environment: Mapping[str, str] = os.environ) -> "Share":
        """What RANK, WORLD_SIZE and LOCAL_RANK say; the only process where they say nothing. Raises `InputError`."""
        share = cls(*(_number(environment, name, default) for name, default in _VARIABLES.items()))
        if share.rank >= share.world:
            raise InputError(
                f"RANK is {share.rank} and WORLD_SIZE {share.world}: expected a RANK from 0 to WORLD_SIZE - 1, as "
                "accelerate launch and torchrun set them"
            )
        return share

    def of(self, work: Sequence[T]) -> Sequence[T]:
        """Every `world`th piece of the work, from the `rank`th on."""
        return work[self.rank :: self.world]

    def device(self, wanted: str) -> str:
        """The device that is `wanted` of this process: of several GPUs its own, unless it names one."""
        import torch

        if self.world == 1 or wanted not in ("auto", "cuda") or not torch.cuda.is_available():
            return wanted
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"


_VARIABLES = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < default:
        raise InputError(f"the environment says {name}={text}: expected a whole number of at least {default}")
    return number
