"""CLAP: sounds and captions in one space.

AudioLDM2 is conditioned on LAION's music_speech_audioset_epoch_15_esc_89.98 (haoheliu/audioldm_eval scores with the
same); the default here is another training, 630k-audioset-best, which transformers has as laion/clap-htsat-unfused.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focuslab.errors import InputError
from focuslab.metrics.embedders import Embedder

if TYPE_CHECKING:
    import torch
    from transformers import ClapFeatureExtractor, ClapModel, PreTrainedTokenizerBase

CHECKPOINT = "laion/clap-htsat-unfused"
_TEXTS = 64
"""Captions embedded at a time."""


@dataclass(frozen=True, eq=False)
class Clap(Embedder):
    """Rows of length 1, of a window of sound or of a caption; their product is the cosine of `clap_score`."""

    model: "ClapModel" = field(repr=False)
    feature_extractor: "ClapFeatureExtractor" = field(repr=False)
    tokenizer: "PreTrainedTokenizerBase" = field(repr=False)

    @classmethod
    def of(cls, model: Any, feature_extractor: Any, tokenizer: Any, checkpoint: str) -> "Clap":
        """The embedder of parts that are there already. Raises `InputError` for parts that do not fit together."""
        audio = model.config.audio_config
        if feature_extractor.feature_size != audio.num_mel_bins:
            raise InputError(
                f"the feature extractor of {checkpoint} makes {feature_extractor.feature_size} mel bins and its model "
                f"takes {audio.num_mel_bins}: give parts of one checkpoint"
            )
        if len(tokenizer) > model.config.text_config.vocab_size:
            raise InputError(
                f"the tokenizer of {checkpoint} knows {len(tokenizer)} tokens and its model "
                f"{model.config.text_config.vocab_size}: give parts of one checkpoint"
            )
        # Frames at both ends included; the encoder lays them out in a square image.
        most_frames = audio.spec_size * (audio.spec_size // audio.num_mel_bins)
        return cls(
            name="clap",
            checkpoint=checkpoint,
            sampling_rate=feature_extractor.sampling_rate,
            window_samples=min(feature_extractor.nb_max_samples, (most_frames - 1) * feature_extractor.hop_length),
            dimension=model.config.projection_dim,
            model=model,
            feature_extractor=feature_extractor,
            tokenizer=tokenizer,
        )

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 `[len(texts), dimension]`; captions longer than the checkpoint takes are cut at its last token."""
        if isinstance(texts, str) or not texts:
            raise InputError(f"captions {texts!r} cannot be embedded: expected a list of one text or more")
        import torch

        from focuslab.models.placement import device_of_module

        rows, device = [], device_of_module(self.model.text_model)
        for start in range(0, len(texts), _TEXTS):
            cut = {"padding": True, "truncation": True, "max_length": self._most_tokens}
            tokens = self.tokenizer(list(texts[start : start + _TEXTS]), **cut, return_tensors="pt").to(device)
            with torch.inference_mode():
                found = self.model.get_text_features(tokens.input_ids, attention_mask=tokens.attention_mask)
            rows.append(_array(found.pooler_output))
        return np.concatenate(rows)

    @property
    def _most_tokens(self) -> int:
        text = self.model.config.text_config
        # RoBERTa numbers positions from pad_token_id + 1 on.
        return min(self.tokenizer.model_max_length, text.max_position_embeddings - text.pad_token_id - 1)

    def _embed(self, windows: list[np.ndarray]) -> np.ndarray:
        import torch

        from focuslab.models.placement import device_of_module

        fused = self.model.config.audio_config.enable_fusion
        cut = {"max_length": self.window_samples, "truncation": "fusion" if fused else "rand_trunc"}
        with _numpy_state():
            features = self.feature_extractor(windows, sampling_rate=self.sampling_rate, **cut, return_tensors="pt")
        features = features.input_features
        device = device_of_module(self.model.audio_model)
        features = features.to(device, self.model.dtype)
        # No window is longer than the checkpoint takes; the extractor of fused ones would pick one and say it is.
        is_longer = torch.zeros(len(windows), 1, dtype=torch.bool, device=device)
        with torch.inference_mode():
            found = self.model.get_audio_features(features, is_longer=is_longer)
        return _array(found.pooler_output)


def load_clap(
    checkpoint: "str | os.PathLike[str]" = CHECKPOINT,
    device: "str | torch.device | None" = None,
    *,
    offline: bool = False,
) -> Clap:
    """A CLAP that is ready to embed, in float32 on `device` (None or "auto": CUDA where there is one).

    checkpoint: a hub id, a directory made by `save_pretrained` of model, feature extractor and tokenizer, the directory
    of an AudioLDM2 pipeline (its own CLAP, which conditions it), or "tiny" for the bundled model's, which needs no
    download. Raises `InputError` for whatever is not there, not whole or no CLAP.
    """
    from focuslab.metrics.embedders import locate
    from focuslab.models.directory import read_index
    from focuslab.models.specs import bundled

    given = os.fspath(checkpoint)
    path = bundled() if given == "tiny" else Path(given).expanduser()
    if given and (path / "model_index.json").is_file():
        _index, family = read_index(path / "model_index.json", given)
        if "ClapModel" not in family.classes["text_encoder"]:
            raise InputError(f"{given} has no whole CLAP: {family.name} is conditioned otherwise; name a CLAP itself")
        model, extractor, tokenizer = (path / part for part in ("text_encoder", "feature_extractor", "tokenizer"))
        name = _of_pipeline(given)
    else:
        folder, name = locate(given, "clap", f"a CLAP of transformers such as {CHECKPOINT!r}", offline)
        model = extractor = tokenizer = folder
    return _load(model, extractor, tokenizer, name, device)


def clap_of(pipe: Any) -> Clap:
    """The CLAP that conditions an AudioLDM2 pipeline, on its device and in its type; nothing is copied.

    It flatters the pipeline it conditions: a score of it is to say so.
    """
    from focuslab.models.identity import model_name

    if not has_clap(pipe):
        raise InputError(f"this {type(pipe).__name__} has no whole CLAP of its own: name one, such as {CHECKPOINT!r}")
    name = _of_pipeline(model_name(pipe))
    return Clap.of(pipe.text_encoder, pipe.feature_extractor, pipe.tokenizer, name)


def has_clap(pipe: Any) -> bool:
    """Whether a pipeline is conditioned by a CLAP that can hear too. AudioLDM has the text half, Tango a T5."""
    return hasattr(pipe.text_encoder, "audio_model") and hasattr(pipe, "feature_extractor")


def _of_pipeline(name: str) -> str:
    return f"{name} (the text_encoder of the pipeline)"


def _load(model: Path, feature_extractor: Path, tokenizer: Path, name: str, device: Any) -> Clap:
    import torch

    from focuslab.models.directory import check_files, check_weights, load_part
    from focuslab.models.libraries import quiet
    from focuslab.models.placement import resolve_device

    device = resolve_device(device)
    check_weights(model, "model", model)
    check_files(feature_extractor, "feature_extractor", feature_extractor)
    check_files(tokenizer, "tokenizer", tokenizer)
    with quiet():
        return Clap.of(
            load_part(model, "ClapModel", torch.float32).to(device),
            load_part(feature_extractor, "ClapFeatureExtractor", None),
            load_part(tokenizer, "RobertaTokenizer", None),
            name,
        )


def _array(rows: "torch.Tensor") -> np.ndarray:
    return rows.float().cpu().numpy()


@contextmanager
def _numpy_state() -> Iterator[None]:
    """The extractor draws from numpy's global generator even where the draw changes nothing: leave that as it was."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)
