"""Overlapping views of the training length, denoised in one batch and joined at every step."""

from dataclasses import dataclass

from focuslab.checks import number
from focuslab.errors import InputError
from focuslab.hooks.attach import Handle
from focuslab.hooks.views import JOINS, attach_views
from focuslab.methods.base import Attachable, Method, check_choice
from focuslab.models.lengths import training_frames
from focuslab.models.sites import unet_of

NAMES = {
    "joint": {
        "method": "JointDiffusion",
        "does": "overlapping views of the training length, denoised in one batch and averaged",
        "for_sites": False,
        "papers": {"MultiDiffusion": "https://arxiv.org/abs/2302.08113"},
        "color": "#999933",
        "marker": "v",
    },
    "joint-swap": {
        "method": "JointDiffusion",
        "parameters": {"join": "swap"},
        "does": "the same, with the frames of overlaps taken from the views in turn",
        "for_sites": False,
        "papers": {"SaFa": "https://arxiv.org/abs/2502.05130"},
        "color": "#DDCC77",
        "marker": "<",
    },
}


@dataclass(frozen=True)
class JointDiffusion(Attachable):
    """The UNet sees views of the training length, which overlap, and its predictions are joined at every call.

    No attention reaches beyond a view, so time and memory are linear in the length. Up to the training length it is
    the UNet as it is. The first-order samplers that are linear in the prediction give the same whether predictions or
    the next latents are averaged, as MultiDiffusion does.

    Parameters
    ----------
    overlap
        The share of a view that the next one overlaps, from 0 up to below 1.
    join
        "average": the mean where views overlap. "swap": frames of one and the other in turn.

    References
    ----------
    Bar-Tal et al. 2023, MultiDiffusion, arXiv:2302.08113. Frames swapped between views: SaFa, arXiv:2502.05130, which
    keeps the latents of every view apart.
    """

    overlap: float = 0.25
    join: str = "average"

    def __post_init__(self):
        check_choice("join", self.join, JOINS)
        overlap = float(number("overlap", self.overlap, "a share from 0 to 0.9", 0, 0.9))
        object.__setattr__(self, "overlap", overlap)

    def attach(self, pipe) -> Handle:
        frames = training_frames(unet_of(pipe))
        if frames is None:
            raise InputError(
                "joint diffusion needs the training length, which is the sample_size of the UNet's configuration: set "
                "it with pipe.unet.register_to_config(sample_size=N), N the time steps of the training latents"
            )
        return attach_views(pipe, frames, self.overlap, self.join)

    def sites_at(self, pipe, seconds: float) -> dict[str, Method]:
        return {}
