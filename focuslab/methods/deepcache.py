"""The deep levels of the UNet at one call in several, and their output reused at the others."""

from collections.abc import Mapping
from dataclasses import dataclass

from focuslab.checks import settle, text
from focuslab.errors import InputError, did_you_mean
from focuslab.hooks.caches import Forward, Reused, Skipped, SkippedDown
from focuslab.methods.cache import CachedMethod
from focuslab.models.sites import unet_of

NAMES = {
    "deepcache": {
        "method": "DeepCache",
        "does": "outputs of the UNet's deep levels, computed at one call in several",
        "for_sites": False,
        "papers": {"Ma et al. 2023": "https://arxiv.org/abs/2312.00858"},
    },
}


@dataclass(frozen=True)
class DeepCache(CachedMethod):
    """The deep levels run at one UNet call in `interval`; the other calls run the levels above them on what they left.

    A computed call keeps what the deep levels hand up. A cached call skips their blocks, the middle one included, with
    all attention in them, and hands up what was kept.

    Parameters
    ----------
    interval
        One UNet call of so many is computed, at least 2.
    skips
        The down block from which on, in depth, a cached call skips. By default the second, so that in AudioLDM2 only
        the highest resolution is left, which has no attention.

    References
    ----------
    Ma, Fang and Wang 2023, DeepCache: Accelerating Diffusion Models for Free, arXiv:2312.00858. There the cut may lie
    within a block; here it lies between blocks.
    """

    interval: int = 3
    skips: str = "down_blocks.1"

    def __post_init__(self):
        super().__post_init__()
        settle(self, skips=text("skips", self.skips))

    def places(self, pipe) -> Mapping[str, type[Forward]]:
        unet = unet_of(pipe)
        depth, up = len(unet.down_blocks), len(unet.up_blocks)
        known = [f"down_blocks.{i}" for i in range(1, depth)]
        if self.skips not in known:
            raise InputError(
                f"skips must be a down block below the first, one of {', '.join(known) or 'none here'}, not "
                f"{self.skips!r}{did_you_mean(self.skips, known)}"
            )
        if up != depth:
            raise InputError(f"deepcache needs an up block for each down block, and this UNet has {up} for {depth}")
        first = known.index(self.skips) + 1
        places: dict[str, type[Forward]] = {f"down_blocks.{i}": SkippedDown for i in range(first, depth)}
        if getattr(unet, "mid_block", None) is not None:
            places["mid_block"] = Skipped
        last = depth - 1 - first
        return {**places, **{f"up_blocks.{i}": Skipped for i in range(last)}, f"up_blocks.{last}": Reused}
