"""What a model family has to say of itself. The rest of focuslab asks here and nowhere else.

A family is one file: its subclass of `Family`, with the sizes of its random models, and one line in `families.py`. That
its latents are time x mel is taken for granted. Sites, grids and lengths are read off the pipeline and its UNet.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from focuslab.models.random_parts import ddim
from focuslab.models.recipes import Recipe

ROBERTA, T5 = ("RobertaTokenizer", "RobertaTokenizerFast"), ("T5Tokenizer", "T5TokenizerFast")
"""Tokenizers of other classes would load, and a pipeline would silently leave the prompt out."""
MEL_CLASSES: dict[str, tuple[str, ...]] = {"vae": ("AutoencoderKL",), "vocoder": ("SpeechT5HifiGan",), "scheduler": ()}
"""Components that all families have, and their classes; a scheduler is any of diffusers."""
BLOCKS_BELOW_FULL = {
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"),
}
"""Blocks of the AudioLDM authors' UNets, which do not attend at the full resolution."""


class Family:
    """What differs between the families of models whose latents are time x mel."""

    name: ClassVar[str]
    """As its authors call it."""
    pipeline: ClassVar[str]
    """The class of its pipelines, as model_index.json names it."""
    recipes: ClassVar[Mapping[str, Recipe]]
    """Sizes of its random models, by the name that `focuslab.load` takes."""
    classes: ClassVar[Mapping[str, tuple[str, ...]]]
    """Component -> the classes that it may have."""
    encoders: ClassVar[tuple[str, ...]]
    """Components that make the conditioning of a prompt."""
    guidance_scale: ClassVar[float]
    """The pipeline's own default; above 1 the UNet runs on a batch of two, [unconditional, conditional]."""
    embeds: ClassVar[tuple[str, ...]] = ("prompt_embeds",)
    """Arguments of the pipeline that take the conditioning of a prompt; `negative_` before them, that of none."""

    def encode(self, pipe: Any, prompt: str) -> tuple[Tensor, ...]:
        """`embeds` of a prompt, each [unconditional, conditional]."""
        raise NotImplementedError

    def encode_prompt(self, pipe: Any, prompt: str) -> dict[str, Tensor]:
        """Both halves of the conditioning of one prompt, as keyword arguments of the pipeline."""
        conditioning = {}
        for name, both in zip(self.embeds, self.encode(pipe, prompt), strict=True):
            conditioning[f"negative_{name}"], conditioning[name] = both.chunk(2)
        return conditioning

    def guided(self, both: dict[str, Tensor]) -> dict[str, Any]:
        """What `embeds`, each [unconditional, conditional], give to the UNet's keyword arguments."""
        raise NotImplementedError

    def make(self, parts: dict[str, Any]) -> Any:
        """The pipeline of these components."""
        raise NotImplementedError

    def random_text(self, recipe: Recipe) -> dict[str, Any]:
        """Tokenizers and text encoders of a random model."""
        raise NotImplementedError

    def random_rest(self, recipe: Recipe) -> dict[str, nn.Module]:
        """What a random model has beside text encoders, UNet, VAE and vocoder; made on the meta device."""
        return {}

    def unet(self, recipe: Recipe) -> nn.Module:
        """The UNet of a recipe as diffusers initialises it; within `torch.device("meta")` it takes no memory."""
        raise NotImplementedError

    def scheduler(self) -> Any:
        """That of the published checkpoints."""
        return ddim()
