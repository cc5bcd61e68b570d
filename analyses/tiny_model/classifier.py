"""The classifier that judges generated clips; it never hears one in training."""

import torch
import torch.nn.functional as F

import components
from data import Clips
from training import Training

BATCH = 32


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
        logits = model(mels)
        loss = F.cross_entropy(logits, targets[chosen], label_smoothing=0.05)
        return {"loss": loss, "right": (logits.argmax(dim=1) == targets[chosen]).float().mean()}

    def look() -> dict[str, float]:
        right = [
            classes[model(torch.from_numpy(held_out.mels[i : i + 1].astype("float32"))).argmax()] == held_out.labels[i]
            for i in range(len(held_out))
        ]
        return {"right": sum(right) / len(right)}

    return Training("classifier", model, losses, steps, rate=2e-3, held_out=look, held_out_every=500, average=0.99)
