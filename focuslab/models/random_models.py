"""Pipelines with random weights: whole and small for tests, full-size for measuring time.

Time does not depend on weights. The full-size pipelines have the published UNet, VAE, vocoder and projection, but only
thin text encoders of the published output widths, marked as stand-ins: no time of theirs means anything.
"""

from typing import Any

import torch
from torch import nn

from focuslab.models.families import RECIPES, family_of_recipe
from focuslab.models.placement import own_defaults
from focuslab.models.random_parts import fill, vae, vocoder
from focuslab.models.recipes import STAND_IN

SEED = 0
_POOL = 2**23  # more numbers than the largest weight of AudioLDM2 has


@own_defaults()
def random_pipeline(name: str, dtype: torch.dtype = torch.float32) -> Any:
    """The pipeline of `RECIPES[name]` on the CPU, its floating-point weights in `dtype`.

    The same name gives the same weights (in a narrower `dtype`: the same, rounded), whatever torch's defaults are;
    torch's global random state is as it was before.
    """
    recipe, family = RECIPES[name], family_of_recipe(name)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would also reseed the accelerators, which fork_rng leaves alone here.
        torch.default_generator.manual_seed(SEED)
        text = family.random_text(recipe)
    for part in text.values():
        if isinstance(part, nn.Module):
            part.to(dtype).eval()
            if recipe.thin_text_encoders:
                setattr(part.config, STAND_IN, True)
    with torch.device("meta"):
        rest = {
            **family.random_rest(recipe),
            "unet": family.unet(recipe),
            "vae": vae(recipe),
            "vocoder": vocoder(recipe),
        }
    generator = torch.Generator().manual_seed(SEED)
    largest = max(tensor.numel() for part in rest.values() for tensor in part.state_dict().values())
    pool = torch.empty(max(_POOL, 2 * largest)).normal_(generator=generator)
    for part in rest.values():
        fill(part, dtype, pool, generator)
    return family.make({**text, **rest, "scheduler": family.scheduler()})
