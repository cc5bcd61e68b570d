"""What kind of work each module of a UNet does."""

from torch import nn

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
            kinds[name] = "cross_attention" if module.is_cross_attention else "self_attention"
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
