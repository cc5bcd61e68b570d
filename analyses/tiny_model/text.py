"""The text side before the UNet: T5, projection and GPT-2 first learn to say class and attributes of a caption.

AudioLDM2's GPT-2 is taught what will be heard before the UNet listens to it, too. Without this the UNet learnt to do
without captions for thousands of steps.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AudioLDM2Pipeline
from torch import Tensor, nn

import components
from assembly import pipeline
from data import Clips
from training import Training

BATCH = 32
PARTS = ("text_encoder_2", "projection_model", "language_model")


class Sayings(nn.Module):
    """Class and attributes as read off what the UNet will be given: GPT-2's tokens and T5's."""

    def __init__(self, train: Clips):
        super().__init__()
        self.classes = sorted(set(train.labels))
        self.attributes = sorted({pair for attributes in train.attributes for pair in attributes.items()})
        self.from_gpt2 = nn.Linear(components.GPT2_WIDTH, len(self.classes) + len(self.attributes))
        self.from_t5 = nn.Linear(components.T5_WIDTH, len(self.classes) + len(self.attributes))

    def loss(self, clips: Clips, chosen: list[int], embeds: Tensor, mask: Tensor, generated: Tensor) -> Tensor:
        """Cross-entropy of the class plus that of all attributes, of both readings."""
        label = torch.tensor([self.classes.index(clips.labels[c]) for c in chosen])
        has = torch.tensor([[float(clips.attributes[c].get(k) == v) for k, v in self.attributes] for c in chosen])
        t5 = (embeds * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        total = torch.zeros(())
        for said in (self.from_gpt2(generated.mean(dim=1)), self.from_t5(t5)):
            classes, attributes = said.split([len(self.classes), len(self.attributes)], dim=1)
            total = total + F.cross_entropy(classes, label)
            total = total + F.binary_cross_entropy_with_logits(attributes, has) * len(self.attributes) / 4
        return total

    def right(self, clips: Clips, chosen: list[int], generated: Tensor) -> float:
        """Share of captions whose class GPT-2's tokens say."""
        said = self.from_gpt2(generated.mean(dim=1))[:, : len(self.classes)].argmax(dim=1)
        return sum(self.classes[s] == clips.labels[c] for s, c in zip(said, chosen, strict=True)) / len(chosen)


def parts_of(pipe: AudioLDM2Pipeline) -> nn.ModuleDict:
    return nn.ModuleDict({name: getattr(pipe, name) for name in PARTS})


def job(train: Clips, held_out: Clips, steps: int, work: Path) -> Training:
    pipe = pipeline(work)
    sayings = Sayings(train)
    model = parts_of(pipe)
    model["sayings"] = sayings

    def losses(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        chosen = torch.randint(len(train), (BATCH,), generator=generator).tolist()
        encoded = pipe.encode_prompt([train.captions[c] for c in chosen], "cpu", 1, False)
        return {"loss": sayings.loss(train, chosen, *encoded)}

    def look() -> dict[str, float]:
        chosen = list(range(len(held_out)))
        generated = pipe.encode_prompt(held_out.captions, "cpu", 1, False)[2]
        return {"right": sayings.right(held_out, chosen, generated)}

    return Training("text", model, losses, steps, rate=1e-3, held_out=look, held_out_every=100, average=0.98)
