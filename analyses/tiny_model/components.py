"""The parts of the small AudioLDM2, before training: AudioLDM2's classes and mel geometry in small sizes."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel, AutoencoderKL
from safetensors.torch import load_file
from torch import nn
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaTokenizer,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

import oscillators
from focuslab.models.families import AUDIOLDM2, RECIPES
from focuslab.models.tokenizers import MAX_LENGTH, byte_tokenizer, character_tokenizer
from sounds import CLASSES
from sounds.clips import draw_facts

CLAP_WIDTH = 96
T5_WIDTH = 96
GPT2_WIDTH = 64
RECIPE = replace(
    RECIPES["random:tiny"],
    unet_channels=(32, 64, 96, 96),
    unet_heads=(1, 2, 3, 3),  # each 32 wide
    unet_contexts=(None, GPT2_WIDTH, T5_WIDTH),
)
CLIP_SECONDS = 10.24
LATENT_FRAMES = 256  # of a clip
LATENT_ROWS = 16


def tokenizers() -> tuple[RobertaTokenizer, T5Tokenizer]:
    """Every word of the training captions is one token; other words fall back to bytes and characters."""
    # However many clips were rendered, the vocabulary is the same: checkpoints rest on it.
    captions = [draw_facts("train", index)[2] for index in range(7200)]
    words = sorted({word for caption in captions for word in re.findall(r"[a-z]+", caption)})
    return byte_tokenizer(captions), character_tokenizer(words)


def vae() -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=1024,
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=8,
        # Attention here would grow with the square of the length, and a decoder of so few steps gains little by it.
        mid_block_add_attention=False,
    )


def vocoder() -> SpeechT5HifiGan:
    """Four stages, of 128, 64, 32 and 16 channels, with what is known of sound in their weights.

    Every stage has the residual layers of the first; those of the others stay empty.
    """
    model = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64,
            sampling_rate=16000,
            upsample_initial_channel=256,
            upsample_rates=list(oscillators.RATES),
            upsample_kernel_sizes=list(oscillators.KERNELS),
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[*oscillators.LEARNT, *(1,) * oscillators.EXPONENTIAL]],
            leaky_relu_slope=0.0,
            normalize_before=True,
        )
    )
    for module in model.modules():
        # Its own initialisation, a deviation of 0.01 whatever the width, makes the signal fainter with every layer.
        if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
            module.reset_parameters()
    oscillators.install(model)
    return model


def feature_extractor() -> ClapFeatureExtractor:
    # At the vocoder's rate, so that nothing is resampled; 1024 samples every 160 as in the vocoder's mel.
    return ClapFeatureExtractor(
        feature_size=64,
        sampling_rate=16000,
        hop_length=160,
        fft_window_size=1024,
        frequency_min=50,
        frequency_max=8000,
        truncation="rand_trunc",
        padding="repeatpad",
    )


def clap(tokenizer: RobertaTokenizer) -> ClapModel:
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        # RoBERTa numbers positions from pad_token_id + 1 on.
        "max_position_embeddings": MAX_LENGTH + tokenizer.pad_token_id + 1,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "projection_dim": CLAP_WIDTH,
    }
    audio = {
        "spec_size": 256,
        "num_mel_bins": 64,
        "window_size": 8,
        "patch_size": 16,
        "patch_stride": [16, 16],
        "patch_embeds_hidden_size": 64,
        "depths": [2, 2],
        "num_attention_heads": [2, 4],
        "num_hidden_layers": 2,
        "hidden_size": 128,
        "projection_dim": CLAP_WIDTH,
        "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0,
        "drop_path_rate": 0.0,
    }
    return ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=CLAP_WIDTH))


def t5(tokenizer: T5Tokenizer) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=T5_WIDTH,
            d_kv=32,
            d_ff=192,
            num_heads=3,
            num_layers=2,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def gpt2() -> GPT2LMHeadModel:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=16,  # the pipeline feeds it embeddings and reads hidden states: it never sees a token
            n_positions=2 * MAX_LENGTH,
            n_embd=GPT2_WIDTH,
            n_layer=2,
            n_head=2,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            max_new_tokens=8,
        )
    )


def projection() -> AudioLDM2ProjectionModel:
    return AudioLDM2ProjectionModel(CLAP_WIDTH, T5_WIDTH, GPT2_WIDTH)


def unet() -> AudioLDM2UNet2DConditionModel:
    return AUDIOLDM2.unet(RECIPE)


class Classifier(nn.Module):
    """Names the class of a log-mel spectrogram `[B, frames, 64]` of any length: `[B, classes]`, logits."""

    def __init__(self, classes: int):
        super().__init__()
        widths = (1, 24, 48, 96, 96)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True))
                for a, b in pairwise(widths)
            ),
            nn.Conv2d(96, 128, (3, 4)),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(256, classes)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        features = self.layers((mels[:, None] + 5) / 3)
        return self.head(torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1))


def trained_classifier() -> Classifier:
    """The classifier that is kept beside its training; its classes are those of `sounds`, sorted."""
    model = Classifier(len(CLASSES))
    model.load_state_dict(load_file(Path(__file__).parent / "classifier.safetensors"))
    return model.float().eval()
