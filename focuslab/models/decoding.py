"""From the latents of a long clip to its samples in windows of time, so that memory and time stay linear in length.

The middle attention of a VAE is quadratic in the length, and the activations of VAE and vocoder outgrow those of the
UNet. The VAE decodes long clips in the overlapping tiles of diffusers' own `AutoencoderKL.tiled_decode`, blended where
they overlap. A tile has its own statistics in the group norms and its own attention, so this is an approximation
(`tests/test_models_decoding.py` holds how near it has to be). The vocoder is a convolution of a known reach, so pieces
that overlap by it give the samples of the whole.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import SpeechT5HifiGan

from focuslab.models.lengths import frame_seconds, latent_frame_seconds, latent_frames

WHOLE_SECONDS = 80.0
"""Up to this length a clip is decoded whole, and is bit for bit what the pipeline makes of it."""
WINDOW_SECONDS = 40.96
"""The longest tile of the VAE."""
OVERLAP = 1 / 16
"""Share of a tile that the next one overlaps: 2.56 s of the longest, more than the reach of the decoder's convolutions.
A power of two, so that diffusers computes whole frames from it."""
PIECE_SECONDS = 20.48
"""What the vocoder makes at once."""

OnWindow = Callable[[str, int, int], None]
"""(stage, windows done, windows in all)."""


@contextmanager
def decoding_in_windows(pipe, seconds: float, on_window: OnWindow | None = None) -> Iterator[None]:
    """Let a pipeline decode clips of more than `WHOLE_SECONDS` in windows while entered; shorter ones whole.

    Parameters
    ----------
    pipe
        The pipeline.
    seconds : float
        The length of the clip.
    on_window : callable, optional
        Called with the stage, "vae_decoder" or "vocoder", how many of its windows are done, and how many there are.
    """
    frames = latent_frames(pipe, seconds)
    tile, piece = frames, frames * pipe.vae_scale_factor
    if seconds > WHOLE_SECONDS:
        tile = tile_frames(frames, round(WINDOW_SECONDS / latent_frame_seconds(pipe)))
        piece = round(PIECE_SECONDS / frame_seconds(pipe))
    with _tiles_of(pipe.vae, frames, tile, on_window), _pieces_of(pipe.vocoder, piece, on_window):
        yield


def tile_frames(frames: int, longest: int) -> int:
    """Frames of the tiles for `frames` latent frames: the number near `longest` whose last tile is the longest.

    The group norms of a short last tile would see little of the clip.
    """
    of = round(1 / OVERLAP)
    return max(range(longest // of * of, longest // 2, -of), key=lambda tile: _last(frames, tile) / tile)


def _last(frames: int, tile: int) -> int:
    step = int(tile * (1 - OVERLAP))
    return min((frames - 1) % step + 1, tile)


@contextmanager
def _tiles_of(vae, frames: int, tile: int, on_window: OnWindow | None) -> Iterator[None]:
    done = 0
    names = ("use_tiling", "tile_latent_min_size", "tile_sample_min_size", "tile_overlap_factor")
    before = {name: getattr(vae, name) for name in names}
    # Whoever has switched tiling on has chosen its tiles.
    if tile < frames and not vae.use_tiling:
        scale = 2 ** (len(vae.config.block_out_channels) - 1)
        vae.use_tiling, vae.tile_overlap_factor = True, OVERLAP
        vae.tile_latent_min_size, vae.tile_sample_min_size = tile, tile * scale
    tiled = vae.use_tiling and frames > vae.tile_latent_min_size
    step = int(vae.tile_latent_min_size * (1 - vae.tile_overlap_factor))
    tiles = math.ceil(frames / step) if tiled else 1

    def after_tile(*_) -> None:
        nonlocal done
        done += 1
        if on_window:
            on_window("vae_decoder", min(done, tiles), tiles)

    hook = vae.decoder.register_forward_hook(after_tile)
    try:
        yield
    finally:
        hook.remove()
        for name, value in before.items():
            setattr(vae, name, value)


@contextmanager
def _pieces_of(vocoder, piece: int, on_window: OnWindow | None) -> Iterator[None]:
    forward, before = vocoder.forward, vars(vocoder).get("forward")
    config = vocoder.config
    # The reach of any other vocoder is not known.
    divisible = isinstance(getattr(vocoder, "_orig_mod", vocoder), SpeechT5HifiGan)

    def in_pieces(spectrogram: Tensor) -> Tensor:
        """Samples `[B, n]` of mels `[B, frames, 64]`."""
        frames = spectrogram.shape[-2]
        size = piece if divisible else frames
        firsts = range(0, frames, size)
        reach, hop = (vocoder_reach(config) if len(firsts) > 1 else 0), math.prod(config.upsample_rates)
        made = []
        for number, first in enumerate(firsts):
            begin = max(first - reach, 0)
            samples = forward(spectrogram[..., begin : first + size + reach, :])
            # Where a stage adds samples at its end, as an odd kernel less stride does, the last piece has them.
            end = None if number == len(firsts) - 1 else (first - begin + size) * hop
            made.append(samples[..., (first - begin) * hop : end])
            if on_window:
                on_window("vocoder", number + 1, len(firsts))
        return torch.cat(made, dim=-1)

    vocoder.forward = in_pieces
    try:
        yield
    finally:
        if before is None:
            del vocoder.forward
        else:
            vocoder.forward = before


def vocoder_reach(config) -> int:
    """Mel frames to either side that a sample of a HiFi-GAN can depend on, by its convolutions."""
    outer = 7 // 2
    reach, rate = float(outer), 1
    for stride, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        reach += math.ceil(kernel / stride) / rate
        rate *= stride
        layers = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
        reach += max(sum((kernel // 2) * (dilation + 1) for dilation in of) for kernel, of in layers) / rate
    return math.ceil(reach + outer / rate) + 1
