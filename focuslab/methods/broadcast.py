"""The output of self-attention at one call in several, reused at the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from focuslab.checks import settle
from focuslab.hooks.caches import Forward, Reused
from focuslab.methods.base import check_sites
from focuslab.methods.cache import CachedMethod
from focuslab.models.sites import find_sites, select_sites

NAMES = {
    "broadcast": {
        "method": "Broadcast",
        "does": "self-attention outputs, computed at one call in several",
        "for_sites": False,
        "papers": {"Zhao et al. 2024": "https://arxiv.org/abs/2408.12588"},
        "everywhere": True,
    },
}


@dataclass(frozen=True)
class Broadcast(CachedMethod):
    """The self-attention of a site runs at one UNet call in `interval`; the other calls return its last output.

    Parameters
    ----------
    interval
        One UNet call of so many is computed, at least 2.
    sites
        See `Method`; every self-attention unless some are named.

    References
    ----------
    Zhao et al. 2024, Real-Time Video Generation with Pyramid Attention Broadcast, arXiv:2408.12588. There the interval
    depends on the kind of attention, and the first and the last steps are computed; here it is one for all.
    """

    interval: int = 2
    sites: Sequence[str] | str | None = field(default="*", kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        settle(self, sites=check_sites(self.sites))

    def places(self, pipe) -> Mapping[str, type[Forward]]:
        return dict.fromkeys((site.name for site in select_sites(find_sites(pipe), self.sites)), Reused)
