"""What all methods share: attach to a pipeline as a context manager, know their sites and their share of pairs."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from focuslab.attention.grid import Grid
from focuslab.attention.keys import to_device
from focuslab.checks import several, text, whole
from focuslab.errors import InputError, did_you_mean
from focuslab.hooks.attach import Handle, attach
from focuslab.hooks.processors import SiteCall, attend
from focuslab.methods.catalogue import catalogue
from focuslab.models.sites import find_sites, select_sites

OneAttachable = TypeVar("OneAttachable", bound="Attachable")


class Attachable:
    """What can be attached to a pipeline for a while: a method, a cache, a composition, or a plan."""

    def attach(self, pipe) -> Handle:
        """Take over the sites of a pipeline (or UNet) until `remove()` of the returned handle.

        Raises `InputError` when no site matches, or one is taken already.
        """
        raise NotImplementedError

    def __call__(self, pipe) -> AbstractContextManager[Handle]:
        """`with method(pipe): pipe(...)`. Attaches at once; leaving restores the processors that were there."""
        return self.attach(pipe)

    def sites_at(self, pipe, seconds: float) -> "dict[str, Method]":
        """Which method runs at which site in a generation of this length."""
        raise NotImplementedError

    def at_every_step(self: OneAttachable) -> OneAttachable:
        """The same without steps in which all sites stay dense, which only a plan has."""
        return self

    def dense_steps_at(self, pipe, seconds: float) -> tuple[int, int]:
        """In how many of the first and of the last steps of a generation of this length all sites stay dense."""
        return 0, 0


@dataclass(frozen=True, kw_only=True)
class Method(Attachable):
    """A way to compute self-attention at chosen sites. Subclasses override `core` and `density`.

    Parameters
    ----------
    sites : str or sequence of str, optional
        Names, blocks or shell patterns of self-attention sites. None is the paper's choice, every self-attention of the
        highest resolution that has any.
    """

    sites: Sequence[str] | str | None = None

    sparse: ClassVar[bool] = True
    """Whether the method computes fewer query-key pairs than dense attention, so that it has an ideal speed."""

    def __post_init__(self):
        self._set(sites=check_sites(self.sites))

    def _set(self, **parameters) -> None:
        """Put checked values in the place of those that were given, while the method is made."""
        for name, value in parameters.items():
            object.__setattr__(self, name, value)

    def attach(self, pipe) -> Handle:
        return attach(pipe, self.sites, choose=self.at_call)

    def at_call(self, call: SiteCall, frames: int) -> "Method":
        """The method of one call of a site, which is always this one."""
        return self

    def sites_at(self, pipe, seconds: float) -> "dict[str, Method]":
        return dict.fromkeys((site.name for site in select_sites(find_sites(pipe), self.sites)), self)

    def sample_keys(self, call: SiteCall) -> Tensor | None:
        """What is sampled for a call, on the CPU; `core` finds it in `call.sampled`, on the device. None for
        nothing."""
        return None

    def sampled_for(self, call: SiteCall, device: torch.device) -> Tensor:
        """What was sampled for this call, which is done here where no attachment did it before."""
        return to_device(self.sample_keys(call), device) if call.sampled is None else call.sampled

    def forward(self, attn: nn.Module, hidden_states: Tensor, call: SiteCall) -> Tensor:
        """The attention module's output `[B, N, C]` for its input `[B, N, C]`."""
        return attend(attn, hidden_states, lambda q, k, v: self.core(q, k, v, call))

    def core(self, q: Tensor, k: Tensor, v: Tensor, call: SiteCall) -> Tensor:
        """Attention between the projections, `[B, H, N, D]` to the same shape."""
        return F.scaled_dot_product_attention(q, k, v)

    def density(self, grid: Grid) -> float:
        """Share of the N * N query-key pairs that are computed on this grid."""
        return 1.0

    def density_at(self, grid: Grid, training: Grid | None) -> float:
        """The same where the grid at the training length is `training`, for methods that depend on it."""
        return self.density(grid)


def check_sites(sites: Sequence[str] | str | None) -> tuple[str, ...] | str | None:
    """Patterns of sites as a frozen method holds them. Raises `InputError` for what is no text."""
    if sites is None:
        return None
    patterns = [text("a site", pattern) for pattern in several(sites)]
    # A list would make the frozen dataclass unhashable.
    return patterns[0] if isinstance(sites, str) else tuple(patterns)


def check_choice(name: str, value, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def check_count(name: str, value) -> int:
    """The value as Python's int. Raises `InputError` unless it is a whole number of at least 1."""
    return whole(name, value, "a whole number of at least 1", 1)


def check_seed(seed) -> int:
    """The seed as Python's int. Raises `InputError` unless torch's generators take it."""
    return whole("seed", seed, "a whole number from -2**63 to 2**64 - 1", -(2**63), 2**64 - 1)


def method_class(name: str) -> type[Any]:
    """The class behind a name of the catalogue."""
    entry = catalogue()[name]
    return getattr(import_module(f"focuslab.methods.{entry.module}"), entry.method)


def parameters_of(name: str) -> list[str]:
    """The parameters that may follow a name."""
    return [field.name for field in fields(method_class(name)) if field.name not in catalogue()[name].parameters]


def make(name: str, parameters: Mapping[str, Any]) -> Any:
    """The method of a name with these parameters. Raises `InputError` for a value that the method refuses."""
    return method_class(name)(**catalogue()[name].parameters, **parameters)


def site_method(site: str, given: Mapping[str, Any]) -> Method:
    """The method of one site from {"method": name, parameter: value, ...}, as a plan has it.

    Raises `InputError` for an unknown name or parameter, or a value that the method refuses.
    """
    name = given["method"]
    possible = [other for other, entry in catalogue().items() if entry.for_sites]
    if name not in possible:
        why = ": a site that stays dense is left out" if name == "dense" else did_you_mean(name, possible)
        raise InputError(f"there is no method {name!r} for a site, only {', '.join(possible)}{why}")
    known = [parameter for parameter in parameters_of(name) if parameter != "sites"]
    parameters = {key: value for key, value in given.items() if key != "method"}
    for key in parameters:
        if key not in known:
            expected = ", ".join(known) or "none"
            raise InputError(f"{name} has no parameter {key!r}, only {expected}{did_you_mean(key, known)}")
    return make(name, {**parameters, "sites": site})
