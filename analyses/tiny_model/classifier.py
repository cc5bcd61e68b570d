"""The classifier that judges generated clips; it never hears one in training.

It hears real clips, most of them roughened: without that it took the faults of the vocoder for another class, and
missed every second *real* clip that had gone through mel and vocoder.
"""

import torch
import torch.nn.functional as F

import components
from data import Clips
from training import Training

BATCH = 32
ROUGHENED = 0.75
"""Share of the clips that are not heard as they are."""


def job(train: Clips, held_out: Clips, steps: int) -> Training:
    torch.manual_seed(0)
    classes = sorted(set(train.labels))
    model = components.Classifier(len(classes))
    targets = torch.tensor([classes.index(label) for label in train.labels])

    def losses(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        chosen = torch.randint(len(train), (BATCH,), generator=generator)
        frames = int(torch.randint(512, 1025, (), generator=generator)) // 16 * 16
        first = int(torch.randint(1025 - frames, (), generator=generator))
        mels = torch.from_numpy(train.mels[chosen.numpy(), first : first + frames].astype("float32"))
        logits = model(roughen(mels, generator))
        loss = F.cross_entropy(logits, targets[chosen], label_smoothing=0.05)
        return {"loss": loss, "right": (logits.argmax(dim=1) == targets[chosen]).float().mean()}

    def look() -> dict[str, float]:
        right = [
            classes[model(torch.from_numpy(held_out.mels[i : i + 1].astype("float32"))).argmax()] == held_out.labels[i]
            for i in range(len(held_out))
        ]
        return {"right": sum(right) / len(right)}

    return Training("classifier", model, losses, steps, rate=2e-3, held_out=look, held_out_every=500, average=0.99)


def roughen(mels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Log-mel spectrograms `[B, frames, 64]` smeared over neighbouring bands and frames, over a floor of noise, and
    each value a little off, by amounts drawn for each clip; some stay as they are."""

    def draw(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(mels), 1, 1, generator=generator)

    power = mels.exp()
    smeared = F.avg_pool2d(power[:, None], (5, 5), stride=1, padding=2, count_include_pad=False)[:, 0]
    share = draw(0, 0.8)
    rough = ((1 - share) * power + share * smeared + draw(-11, -4).exp()).log()
    rough = rough + draw(0, 0.8) * torch.randn(mels.shape, generator=generator)
    return torch.where(draw(0, 1) < ROUGHENED, rough, mels)
