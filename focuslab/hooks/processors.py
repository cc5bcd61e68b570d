"""The attention processor that every sparse method runs in."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from focuslab.attention.grid import Grid
from focuslab.errors import FocuslabError, InputError
from focuslab.models.sites import PLAIN_PROCESSORS, Site


@dataclass(frozen=True)
class SiteCall:
    """One call of one site: the site, its grid of tokens, and the denoising step (0 at the start of a generation).

    training_grid: its grid at the length that the UNet was trained at, None where its configuration names none.
    sampled: what the method's `sample_keys` gave for this call, on the device. None where it was not called.
    """

    site: Site
    grid: Grid
    step: int
    training_grid: Grid | None = None
    sampled: Tensor | None = field(default=None, compare=False, repr=False)

    def generator(self, seed: int) -> torch.Generator:
        """A generator for this call alone, on the CPU.

        Seeded by the seed, the site and the step and by nothing else: a second generation, or one with other sites
        switched on, draws the same, and torch's global generator is never touched.
        """
        digest = hashlib.blake2b(f"{seed}/{self.site.name}/{self.step}".encode(), digest_size=7).digest()
        return torch.Generator("cpu").manual_seed(int.from_bytes(digest, "big"))


class SiteMethod(Protocol):
    """How a call of a site is computed."""

    def sample_keys(self, call: SiteCall) -> Tensor | None:
        """A LongTensor on the CPU that `forward` finds in `call.sampled`, on the device; None for nothing.

        It is called outside of compiled graphs, for all sites at the beginning of a UNet call.
        """

    def forward(self, attn: nn.Module, hidden_states: Tensor, call: SiteCall) -> Tensor:
        """The attention module's output `[B, N, C]` for its input `[B, N, C]`.

        A compiled graph that reads `call.step` is compiled anew for each step.
        """


class SiteProcessor:
    """A diffusers attention processor for one self-attention site. `running` knows what the site does in this call, and
    `original` is the processor that was there before."""

    def __init__(self, site: Site, running: "WorkOfSites", original: Callable[..., Tensor]):
        self.site = site
        self.running = running
        self.original = original

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        name = self.site.name
        method, call = self.running.work_of(self.site)
        if method is None:
            return self.original(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        if encoder_hidden_states is not None:
            raise FocuslabError(f"{name} was given encoder_hidden_states, but a sparse site is self-attention")
        if attention_mask is not None:
            raise FocuslabError(
                f"{name} was given an attention mask; a sparse pattern chosen by mel row does not combine with one, "
                "so detach the method where masks are needed"
            )
        if hidden_states.ndim != 3 or hidden_states.shape[1] != call.grid.tokens:
            raise FocuslabError(
                f"{name} was given hidden states {list(hidden_states.shape)}, but its grid of {call.grid.time} time "
                f"steps x {call.grid.mel_rows} mel rows has {call.grid.tokens} tokens"
            )
        out = method.forward(attn, hidden_states, call)
        # Under autocast the projections decide on the dtype, as they do in dense attention.
        if out.dtype != hidden_states.dtype and not torch.is_autocast_enabled(hidden_states.device.type):
            raise FocuslabError(f"{name} turned {hidden_states.dtype} into {out.dtype}: a method must keep the dtype")
        return out

    def __repr__(self) -> str:
        return repr(self.running)


class WorkOfSites(Protocol):
    def work_of(self, site: Site) -> tuple[SiteMethod | None, SiteCall]:
        """The method of the call that is running, None for the original processor."""


def check_plain(attn: nn.Module, name: str) -> None:
    """Raise `InputError` where an attention module does more than project, attend and project."""
    from diffusers.models import attention_processor

    if type(attn.processor) not in [getattr(attention_processor, plain) for plain in PLAIN_PROCESSORS]:
        raise InputError(
            f"{name} has the attention processor {type(attn.processor).__name__}, which plain attention would replace: "
            "leave this site out, or give it an AttnProcessor2_0"
        )
    extras = ("spatial_norm", "group_norm", "norm_q", "norm_k", "add_k_proj")
    found = [extra for extra in extras if getattr(attn, extra, None) is not None]
    found += [flag for flag in ("residual_connection",) if getattr(attn, flag, False)]
    if getattr(attn, "rescale_output_factor", 1.0) != 1.0:
        found.append("rescale_output_factor")
    # The fused processor leaves the scale to torch, whatever the module says.
    usual = (attn.inner_dim / attn.heads) ** -0.5
    if type(attn.processor).__name__ != "AttnProcessor2_0" and not math.isclose(attn.scale, usual, rel_tol=1e-5):
        found.append(f"scale {attn.scale:g} in place of {usual:g}")
    if found:
        raise InputError(f"{name} is no plain self-attention (it has {', '.join(found)}): leave this site out")


def split_heads(x: Tensor, heads: int) -> Tensor:
    """`[B, N, H * D]` -> `[B, H, N, D]`, a view."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(attn: nn.Module, hidden_states: Tensor, core: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """Project `[B, N, C]` to q, k, v `[B, H, N, D]`, apply `core`, project back.

    The same modules as in diffusers' own processor are called, so adapters and hooks on them keep working.
    """
    return project_out(attn, core(*project_in(attn, hidden_states)))


def project_in(attn: nn.Module, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`[B, N, C]` -> q, k, v `[B, H, N, D]`."""
    q, k, v = (split_heads(project(hidden_states), attn.heads) for project in (attn.to_q, attn.to_k, attn.to_v))
    return q, k, v


def project_out(attn: nn.Module, out: Tensor) -> Tensor:
    """`[B, H, N, D]` -> `[B, N, C]`."""
    out = out.transpose(1, 2).flatten(2)
    for layer in attn.to_out:
        out = layer(out)
    return out
