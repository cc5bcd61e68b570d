"""The VAE: mel spectrograms to 16 rows of latents and back."""

import torch
import torch.nn.functional as F

import components
from data import Clips, crops
from training import Training

KL_WEIGHT = 0.003
FRAMES = 192
BATCH = 4


def job(train: Clips, held_out: Clips, steps: int) -> Training:
    torch.manual_seed(0)
    model = components.vae()
    # Log-mel values lie around -6: to start there saves the first hundreds of steps.
    torch.nn.init.constant_(model.decoder.conv_out.bias, float(train.mels[::50].mean(dtype="float64")))

    def losses(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        mels = crops(train.mels, BATCH, FRAMES, generator)[:, None]
        posterior = model.encode(mels).latent_dist
        decoded = model.decode(posterior.sample(generator)).sample
        l1 = F.l1_loss(decoded, mels)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return {"loss": l1 + 0.1 * F.mse_loss(decoded, mels) + KL_WEIGHT * kl, "l1": l1.detach(), "kl": kl.detach()}

    def look() -> dict[str, float]:
        errors = []
        for first in range(0, 48, 8):
            mels = crops(held_out.mels, 8, FRAMES, torch.Generator().manual_seed(first))[:, None]
            errors.append(F.l1_loss(model.decode(model.encode(mels).latent_dist.mode()).sample, mels).item())
        return {"l1": sum(errors) / len(errors)}

    return Training("vae", model, losses, steps, rate=2e-3, held_out=look, held_out_every=200, average=0.995)
