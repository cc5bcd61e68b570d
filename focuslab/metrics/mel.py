"""The log-mel spectrogram that AudioLDM2's VAE and vocoder speak.

Source: haoheliu/AudioLDM2, `audioldm2/utils.py` and `audioldm2/utilities/audio/stft.py`: 16 kHz, magnitudes of a Hann
window of 1024 samples every 160, 64 Slaney mel bands from 0 to 8 kHz, natural logarithm of at least 1e-5.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from focuslab.metrics.spectrogram import FLOOR, HOP, WINDOW, mel_filters

SAMPLE_RATE = 16_000


def log_mel(waveform: Tensor) -> Tensor:
    """Natural log-mel spectrogram `[B, samples // 160, 64]` of waveforms `[B, samples]` at 16 kHz; differentiable.

    Frames are centred as in AudioLDM2: reflected by (1024 - 160) / 2 samples at both ends.
    """
    padding = (WINDOW - HOP) // 2
    padded = F.pad(waveform[:, None], (padding, padding), mode="reflect")[:, 0]
    window = torch.hann_window(WINDOW, device=waveform.device, dtype=waveform.dtype)
    spectrum = torch.stft(padded, WINDOW, HOP, window=window, center=False, return_complex=True)
    # The floor under the root keeps the gradient at silence finite.
    magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()
    return (_filters().to(magnitude) @ magnitude).clamp(min=FLOOR).log().transpose(1, 2)


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    """Mel filters `[64, 513]`."""
    return torch.from_numpy(mel_filters(SAMPLE_RATE)).float()
