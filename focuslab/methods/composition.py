"""Several methods attached together, such as a cache and what runs at the calls that it leaves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from focuslab.attention.grid import Grid
from focuslab.checks import settle, shown
from focuslab.errors import InputError
from focuslab.hooks.attach import Handle
from focuslab.methods.base import Attachable, Method
from focuslab.methods.cache import CachedMethod


@dataclass(frozen=True, repr=False)
class Composition(Attachable):
    """Methods that share a pipeline: each takes its own sites, and a cache skips calls of the others.

    Parameters
    ----------
    parts : sequence of Attachable
        Two or more methods or plans, at most one of them a cache.
    """

    parts: Sequence[Attachable]

    def __post_init__(self):
        parts = tuple(self.parts)
        for part in parts:
            if not isinstance(part, Attachable) or isinstance(part, Composition):
                raise InputError(f"a composition is made of methods and plans, not of {shown(part)}")
        if len(parts) < 2:
            raise InputError(f"a composition is made of two methods or more, not of {len(parts)}")
        if sum(isinstance(part, CachedMethod) for part in parts) > 1:
            raise InputError("a composition has one cache: leave out one of " + " and ".join(map(repr, parts)))
        # A cache first, so that the others know which calls it skips.
        settle(self, parts=tuple(sorted(parts, key=lambda part: not isinstance(part, CachedMethod))))

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))

    def attach(self, pipe) -> Handle:
        attached: list[Handle] = []
        try:
            for part in self.parts:
                attached.append(part.attach(pipe))
        except BaseException:
            for handle in reversed(attached):
                handle.remove()
            raise
        return JoinedHandle(attached)

    def sites_at(self, pipe, seconds: float) -> dict[str, Method]:
        return {site: method for part in self.parts for site, method in part.sites_at(pipe, seconds).items()}

    def at_every_step(self) -> "Composition":
        return replace(self, parts=tuple(part.at_every_step() for part in self.parts))

    def dense_steps_at(self, pipe, seconds: float) -> tuple[int, int]:
        first, last = zip(*(part.dense_steps_at(pipe, seconds) for part in self.parts), strict=True)
        return max(first), max(last)


class JoinedHandle(Handle):
    """The handles of the parts as one."""

    def __init__(self, parts: Sequence[Handle]):
        super().__init__(sites=tuple(site for part in parts for site in part.sites))
        self._parts = tuple(parts)
        self.cycle = max(part.cycle for part in parts)

    @property
    def grids(self) -> dict[str, Grid]:
        return {site: grid for part in self._parts for site, grid in part.grids.items()}

    @property
    def replaced(self) -> dict[str, str]:
        return {name: now for part in self._parts for name, now in part.replaced.items()}

    @property
    def attached(self) -> bool:
        return any(part.attached for part in self._parts)

    def remove(self) -> None:
        for part in reversed(self._parts):
            part.remove()

    def __repr__(self) -> str:
        return " + ".join(map(repr, self._parts))


def cache_of(method: Attachable) -> CachedMethod | None:
    """The cache in a method, where there is one."""
    parts = method.parts if isinstance(method, Composition) else (method,)
    return next((part for part in parts if isinstance(part, CachedMethod)), None)
