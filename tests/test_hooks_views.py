"""Joint diffusion: how latents are cut into views, and how predictions of views are joined."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab import detach
from focuslab.errors import InputError
from focuslab.hooks.views import joined, view_starts
from focuslab.methods import JointDiffusion, SampledFocus, parse_method
from tests.small_unet import inputs_of, small_unet


@settings(deadline=None)
@given(frames=st.integers(1, 500), window=st.integers(2, 60), overlap=st.floats(0, 0.9))
def test_views_cover_the_latents_and_overlap_as_asked(frames, window, overlap):
    starts = view_starts(frames, window, overlap)
    if frames <= window:
        assert starts == [0]
        return
    assert starts[0] == 0 and starts[-1] + window == frames
    # Rounding to whole frames may move a view by half a frame to either side.
    assert all(0 < b - a <= max(1, window * (1 - overlap)) + 1 for a, b in pairwise(starts))


def predictions(starts, window, seed=0):
    return torch.randn(len(starts), 2, 3, window, 4, generator=torch.Generator().manual_seed(seed))


def test_the_average_is_the_mean_of_the_views_of_a_frame():
    starts = [0, 5, 9]
    views = predictions(starts, 8)
    whole = joined(views, starts, 17, "average")
    for t in range(17):
        mean = torch.stack([views[v, :, :, t - s] for v, s in enumerate(starts) if s <= t < s + 8]).mean(dim=0)
        assert torch.allclose(whole[:, :, t], mean, atol=1e-6)


@pytest.mark.parametrize("call", [0, 1])
def test_a_swap_takes_frames_in_turn(call):
    starts = [0, 4]
    views = predictions(starts, 8)
    whole = joined(views, starts, 12, "swap", call)
    for t in range(12):
        view = 0 if t < 4 else 1 if t >= 8 else (t + call) % 2
        assert torch.equal(whole[:, :, t], views[view, :, :, t - starts[view]])


def unet_of_training_length(frames=32):
    unet = small_unet()
    unet.register_to_config(sample_size=frames)
    return unet


def inputs_at(frames):
    given = inputs_of(torch.tensor(500))
    shape = list(given["sample"].shape)
    shape[2] = frames
    return given | {"sample": torch.randn(shape, generator=torch.Generator().manual_seed(1))}


@torch.no_grad()
def test_the_unet_is_run_on_every_view():
    unet, given = unet_of_training_length(), inputs_at(72)
    starts = view_starts(72, 32, 0.25)
    views = [unet(**given | {"sample": given["sample"][:, :, start : start + 32]})[0] for start in starts]
    expected = joined(torch.stack(views), starts, 72, "average", 0)
    with JointDiffusion()(unet):
        out = unet(**given)[0]
    assert out.shape == given["sample"].shape
    assert (out - expected).abs().max() < 1e-5


@torch.no_grad()
def test_up_to_the_training_length_it_is_the_unet_itself_and_leaves_nothing():
    unet, given = unet_of_training_length(), inputs_at(32)
    plain, long = unet(**given)[0], unet(**inputs_at(72))[0]
    with JointDiffusion()(unet):
        assert torch.equal(unet(**given)[0], plain)
        assert not torch.allclose(unet(**inputs_at(72))[0], long, atol=1e-3)
        with pytest.raises(InputError, match="attached already"):
            JointDiffusion()(unet)
    assert "forward" not in vars(unet) and not unet._forward_pre_hooks
    assert torch.equal(unet(**inputs_at(72))[0], long)
    JointDiffusion().attach(unet)
    detach(unet)
    assert torch.equal(unet(**inputs_at(72))[0], long)


@torch.no_grad()
def test_sparse_attention_runs_within_the_views():
    unet, given = unet_of_training_length(), inputs_at(72)
    with JointDiffusion()(unet):
        dense = unet(**given)[0]
        with SampledFocus(own_keys=3, other_keys=1)(unet) as handle:
            sparse = unet(**given)[0]
    assert torch.isfinite(sparse).all() and not torch.allclose(sparse, dense, atol=1e-4)
    assert max(grid.time for grid in handle.grids.values()) <= 32


def test_it_has_a_name_and_refuses_what_it_cannot_do():
    assert parse_method("joint:overlap=0.5") == JointDiffusion(overlap=0.5)
    assert parse_method("joint-swap") == JointDiffusion(join="swap")
    for wrong in ({"overlap": 1}, {"join": "blend"}):
        with pytest.raises(InputError):
            JointDiffusion(**wrong)
    unet = small_unet()
    unet.register_to_config(sample_size=None)
    with pytest.raises(InputError, match="sample_size"):
        JointDiffusion().attach(unet)
