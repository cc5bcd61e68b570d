"""The self-attention sites of a UNet, their grids of tokens, and what kind of work each module does."""

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from focuslab.attention.grid import Grid
from focuslab.checks import several, text
from focuslab.errors import InputError
from focuslab.runs.plan import PAPER_LEVEL, matches

PLAIN_PROCESSORS = ("AttnProcessor", "AttnProcessor2_0", "SlicedAttnProcessor", "XFormersAttnProcessor")
"""Those of diffusers that compute softmax(Q K^T) V of the module's own projections and nothing else."""


EXPECTED = "AudioLDM2, AudioLDM, MusicLDM or Tango"
ONE_DIMENSIONAL = ("StableAudio", "AceStep", "LongCatAudio", "DanceDiffusion")
"""How the classes of pipelines of diffusers begin whose latents are channels x time."""


@dataclass(frozen=True)
class Site:
    """One self-attention module of a UNet.

    name: dotted name of the attention module. holder: dotted name of the `Transformer2DModel` around it, whose 4-D
    input shows the grid. block: "down_blocks.1", "mid_block" or "up_blocks.2". level: how often the latent has been
    halved there.
    """

    name: str
    holder: str
    block: str
    level: int
    heads: int
    head_width: int

    def time_steps(self, frames: int) -> int:
        """Time steps at this site where the latent has `frames`: each halving rounds up."""
        return math.ceil(frames / 2**self.level)

    def grid(self, frames: int, mel_rows: int) -> Grid:
        """The grid at this site where the latent is `frames` x `mel_rows`."""
        # Mel rows are halved as time steps are.
        return Grid(self.time_steps(frames), self.time_steps(mel_rows))


def unet_of(pipe) -> nn.Module:
    """The UNet of a pipeline, or the argument itself where it is a UNet. Raises `InputError` for anything else.

    Of a UNet that `torch.compile` wrapped it is the one inside, whose modules have their own names.
    """
    unet = getattr(pipe, "unet", pipe)
    unet = getattr(unet, "_orig_mod", unet)
    if not isinstance(unet, nn.Module) or not hasattr(unet, "down_blocks"):
        if hasattr(type(pipe), "components"):
            raise InputError(no_mel_axis(pipe))
        raise InputError(f"expected a diffusers pipeline with a UNet, or a UNet, not {type(pipe).__name__}")
    return unet


def no_mel_axis(pipe) -> str:
    """One line on a pipeline that cannot be worked with: what it is, and why."""
    parts = (getattr(pipe, name, None) for name in ("unet", "transformer"))
    network = next((part for part in parts if part is not None), None)
    what = type(pipe).__name__
    if network is not None:
        what += f", which denoises with {type(network).__name__}"
    if hasattr(getattr(getattr(pipe, "vocoder", None), "config", None), "model_in_dim"):
        why = "it is driven otherwise"
    elif what.startswith(ONE_DIMENSIONAL):
        why = "its latents are one-dimensional, so there is no frequency axis"
    else:
        why = "its latents are no mel spectrogram, so there is no frequency axis"
    return f"this is a {what}: {why}; expected a pipeline of {EXPECTED}"


def find_sites(pipe) -> tuple[Site, ...]:
    """Every self-attention of the pipeline's UNet, in the order in which the UNet runs them.

    Chosen by `is_self_attention`, not by name: `attn2` may be self-attention too.

    Parameters
    ----------
    pipe
        A pipeline or its UNet.

    Returns
    -------
    tuple of Site
    """
    from diffusers.models.attention_processor import Attention
    from diffusers.models.transformers.transformer_2d import Transformer2DModel

    unet = unet_of(pipe)
    sites = []
    for block, level in _block_levels(unet):
        holder = ""
        for name, module in unet.get_submodule(block).named_modules(prefix=block):
            if isinstance(module, Transformer2DModel):
                holder = name
            elif isinstance(module, Attention) and name.startswith(f"{holder}.") and is_self_attention(unet, module):
                width = module.inner_dim // module.heads
                sites.append(Site(name, holder, block, level, module.heads, width))
    return tuple(sites)


def is_self_attention(unet: nn.Module, attn: nn.Module) -> bool:
    """Whether an attention module of a UNet attends to the tokens that it is given.

    `attn2` does where `cross_attention_dim` is None. It also does in the UNets of AudioLDM and MusicLDM, which take the
    prompt as a class embedding beside that of time and are called without encoder states: diffusers counts it as
    cross-attention there, and it computes self-attention.
    """
    config = getattr(unet, "config", {})
    return not attn.is_cross_attention or bool(config.get("class_embeddings_concat"))


def _block_levels(unet: nn.Module) -> Iterable[tuple[str, int]]:
    level = 0
    for i, block in enumerate(unet.down_blocks):
        yield f"down_blocks.{i}", level
        level += bool(getattr(block, "downsamplers", None))
    if getattr(unet, "mid_block", None) is not None:
        yield "mid_block", level
    for i, block in enumerate(unet.up_blocks):
        yield f"up_blocks.{i}", level
        level -= bool(getattr(block, "upsamplers", None))


def select_sites(sites: Sequence[Site], patterns: Iterable[str] | str | None) -> tuple[Site, ...]:
    """The sites that any of `patterns` names: a site, a block or a shell pattern such as "up_blocks.*.attn1".

    None is the paper's choice: every self-attention of the highest resolution that has any. In AudioLDM2, AudioLDM and
    MusicLDM that is the second-highest (level 1), in Tango the highest (level 0). Raises `InputError` that lists the
    blocks when a pattern, or that choice, matches nothing.
    """
    blocks = ", ".join(dict.fromkeys(site.block for site in sites)) or "none at all"
    if patterns is None:
        level = min((site.level for site in sites), default=PAPER_LEVEL + 1)
        if level > PAPER_LEVEL:
            raise InputError(
                f"this UNet has no self-attention at its two highest resolutions; name sites: it has some in {blocks}"
            )
        return tuple(site for site in sites if site.level == level)
    matched = set()
    for pattern in [text("a site", given) for given in several(patterns)]:
        names = {s.name for s in sites if matches(s.name, pattern)}
        if not names:
            near = difflib.get_close_matches(pattern, {name for s in sites for name in (s.name, s.block)})
            hint = f"; a whole name is {sites[0].name}" if sites else ""
            if near:
                hint = f"; did you mean {' or '.join(near)}?"
            raise InputError(f"no self-attention site matches {pattern!r}: there are sites in {blocks}{hint}")
        matched |= names
    if not matched:
        raise InputError(f"no sites were named: there are sites in {blocks}")
    return tuple(site for site in sites if site.name in matched)


def grid_of_input(hidden_states) -> Grid:
    """The grid that a `Transformer2DModel` works on, read from its input `[B, C, T, F]`."""
    return Grid(*hidden_states.shape[-2:])


KINDS = ("self_attention", "cross_attention", "feed_forward", "resnet", "other")


def module_kinds(unet: nn.Module) -> dict[str, str]:
    """Kind of every module by dotted name ("" is the UNet), one of `KINDS`.

    A module inside an attention, a feed-forward or a resnet has the kind of that one. Norms of transformer blocks,
    projections around them, down- and upsampling and the time embedding are "other".
    """
    from diffusers.models.attention import FeedForward
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

    kinds: dict[str, str] = {}
    for name, module in unet.named_modules():
        parent = kinds.get(name.rpartition(".")[0], "other")
        if parent != "other":
            kinds[name] = parent
        elif isinstance(module, Attention):
            kinds[name] = "self_attention" if is_self_attention(unet, module) else "cross_attention"
        elif isinstance(module, FeedForward):
            kinds[name] = "feed_forward"
        elif isinstance(module, ResnetBlock2D):
            kinds[name] = "resnet"
        else:
            kinds[name] = "other"
    return kinds


def unit_names(unet: nn.Module) -> list[str]:
    """Names of the modules that are timed: every one down to whole attentions, feed-forwards and resnets.

    Their insides are left out: a time for each of 1,600 modules would cost more to take and tell less.
    """
    kinds = module_kinds(unet)
    return [
        name
        for name, module in unet.named_modules()
        if not isinstance(module, nn.ModuleList) and (not name or kinds[name.rpartition(".")[0]] == "other")
    ]
