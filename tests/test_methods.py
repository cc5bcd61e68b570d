import logging
import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from focuslab.attention.grid import Grid
from focuslab.errors import InputError
from focuslab.hooks.processors import SiteCall
from focuslab.methods import (
    Bound,
    Broadcast,
    Composition,
    DeepCache,
    Dense,
    Eager,
    LiteFocus,
    SampledFocus,
    TokenMerging,
    as_methods,
    parse_method,
    parse_methods,
)
from focuslab.methods.catalogue import catalogue
from focuslab.models.conditioning import encode_prompt
from focuslab.models.identity import unet_layout
from focuslab.models.sites import Site, find_sites
from tests.brute_force import dense_attention, focus_attention, qkv
from tests.configurations import CACHES, EXACT, METHODS
from tests.plans import everywhere, plan_of
from tests.small_unet import inputs_of, small_unet

SITE = Site("down_blocks.1.attentions.0.transformer_blocks.0.attn1", "holder", "down_blocks.1", 1, 2, 8)


def call(time=31, mel_rows=8, step=0, training_time=16):
    return SiteCall(SITE, Grid(time, mel_rows), step, Grid(training_time, mel_rows))


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_sound_and_exact_methods_the_dense_one(name, pipe, sound):
    dense = torch.from_numpy(sound())
    with METHODS[name](pipe):
        torch.manual_seed(1)
        first = torch.from_numpy(sound())
        torch.manual_seed(2)
        second = torch.from_numpy(sound())
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()
    difference = (first - dense).abs().max() / dense.abs().max()
    assert difference < 1e-4 if name in EXACT else difference > 1e-3


@pytest.mark.parametrize("name", METHODS)
def test_half_precision_stays_half(name, pipe):
    import copy

    for dtype in (torch.bfloat16, torch.float16):
        unet = torch.nn.Module.to(copy.deepcopy(pipe.unet), dtype)
        conditioning = {k: v.to(dtype) if v.is_floating_point() else v for k, v in encode_prompt(pipe, "rain").items()}
        with METHODS[name](unet), torch.no_grad():
            out = unet(
                torch.randn(1, 8, 20, 16, dtype=dtype, generator=torch.Generator().manual_seed(0)),
                torch.tensor(500),
                encoder_hidden_states=conditioning["generated_prompt_embeds"],
                encoder_hidden_states_1=conditioning["prompt_embeds"],
                encoder_attention_mask_1=conditioning["attention_mask"],
            ).sample
        assert out.dtype == dtype and torch.isfinite(out).all()


@pytest.mark.parametrize("name", METHODS)
def test_under_autocast_a_site_gives_the_dtype_of_dense(name):
    unet = small_unet()
    inputs = inputs_of(torch.tensor(500))
    attn = unet.get_submodule(find_sites(unet)[0].name)
    x = torch.randn(2, 16 * 8, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        dense, dense_site = unet(**inputs)[0], attn(x)
        with METHODS[name](unet):
            out, out_site = unet(**inputs)[0], attn(x)
    assert (out.dtype, out_site.dtype) == (dense.dtype, torch.bfloat16) and out_site.dtype == dense_site.dtype
    assert torch.isfinite(out).all()
    if name in EXACT:
        assert (out - dense).norm() < 0.05 * dense.norm()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("time, mel_rows", [(1, 8), (63, 4), (32, 2), (125, 8), (5, 1)])
def test_odd_grids_work_and_the_share_of_pairs_is_a_share(name, time, mel_rows):
    grid = Grid(time, mel_rows)
    # The published code counts a sampled key of the own row twice.
    assert 0 <= METHODS[name].density(grid) <= (1.1 if name == "published" else 1)
    if not isinstance(METHODS[name], TokenMerging):
        out = METHODS[name].core(*qkv(time, mel_rows), call(time, mel_rows))
        assert out.shape == (2, 2, grid.tokens, 8) and torch.isfinite(out).all()


def test_density_follows_its_definition():
    grid = Grid(1000, 8)
    assert LiteFocus().density(grid) == pytest.approx(1 / 8 + 0.1 * 7 / 8)
    assert LiteFocus(cross_fraction=0).density(grid) == 1 / 8
    assert LiteFocus(same_frequency=False).density(grid) == pytest.approx(0.1)
    assert LiteFocus(overlap="twice").density(grid) == pytest.approx(1 / 8 + 0.1)
    assert LiteFocus(cross_fraction=1).density(grid) == 1
    assert TokenMerging().density(grid) == 0.25
    assert TokenMerging().density(Grid(63, 1)) == 1
    assert (Eager().density(grid), Bound().density(grid)) == (1, 0)


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("sampling", ["stratified", "uniform"])
def test_the_unbiased_weight_is_one_over_the_share_really_drawn(sampling, step):
    method = LiteFocus(cross_fraction=0.1, sampling=sampling, cross_weight="unbiased", seed=4)
    q, k, v = qkv(31, 8)
    generator = call(step=step).generator(4)
    if sampling == "stratified":
        positions = torch.rand(8, 31, generator=generator).topk(3, dim=1).indices
        drawn, weight = (positions * 8 + torch.arange(8)[:, None]).flatten(), 31 / 3
    else:
        drawn, weight = torch.randperm(248, generator=generator)[:24], 248 / 24
    expected = focus_attention(q, k, v, 8, same_frequency=True, drawn=drawn, overlap="once", cross_weight=weight)
    assert (method.core(q, k, v, call(step=step)) - expected).abs().max() < 1e-5


def test_draws_are_new_at_every_step_and_site_and_follow_the_seed():
    q, k, v = qkv(31, 8)
    outs = [
        LiteFocus(seed=seed).core(q, k, v, SiteCall(Site(name, "h", "b", 1, 2, 8), Grid(31, 8), step))
        for seed in (0, 1)
        for name in ("a", "b")
        for step in (0, 1)
    ]
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(outs) for b in outs[:i])


def test_all_keys_are_dense_attention_and_few_never_become_none():
    q, k, v = qkv(31, 8)
    assert (LiteFocus(cross_fraction=1).core(q, k, v, call()) - dense_attention(q, k, v)).abs().max() < 1e-5
    for sampling in ("stratified", "uniform"):
        only_drawn = LiteFocus(cross_fraction=0.001, same_frequency=False, sampling=sampling)
        assert torch.isfinite(only_drawn.core(q, k, v, call())).all()
    own_row = LiteFocus(cross_fraction=0.001).core(q, k, v, call())
    assert torch.equal(own_row, LiteFocus(cross_fraction=0).core(q, k, v, call()))


def test_without_the_own_row_unbiased_keys_stand_for_each_other():
    q, k, v = qkv(31, 8)
    plain = LiteFocus(same_frequency=False).core(q, k, v, call())
    assert torch.equal(LiteFocus(same_frequency=False, cross_weight="unbiased").core(q, k, v, call()), plain)


def test_the_bound_gives_the_values_and_dense_attaches_nothing(pipe):
    q, k, v = qkv(5, 2)
    assert Bound().core(q, k, v, call(5, 2)) is v
    before = list(pipe.unet.attn_processors.values())
    with Dense()(pipe) as handle:
        assert handle.sites == ()
        assert all(a is b for a, b in zip(before, pipe.unet.attn_processors.values(), strict=True))


def test_naive_takes_every_self_attention(pipe):
    with Eager()(pipe) as handle:
        assert handle.sites == find_sites(pipe)


def test_token_merging_leaves_a_site_without_a_cell_as_it_is_and_says_so_once(pipe, caplog):
    from focuslab.methods import token_merging

    token_merging._say_left_dense.cache_clear()
    attn = pipe.unet.get_submodule(find_sites(pipe)[0].name)
    width = attn.to_q.in_features
    x = torch.randn(2, 31, width, generator=torch.Generator().manual_seed(0))
    with caplog.at_level(logging.WARNING), torch.no_grad():
        first = TokenMerging().forward(attn, x, call(31, 1))
        TokenMerging().forward(attn, x, call(31, 1))
        expected = attn(x)
    assert torch.allclose(first, expected, atol=1e-6)
    assert [r.getMessage().count("31 time steps x 1 mel rows") for r in caplog.records] == [1]


def test_methods_are_frozen_hashable_and_equal_by_value():
    assert hash(LiteFocus(sites=["a", "b"])) == hash(LiteFocus(sites=("a", "b")))
    assert LiteFocus() == LiteFocus() != LiteFocus(seed=1)
    with pytest.raises(FrozenInstanceError):
        LiteFocus().seed = 3


WRONG = {
    "fraction above 1": (lambda: LiteFocus(cross_fraction=1.1), "cross_fraction.*0 to 1.*1.1"),
    "fraction below 0": (lambda: LiteFocus(cross_fraction=-0.1), "cross_fraction"),
    "fraction NaN": (lambda: LiteFocus(cross_fraction=math.nan), "cross_fraction"),
    "fraction as text": (lambda: LiteFocus(cross_fraction="0.1"), "cross_fraction"),
    "fraction as bool": (lambda: LiteFocus(cross_fraction=True), "cross_fraction"),
    "sampling": (lambda: LiteFocus(sampling="sorted"), "stratified, uniform"),
    "overlap": (lambda: LiteFocus(overlap="never"), "once, twice"),
    "weight text": (lambda: LiteFocus(cross_weight="biased"), "unbiased"),
    "weight zero": (lambda: LiteFocus(cross_weight=0), "cross_weight"),
    "weight infinite": (lambda: LiteFocus(cross_weight=math.inf), "cross_weight"),
    "weight and overlap": (lambda: LiteFocus(overlap="twice", cross_weight="unbiased"), "published code"),
    "nothing left": (lambda: LiteFocus(same_frequency=False, cross_fraction=0), "no keys"),
    "same_frequency": (lambda: LiteFocus(same_frequency="yes"), "True or False"),
    "seed": (lambda: LiteFocus(seed=0.5), "whole number"),
    "tome ratio": (lambda: TokenMerging(ratio=1), "below 1"),
    "tome seed": (lambda: TokenMerging(seed=None), "whole number"),
}


@pytest.mark.parametrize("make, message", WRONG.values(), ids=WRONG)
def test_wrong_parameters_are_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


PARSED = {
    "dense": Dense(),
    "naive": Eager(),
    "litefocus": LiteFocus(),
    "litefocus:cross_fraction=0.2": LiteFocus(cross_fraction=0.2),
    "litefocus:cross_weight=unbiased:seed=3": LiteFocus(cross_weight="unbiased", seed=3),
    "litefocus:same_frequency=False": LiteFocus(same_frequency=False),
    "litefocus:sites=mid_block+up_blocks.1": LiteFocus(sites=("mid_block", "up_blocks.1")),
    "same-frequency": LiteFocus(cross_fraction=0),
    "cross-frequency:cross_fraction=0.4": LiteFocus(cross_fraction=0.4, same_frequency=False),
    "tome:ratio=0.3": TokenMerging(ratio=0.3),
    "bound": Bound(),
}


@pytest.mark.parametrize("text", PARSED)
def test_names_with_parameters_become_methods(text):
    assert parse_method(text) == PARSED[text]


@pytest.mark.parametrize(
    "text, message",
    [
        ("litefocs", "did you mean litefocus"),
        ("", "there is no method"),
        ("litefocus:cross_fracton=0.1", "cross_fraction"),
        ("litefocus:cross_fraction", "parameter=value"),
        ("litefocus:seed=1:seed=2", "twice"),
        ("litefocus:cross_fraction=many", "0 to 1"),
        ("same-frequency:cross_fraction=0.2", "no parameter"),
        ("dense:ratio=0.5", "no parameter"),
    ],
)
def test_wrong_names_and_parameters_say_what_there_is(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_method(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"dense": LiteFocus()}, "'dense' is the name of Dense"),
        ({"litefocus": TokenMerging()}, "'litefocus' is the name of LiteFocus"),
        ({"a\nb": LiteFocus()}, "of one line"),
    ],
)
def test_a_label_is_not_the_name_of_another_method(methods, message):
    with pytest.raises(InputError, match=message):
        as_methods(methods)
    assert as_methods({"dense": Dense(), "mine": LiteFocus()}).keys() == {"dense", "mine"}


def test_lists_of_methods_keep_their_order_and_refuse_repeats():
    assert list(parse_methods([" tome ", "dense"])) == ["tome", "dense"]
    with pytest.raises(InputError, match="twice"):
        parse_methods(["dense", "dense"])
    with pytest.raises(InputError, match="no method was named"):
        parse_methods([])
    assert set(catalogue()) >= {"dense", "naive", "litefocus", "same-frequency", "cross-frequency", "tome", "bound"}


def test_sampled_keys_are_a_number_and_not_a_share():
    method = SampledFocus()
    assert method.density(Grid(1000, 8)) == (250 + 7 * 32) / 8000
    assert method.density(Grid(2000, 8)) == method.density(Grid(1000, 8)) / 2
    assert method.density(Grid(30, 8)) == 1 and method.sample_keys(call(time=30)) is None
    assert method.sample_keys(call(time=300)).shape == (250 + 7 * 32, 8)
    assert SampledFocus(5, 2).density(Grid(20, 1)) == 0.25


def test_sampled_keys_that_take_all_are_dense():
    q, k, v = qkv(31, 8)
    assert (SampledFocus(31, 31).core(q, k, v, call()) - dense_attention(q, k, v)).abs().max() < 1e-5


@pytest.mark.parametrize("counts", [(0, 1), (1, 0), (1.5, 2), ("4", 2), (True, 1)])
def test_numbers_of_sampled_keys_are_whole(counts):
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        SampledFocus(*counts)


COMPOSED = {
    "deepcache:interval=3+sampled": Composition((DeepCache(), SampledFocus())),
    " sampled + deepcache:interval=3 ": Composition((DeepCache(), SampledFocus())),
    "broadcast:sites=mid_block+up_blocks.0:interval=4+litefocus": Composition(
        (Broadcast(interval=4, sites=("mid_block", "up_blocks.0")), LiteFocus())
    ),
    "deepcache:skips=down_blocks.2+tome:ratio=0.3:sites=mid_block+up_blocks.2": Composition(
        (DeepCache(skips="down_blocks.2"), TokenMerging(ratio=0.3, sites=("mid_block", "up_blocks.2")))
    ),
}


@pytest.mark.parametrize("label", COMPOSED)
def test_a_plus_joins_methods_and_within_sites_it_joins_sites(label):
    assert parse_method(label) == COMPOSED[label]


def test_a_plan_stands_last_in_a_composition(tmp_path, pipe):
    site = find_sites(pipe)[0].name
    plan = plan_of({0: everywhere([site])}, unet_layout(pipe))
    plan.write(tmp_path / "a+b.json")
    found = parse_method(f"deepcache+plan:{tmp_path}/a+b.json")
    assert found.parts[0] == DeepCache() and found.sites_at(pipe, 0.64) == plan.sites_at(pipe, 0.64)
    assert repr(found).startswith("DeepCache(interval=3, skips='down_blocks.1') + ")


@pytest.mark.parametrize(
    "text, message",
    [
        ("deepcache:interval=1", "interval must be a whole number of at least 2, not 1"),
        ("broadcast:interval=2.5", "interval must be a whole number of at least 2, not 2.5"),
        ("deepcache:interval=true", "interval must be"),
        ("deepcache:sites=mid_block", "deepcache has no parameter 'sites=mid_block'.* interval, skips"),
        ("deepcache+sampeld", "no method 'sampeld'.* did you mean sampled"),
        ("deepcache+", r"no method 'deepcache\+'"),
        ("deepcache+broadcast", "a composition has one cache"),
        ("litefocus:sites=mid_block+deepcache", "after sites= a \\+ joins sites, and 'deepcache' is a method"),
    ],
)
def test_wrong_caches_and_compositions_are_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_method(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("parts", [(), (LiteFocus(),), (LiteFocus(), "sampled"), (COMPOSED, LiteFocus())])
def test_a_composition_is_of_two_methods_or_more(parts):
    with pytest.raises(InputError, match="a composition is made of"):
        Composition(parts)


@pytest.mark.parametrize("skips", ["down_blocks.0", "up_blocks.1", "down_blocks.9", "mid"])
def test_deepcache_skips_from_a_down_block_on(skips, pipe):
    with pytest.raises(InputError, match=rf"a down block below the first, one of down_blocks\.1.*, not '{skips}'"):
        DeepCache(skips=skips)(pipe)
    with pytest.raises(InputError, match="no self-attention site matches"):
        Broadcast(sites="nowhere").sites_at(pipe, 1)


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_keeps_the_seed_the_dtype_and_its_hash(name, pipe, sound):
    dense = sound()
    with CACHES[name](pipe):
        torch.manual_seed(1)
        first = sound()
        torch.manual_seed(2)
        second = sound()
    assert (first == second).all() and torch.isfinite(torch.from_numpy(first)).all()
    # Reused in the second of two steps.
    assert (first != dense).any()
    assert hash(CACHES[name]) == hash(replace(CACHES[name]))
    half = small_unet().to(torch.bfloat16)
    given = {k: v.bfloat16() if isinstance(v, torch.Tensor) else v for k, v in inputs_of(None).items()}
    with CACHES[name](half), torch.no_grad():
        for timestep in torch.tensor([900, 600]):
            assert half(**{**given, "timestep": timestep})[0].dtype == torch.bfloat16
