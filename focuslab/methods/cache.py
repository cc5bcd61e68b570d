"""What caches share: most UNet calls of a generation reuse what an earlier call has kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from focuslab.checks import settle, whole
from focuslab.hooks.attach import Handle
from focuslab.hooks.caches import Forward, attach_cache
from focuslab.methods.base import Attachable, Method


@dataclass(frozen=True)
class CachedMethod(Attachable):
    """A method that skips work at most UNet calls. Subclasses override `places`.

    The first call of a generation is computed, and then every `interval`-th. UNet calls are counted, of which some
    schedulers make several in a step. A sparse method may be attached beside it and runs at the calls that are
    computed.
    """

    interval: int

    def __post_init__(self):
        settle(self, interval=whole("interval", self.interval, "a whole number of at least 2", 2))

    def places(self, pipe) -> Mapping[str, type[Forward]]:
        """Dotted name of a module -> what stands in place of its forward. Raises `InputError`."""
        raise NotImplementedError

    def attach(self, pipe) -> Handle:
        return attach_cache(pipe, self.places(pipe), self.interval, repr(self))

    def sites_at(self, pipe, seconds: float) -> dict[str, Method]:
        # No site is sparse: what is computed is computed by the processors that are there.
        self.places(pipe)
        return {}
