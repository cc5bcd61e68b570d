import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from focuslab import generate, load
from focuslab.hooks.memory import AddedMemory
from focuslab.hooks.meta_cost import meta_decoding_peak
from focuslab.models import decoding
from focuslab.models.conditioning import run_stage
from focuslab.models.decoding import decoding_in_windows, tile_frames, vocoder_reach


def vocoder_of(rates, kernels, resblocks=((3, (1, 3)), (7, (1, 3, 5))), seed=0):
    torch.manual_seed(seed)
    config = SpeechT5HifiGanConfig(
        model_in_dim=8,
        upsample_initial_channel=8 * 2 ** len(rates),
        upsample_rates=list(rates),
        upsample_kernel_sizes=list(kernels),
        resblock_kernel_sizes=[kernel for kernel, _ in resblocks],
        resblock_dilation_sizes=[list(dilations) for _, dilations in resblocks],
    )
    model = SpeechT5HifiGan(config).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv1d, torch.nn.ConvTranspose1d)):
            module.reset_parameters()
    return model


def pipe_of(vae, vocoder):
    return SimpleNamespace(vae=vae, vocoder=vocoder, vae_scale_factor=4)


@pytest.fixture
def short_windows(monkeypatch):
    monkeypatch.setattr(decoding, "WHOLE_SECONDS", 0.5)
    monkeypatch.setattr(decoding, "WINDOW_SECONDS", 2.56)
    monkeypatch.setattr(decoding, "PIECE_SECONDS", 0.64)


@pytest.mark.parametrize(
    ("rates", "kernels"), [((5, 4, 2, 2, 2), (16, 16, 8, 4, 4)), ((1, 5, 4, 8), (3, 15, 64, 64)), ((8, 4), (17, 8))]
)
def test_a_vocoder_in_pieces_gives_the_samples_of_the_whole(pipe, short_windows, rates, kernels):
    vocoder = vocoder_of(rates, kernels)
    mels = torch.randn(1, 333, 8)
    whole = vocoder(mels)
    sizes = []
    vocoder.conv_pre.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))
    seconds = 333 * math.prod(rates) / vocoder.config.sampling_rate
    with decoding_in_windows(pipe_of(pipe.vae, vocoder), seconds):
        pieces = vocoder(mels)
    assert pieces.shape == whole.shape
    assert (pieces - whole).abs().max() < 1e-6
    assert len(sizes) > 1 and max(sizes) <= decoding.PIECE_SECONDS * 16000 / math.prod(rates) + 2 * vocoder_reach(
        vocoder.config
    )


def test_the_reach_of_a_vocoder_is_not_less_than_the_true_one():
    vocoder = vocoder_of((5, 4, 2), (16, 16, 8))
    mels = torch.zeros(1, 201, 8)
    changed = mels.clone()
    changed[:, 100] = 1.0
    hop = 40
    differs = ((vocoder(changed) - vocoder(mels)).abs().squeeze() > 0).nonzero() / hop
    reach = vocoder_reach(vocoder.config)
    assert 100 - reach <= differs.min() and differs.max() < 101 + reach
    assert reach <= 2 * max(100 - differs.min(), differs.max() - 101)


def test_short_clips_are_those_of_the_pipeline(pipe):
    made = generate(pipe, "rain", 0.64, steps=2, seed=3).samples
    plain = pipe(
        "rain",
        audio_length_in_s=0.64,
        num_inference_steps=2,
        guidance_scale=3.5,
        generator=torch.Generator().manual_seed(3),
    ).audios[0]
    assert np.array_equal(made, plain)


def test_tiles_of_the_vae_are_near_the_whole(short_windows):
    tiny = load("tiny")
    latents = torch.randn(1, 8, 300, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = tiny.vae.decode(latents).sample
        tiles = []
        hook = tiny.vae.decoder.register_forward_pre_hook(lambda _, inputs: tiles.append(inputs[0].shape[2]))
        with decoding_in_windows(tiny, 12.0):
            tiled = tiny.vae.decode(latents).sample
        hook.remove()
    assert tiled.shape == whole.shape
    assert len(tiles) > 4 and max(tiles) <= 64
    assert (tiled - whole).norm() < 0.1 * whole.norm()


def test_everything_is_restored_after_the_windows(pipe, short_windows):
    def state():
        vae = pipe.vae
        return vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size, vae.tile_overlap_factor

    before, forward = state(), pipe.vocoder.forward
    with pytest.raises(KeyError), decoding_in_windows(pipe, 2.0):
        raise KeyError
    assert state() == before
    assert "forward" not in vars(pipe.vocoder) and pipe.vocoder.forward == forward
    assert not pipe.vae.decoder._forward_hooks


def test_tiling_that_was_switched_on_stays_as_it_is(pipe, short_windows):
    pipe.vae.enable_tiling()
    try:
        with decoding_in_windows(pipe, 2.0):
            assert pipe.vae.tile_overlap_factor == 0.25
        assert pipe.vae.use_tiling
    finally:
        pipe.vae.disable_tiling()


@pytest.mark.parametrize("frames", [2001, 2049, 4000, 7500, 15000, 7680])
def test_the_last_tile_is_no_short_one(frames):
    tile = tile_frames(frames, 1024)
    step = tile * 15 // 16
    last = frames - (math.ceil(frames / step) - 1) * step
    assert tile % 16 == 0 and 512 <= tile <= 1024
    assert last > 0.8 * tile


def test_the_peak_of_decoding_is_predicted(pipe, short_windows):
    seconds = 20.48
    predicted = meta_decoding_peak(pipe, seconds)
    measured = 0
    for stage in ("vae_decoder", "vocoder"):
        run_stage(pipe, stage, "rain", seconds, 0)
        with AddedMemory("cpu") as memory:
            run_stage(pipe, stage, "rain", seconds, 0)
        measured = max(measured, memory.peak_bytes)
    assert predicted == pytest.approx(measured, rel=0.2)


def test_the_peak_of_decoding_grows_by_its_input_and_output_alone(short_windows):
    vae = AutoencoderKL(
        sample_size=256,
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 32, 32),
        norm_num_groups=4,
        latent_channels=8,
    )
    pipe = pipe_of(vae, vocoder_of((5, 4, 2, 2, 2), (16, 16, 8, 4, 4)))
    pipe._execution_device = torch.device("cpu")
    pipe.vocoder.config.model_in_dim = 64
    twice, once = meta_decoding_peak(pipe, 40.96), meta_decoding_peak(pipe, 20.48)
    assert twice < 1.35 * once


def test_progress_tells_of_every_stage(pipe, short_windows):
    seen = []
    generate(pipe, "rain", 2.56, steps=2, progress=lambda done, total, text: seen.append((done, total, text)))
    shares = [done / total for done, total, _ in seen]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    texts = [text for *_, text in seen]
    assert texts[0].startswith("peak memory beside the weights: about ")
    assert texts[1:3] == ["step 1 of 2", "step 2 of 2"]
    assert texts[-4:] == [f"vocoder, {n} of 4" for n in (1, 2, 3, 4)]
