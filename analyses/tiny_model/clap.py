"""CLAP: sound and caption to one space, by contrast within a batch."""

import torch
import torch.nn.functional as F
from torch import Tensor

import components
from data import Clips
from training import Training

BATCH = 30
SAMPLES = 160_000  # the 10 s that the feature extractor cuts


def job(train: Clips, held_out: Clips, steps: int) -> Training:
    torch.manual_seed(0)
    tokenizer, _ = components.tokenizers()
    model = components.clap(tokenizer)
    features = Features()

    def scores(clips: Clips, chosen: list[int], firsts: list[int]) -> Tensor:
        sound = torch.stack([clips.waveform(c, f, SAMPLES) for c, f in zip(chosen, firsts, strict=True)])
        text = tokenizer([clips.captions[c] for c in chosen], padding="longest", return_tensors="pt")
        audio = model.get_audio_features(features(sound)).pooler_output
        words = model.get_text_features(text.input_ids, attention_mask=text.attention_mask).pooler_output
        return F.normalize(audio, dim=-1) @ F.normalize(words, dim=-1).t()

    def losses(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        chosen = torch.randint(len(train), (BATCH,), generator=generator).tolist()
        longest = len(train.waveform(0))
        firsts = torch.randint(longest - SAMPLES + 1, (BATCH,), generator=generator).tolist()
        # Training starts from a temperature of 0.1, gentler than CLAP's 0.07.
        logits = scores(train, chosen, firsts) * (model.logit_scale_a.exp().clamp(max=50))
        # Two clips with one and the same caption are both right.
        same = torch.tensor([[train.captions[a] == train.captions[b] for b in chosen] for a in chosen]).float()
        target = same / same.sum(dim=1, keepdim=True)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2
        found = (logits.argmax(dim=1) == torch.arange(BATCH)).float().mean()
        return {"loss": loss, "found": found}

    def look() -> dict[str, float]:
        values = torch.cat(
            [scores(held_out, list(range(first, first + 30)), [0] * 30)[None] for first in range(0, 240, 30)]
        )
        matching = values.diagonal(dim1=1, dim2=2)[..., None]
        others = ~torch.eye(30, dtype=torch.bool).expand_as(values)
        return {"matching_above": (matching > values)[others].float().mean().item()}

    with torch.no_grad():
        for parameter in (model.logit_scale_a, model.logit_scale_t):
            parameter.fill_(2.3)
    return Training("clap", model, losses, steps, rate=1e-3, held_out=look, held_out_every=200, average=0.995)


class Features:
    """The features of `ClapFeatureExtractor`, for batches and many times faster; a test holds the two together."""

    def __init__(self):
        extractor = components.feature_extractor()
        self._filters = torch.from_numpy(extractor.mel_filters_slaney).float()
        self._width, self._hop = extractor.fft_window_size, extractor.hop_length

    def __call__(self, waveforms: Tensor) -> Tensor:
        """`[B, samples]` -> `[B, 1, frames, 64]`, decibels."""
        window = torch.hann_window(self._width)
        spectra = torch.stft(waveforms, self._width, self._hop, window=window, return_complex=True)
        power = spectra.real.square() + spectra.imag.square()
        mel = torch.einsum("kf,bkt->btf", self._filters, power)
        return 10 * mel.clamp(min=1e-10).log10()[:, None]
