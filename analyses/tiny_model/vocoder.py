"""The vocoder: mel spectrograms to sound, by spectral losses at several resolutions."""

import torch
import torch.nn.functional as F
from torch import Tensor

import components
import oscillators
from data import Clips
from focuslab.metrics.mel import HOP, log_mel
from training import Training

BATCH = 8
SAMPLES = 64 * HOP
RESOLUTIONS = (256, 512, 1024, 2048)
# What a mel spectrogram does not say, such as the phases of noise, no vocoder can get right: the rest stays high.
MEL_WEIGHT = 10


def job(train: Clips, held_out: Clips, steps: int) -> Training:
    torch.manual_seed(0)
    model = components.vocoder()
    waves = oscillators.waves(model)

    def losses(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        real = draw(train, BATCH, generator)
        mels = log_mel(real)
        # What comes after the amplitudes is not trained: its response to them does for it, at a fifth of the time.
        made = oscillators.sound(oscillators.amplitudes(model, mels), waves)
        mel_l1 = F.l1_loss(log_mel(made), mels)
        spectral = sum(_spectral(made, real, width) for width in RESOLUTIONS) / len(RESOLUTIONS)
        return {"loss": MEL_WEIGHT * mel_l1 + spectral, "mel_l1": mel_l1.detach(), "spectral": spectral.detach()}

    def look() -> dict[str, float]:
        generator = torch.Generator().manual_seed(0)
        errors = []
        for _ in range(4):
            mels = log_mel(draw(held_out, 8, generator))
            errors.append(F.l1_loss(log_mel(model(mels)), mels).item())
        return {"mel_l1": sum(errors) / len(errors)}

    return Training(
        "vocoder", model, losses, steps, rate=4e-4, decay=0.5, held_out=look, held_out_every=500, average=0.998
    )


def draw(clips: Clips, batch: int, generator: torch.Generator) -> Tensor:
    """`[batch, SAMPLES]`: a random stretch of random clips."""
    chosen = torch.randint(len(clips), (batch,), generator=generator).tolist()
    longest = len(clips.waveform(0))
    firsts = torch.randint(longest - SAMPLES, (batch,), generator=generator).tolist()
    return torch.stack([clips.waveform(c, f, SAMPLES) for c, f in zip(chosen, firsts, strict=True)])


def _spectral(made: Tensor, real: Tensor, width: int) -> Tensor:
    """L1 of log magnitudes plus spectral convergence (Yamamoto et al., Parallel WaveGAN, 2020)."""
    window = torch.hann_window(width)
    spectra = [torch.stft(x, width, width // 4, window=window, return_complex=True) for x in (made, real)]
    m, r = ((s.real.square() + s.imag.square() + 1e-8).sqrt() for s in spectra)
    return F.l1_loss(m.log(), r.log()) + torch.linalg.norm(r - m) / torch.linalg.norm(r)
