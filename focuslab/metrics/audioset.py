"""AST: what a sound is, in the classes of AudioSet.

Source: Gong et al. 2021, arXiv:2104.01778. The paper's KL divergence is of PANNs' Cnn14 instead: name the tagger.
"""

import os
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from focuslab.errors import InputError
from focuslab.metrics.embedders import Embedder

if TYPE_CHECKING:
    import torch
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

CHECKPOINT = "MIT/ast-finetuned-audioset-10-10-0.4593"
_CLIP_SECONDS = 10
"""The clips of AudioSet: what comes after them in the model's input is padding, in training as here."""
_FRAME, _HOP = 400, 160
"""Samples of a frame and between two, fixed in `ASTFeatureExtractor`."""


@dataclass(frozen=True, eq=False)
class AudioSetTagger(Embedder):
    """Logits of each class; `posteriors` turns them into probabilities, of which a clip's are the mean over windows."""

    model: "ASTForAudioClassification" = field(repr=False)
    feature_extractor: "ASTFeatureExtractor" = field(repr=False)

    @classmethod
    def of(cls, model: Any, feature_extractor: Any, checkpoint: str) -> "AudioSetTagger":
        """The embedder of parts that are there already. Raises `InputError` for parts that do not fit together."""
        made = (feature_extractor.max_length, feature_extractor.num_mel_bins)
        taken = (model.config.max_length, model.config.num_mel_bins)
        if made != taken:
            raise InputError(
                f"the feature extractor of {checkpoint} makes {made[0]} frames of {made[1]} mel bins and its model "
                f"takes {taken[0]} of {taken[1]}: give parts of one checkpoint"
            )
        seen = _FRAME + (feature_extractor.max_length - 1) * _HOP
        return cls(
            name="ast",
            checkpoint=checkpoint,
            sampling_rate=feature_extractor.sampling_rate,
            window_samples=min(_CLIP_SECONDS * feature_extractor.sampling_rate, seen),
            dimension=model.config.num_labels,
            model=model,
            feature_extractor=feature_extractor,
        )

    def _embed(self, windows: list[np.ndarray]) -> np.ndarray:
        import torch

        # Shorter than a frame there would be none: zeros, as what is missing of a window is anyway.
        windows = [np.pad(window, (0, max(0, _FRAME - len(window)))) for window in windows]
        features = self.feature_extractor(windows, sampling_rate=self.sampling_rate, return_tensors="pt").input_values
        with torch.inference_mode():
            found = self.model(features.to(self.model.device, self.model.dtype))
        return found.logits.float().cpu().numpy()


def load_audioset_tagger(
    checkpoint: "str | os.PathLike[str]" = CHECKPOINT,
    device: "str | torch.device | None" = None,
    *,
    offline: bool = False,
) -> AudioSetTagger:
    """An AST that is ready to tag, in float32 on `device` (None or "auto": CUDA where there is one).

    checkpoint: a hub id, or a directory made by `save_pretrained` of model and feature extractor. Raises `InputError`
    for whatever is not there, not whole or no AST.
    """
    import torch

    from focuslab.metrics.embedders import locate
    from focuslab.models.directory import check_files, check_weights, load_part
    from focuslab.models.libraries import quiet
    from focuslab.models.placement import resolve_device

    device = resolve_device(device)
    expected = f"an AST of transformers such as {CHECKPOINT!r}"
    folder, name = locate(checkpoint, "audio-spectrogram-transformer", expected, offline)
    check_weights(folder, "model", folder)
    check_files(folder, "feature_extractor", folder)
    with quiet(), warnings.catch_warnings():
        # One filter of the published checkpoint is empty, as it was in its training.
        warnings.filterwarnings("ignore", message="At least one mel filter")
        model = load_part(folder, "ASTForAudioClassification", torch.float32).to(device)
        return AudioSetTagger.of(model, load_part(folder, "ASTFeatureExtractor", None), name)
