"""The families that are known, and which of them a pipeline belongs to."""

from typing import Any

from diffusers import AudioLDM2UNet2DConditionModel

from focuslab.errors import InputError
from focuslab.models.audioldm import AudioLDM
from focuslab.models.audioldm2 import AudioLDM2
from focuslab.models.family import Family
from focuslab.models.musicldm import MusicLDM
from focuslab.models.recipes import Recipe
from focuslab.models.sites import no_mel_axis
from focuslab.models.tango import Tango

AUDIOLDM2 = AudioLDM2()
FAMILIES: tuple[Family, ...] = (AUDIOLDM2, AudioLDM(), MusicLDM(), Tango())
RECIPES: dict[str, Recipe] = {name: recipe for family in FAMILIES for name, recipe in family.recipes.items()}


def family_of_recipe(name: str) -> Family:
    return next(family for family in FAMILIES if name in family.recipes)


def family_named(pipeline: Any) -> Family | None:
    """The family whose pipelines have this class name, None for any other."""
    return next((family for family in FAMILIES if family.pipeline == pipeline), None)


def family_of(pipe: Any) -> Family:
    """The family of a pipeline. Raises `InputError` saying what the pipeline is instead where it is of none."""
    known = (kind for kind in type(pipe).__mro__ if kind.__module__.split(".")[0] in ("diffusers", "focuslab"))
    family = next((family for kind in known if (family := family_named(kind.__name__))), None)
    if family is not None:
        return family
    unet = getattr(pipe, "unet", None)
    # What `torch.compile` returns is a wrapper of another class.
    if isinstance(getattr(unet, "_orig_mod", unet), AudioLDM2UNet2DConditionModel):
        return AUDIOLDM2
    raise InputError(no_mel_axis(pipe))


def check_mel_latents(pipe: Any) -> None:
    """Raises `InputError` saying what the pipeline is instead, unless its latents are time x mel rows."""
    family_of(pipe)
