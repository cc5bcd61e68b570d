"""Components of random models, which the families put together."""

import math
from typing import Any

import diffusers
import torch
import transformers

from focuslab.models.recipes import Recipe
from focuslab.models.tokenizers import MAX_LENGTH


def fill(module: torch.nn.Module, dtype: torch.dtype, pool: torch.Tensor, generator: torch.Generator) -> None:
    """Give a module made on the meta device weights that keep activations near unit size.

    Each weight is a stretch of `pool` (standard normal) from a random place on: copying is several times faster than
    drawing hundreds of millions of numbers, and weights of different places do not look alike to the model.
    """
    state = {}
    for name, empty in module.state_dict().items():
        if empty.ndim < 2 and name.endswith(("weight", "scale")):  # gains of norms, the vocoder's scale
            weight = torch.ones(empty.shape)
        elif empty.ndim < 2 and name.endswith(("bias", "mean")):
            weight = torch.zeros(empty.shape)
        else:  # the one-dimensional ones left are embeddings of the projection
            start = int(torch.randint(len(pool) - empty.numel() + 1, (), generator=generator))
            fan_in = empty[0].numel()
            weight = pool[start : start + empty.numel()].view(empty.shape) * (1 / math.sqrt(fan_in))
        state[name] = weight.to(dtype)
    module.load_state_dict(state, assign=True)
    module.eval()


def unet_sizes(recipe: Recipe) -> dict[str, Any]:
    """What the UNets of all families are given."""
    return {
        "sample_size": recipe.training_frames,
        "in_channels": 8,
        "out_channels": 8,
        "block_out_channels": recipe.unet_channels,
        "layers_per_block": recipe.unet_layers,
        "norm_num_groups": recipe.norm_groups,
        "transformer_layers_per_block": recipe.unet_depth,
        "attention_head_dim": recipe.unet_heads,  # diffusers' name for the number of heads
    }


def ddim() -> diffusers.DDIMScheduler:
    """That of the checkpoints of the AudioLDM authors."""
    return diffusers.DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def vae(recipe: Recipe) -> diffusers.AutoencoderKL:
    return diffusers.AutoencoderKL(
        sample_size=1024,
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=recipe.vae_channels,
        layers_per_block=recipe.vae_layers,
        norm_num_groups=recipe.norm_groups,
        latent_channels=8,
        scaling_factor=0.41,
    )


VOCODER = {
    "model_in_dim": 64,
    "sampling_rate": 16000,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "normalize_before": False,
}
"""The AudioLDM authors' vocoder, but for its width."""


def vocoder(recipe: Recipe) -> transformers.SpeechT5HifiGan:
    config = transformers.SpeechT5HifiGanConfig(**VOCODER, upsample_initial_channel=recipe.vocoder_channels)
    return transformers.SpeechT5HifiGan(config)


def clap(recipe: Recipe, tokenizer, longest: int = MAX_LENGTH) -> transformers.ClapModel:
    # The pipelines use the audio half only to rank several waveforms of one prompt.
    patches = {"patch_size": 4, "patch_stride": [4, 4], "patch_embeds_hidden_size": 16, "window_size": 4}
    layers = {"depths": [1, 1], "num_attention_heads": [1, 1], "num_hidden_layers": 2, "hidden_size": 32}
    audio = {"spec_size": 64, "num_mel_bins": 64, **patches, **layers, "projection_dim": recipe.clap_width}
    text = clap_text(recipe, tokenizer, longest).to_dict()
    return transformers.ClapModel(
        transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=recipe.clap_width)
    )


def clap_text(recipe: Recipe, tokenizer, longest: int) -> transformers.ClapTextConfig:
    """Of a text half that takes up to `longest` tokens, and as many as the tokenizer gives."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 1}
    return transformers.ClapTextConfig(
        **sizes,
        vocab_size=len(tokenizer),
        # RoBERTa numbers positions from pad_token_id + 1 on.
        max_position_embeddings=max(MAX_LENGTH, longest) + tokenizer.pad_token_id + 1,
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "pad", "eos")},
        projection_dim=recipe.clap_width,
    )


def clap_extractor() -> transformers.ClapFeatureExtractor:
    return transformers.ClapFeatureExtractor(feature_size=64, sampling_rate=48000)


def t5(recipe: Recipe, tokenizer) -> transformers.T5EncoderModel:
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=len(tokenizer),
            d_model=recipe.t5_width,
            d_kv=16,
            d_ff=2 * recipe.t5_width,
            num_heads=2,
            num_layers=1,
            feed_forward_proj="gated-gelu",
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def gpt2(recipe: Recipe) -> transformers.GPT2LMHeadModel:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=16,  # the pipeline feeds it embeddings and reads hidden states: it never sees a token
            n_positions=4 * MAX_LENGTH,
            n_embd=recipe.gpt2_width,
            n_layer=1,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
            # The default suits wide models: at these widths attention would add next to nothing of the prompt.
            initializer_range=1 / math.sqrt(recipe.gpt2_width),
            max_new_tokens=8,
        )
    )
