"""The recording processor: what it records against brute force, and that it leaves the generation as it was."""

import math
from contextlib import ExitStack
from unittest.mock import patch

import pytest
import torch

from focuslab import LiteFocus
from focuslab.attention import kernels
from focuslab.attention.grid import Grid
from focuslab.attention.statistics import SampledStatistics
from focuslab.errors import FocuslabError, InputError
from focuslab.hooks.map_crops import Crop, MapCrop, map_crops_at, parse_crop, parse_query
from focuslab.hooks.meta_cost import meta_cost, meta_unet
from focuslab.hooks.recorder import HALVES, STATISTICS, Recorder, Request
from focuslab.models.conditioning import encode_prompt, unet_inputs
from focuslab.models.sites import find_sites, select_sites
from tests.test_attention_mass import LargestTensor, off

EVERYTHING = Request(focus={"0": LiteFocus(cross_fraction=0), "0.2": LiteFocus(cross_fraction=0.2)})
LEVELS = ("down_blocks.1.attentions.0.*", "down_blocks.2.attentions.0.*", "mid_block.attentions.1.*")


class Spy:
    """q, k, v and the output of every call of some sites, as the modules around the recorder see them."""

    def __init__(self, pipe, names):
        self.seen = {name: [] for name in names}
        self._hooks = []
        for name in names:
            attn = pipe.unet.get_submodule(name)
            for part in ("to_q", "to_k", "to_v"):
                self._hooks.append(getattr(attn, part).register_forward_hook(self._keep(name, attn.heads)))
            self._hooks.append(attn.register_forward_hook(self._keep(name, None)))

    def _keep(self, name, heads):
        def hook(_module, _args, out):
            self.seen[name].append(out.unflatten(-1, (heads, -1)).transpose(1, 2) if heads else out)

        return hook

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for hook in self._hooks:
            hook.remove()

    def calls(self, name):
        """(q, k, v, out) of each call."""
        seen = self.seen[name]
        return [seen[i : i + 4] for i in range(0, len(seen), 4)]


@pytest.fixture(scope="module")
def recorded(session_pipe):
    """Two recorded steps of three, and what a spy saw of them."""
    pipe, recorder, taken = session_pipe, Recorder(EVERYTHING, {0, 2}), []
    names = [site.name for site in select_sites(find_sites(pipe), LEVELS)]
    with Spy(pipe, names) as spy, recorder.attach(pipe, LEVELS) as handle:
        pipe(
            "rain",
            audio_length_in_s=1.28,
            num_inference_steps=3,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
            callback=lambda *_: taken.append(recorder.take()),
        )
    assert [site.name for site in handle.sites] == names
    return taken, spy


def softmax_map(q, k):
    return (q.double() @ k.double().transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)


def mean_and_std(x):
    return torch.stack([x.mean(-1), x.std(-1, correction=0)], -1)


def test_the_recorded_steps_and_no_others_are_taken(recorded):
    taken, spy = recorded
    assert [len(records) for records in taken] == [len(spy.seen), 0, len(spy.seen)]
    assert [r.call.step for r in taken[2]] == [2] * len(spy.seen)
    assert [r.call.site.name for r in taken[0]] == list(spy.seen)
    assert {(r.call.grid.time, r.call.grid.mel_rows) for r in taken[0]} == {(16, 8), (8, 4), (4, 2)}


def test_what_is_recorded_is_what_the_definitions_say(pipe, recorded):
    taken, spy = recorded
    for record in (r for records in taken for r in records):
        name, grid, values = record.call.site.name, record.call.grid, record.values
        q, k, v, out = spy.calls(name)[record.call.step]
        p = softmax_map(q, k)
        row = torch.arange(grid.tokens) % grid.mel_rows
        own = row[:, None] == row
        assert off(values["mass"], mean_and_std((p * own).sum(-1))) < 1e-5
        core = p @ v.double()
        layers = pipe.unet.get_submodule(name).to_out
        for label, method in EVERYTHING.focus.items():
            focus = own.clone()
            keys, _ = method.sampled_keys(record.call, torch.device("cpu"))
            if keys is not None:
                focus[:, keys.index] = True
            assert (label == "0") == (keys is None)
            inside = p * focus
            assert off(values[f"recall/{label}"], mean_and_std(inside.sum(-1))) < 1e-5
            sparse = (inside / inside.sum(-1, keepdim=True)) @ v.double()
            error = (core - sparse).norm(dim=(2, 3)) / core.norm(dim=(2, 3))
            assert off(values[f"output_error/{label}"], error) < 1e-5
            with torch.no_grad():
                sparse_out = layers[0](sparse.float().transpose(1, 2).flatten(2))
            error = (out - sparse_out).norm(dim=(1, 2)) / out.norm(dim=(1, 2))
            assert off(values[f"site_error/{label}"], error) < 1e-5
        sampled = SampledStatistics(
            grid, torch.arange(grid.time), entropy=True, rows=True, lags=2**record.call.site.level
        ).measure(q, k, q.shape[-1] ** -0.5)
        assert sampled.keys() < values.keys()
        for key, value in sampled.items():
            assert torch.equal(values[key], value)
    everything = {"mass", "entropy", "rows", "lag_own", "lag_other", "lag_chance", "sampling", "sampling_all"}
    everything |= {f"{kind}/{r}" for kind in ("recall", "output_error", "site_error") for r in EVERYTHING.focus}
    assert values.keys() == everything


def test_the_error_is_that_of_the_method_itself(pipe, recorded):
    taken, spy = recorded
    method = EVERYTHING.focus["0.2"]
    for record in taken[0]:
        q, k, v, _ = spy.calls(record.call.site.name)[0]
        dense, sparse = torch.nn.functional.scaled_dot_product_attention(q, k, v), method.core(q, k, v, record.call)
        error = (dense - sparse).norm(dim=(2, 3)) / dense.norm(dim=(2, 3))
        assert off(record.values["output_error/0.2"], error) < 1e-5


def test_the_halves_are_kept_apart(recorded):
    taken, _ = recorded
    assert HALVES == ("unconditional", "conditional")
    # The first site sees no prompt yet.
    for record in taken[2][1:]:
        unconditional, conditional = record.values["mass"]
        assert torch.equal(unconditional, conditional) == record.call.site.name.startswith("down_blocks.1")


def test_a_recorded_generation_is_bit_for_bit_the_plain_one(pipe, sound):
    plain = sound(steps=3)
    for steps in ({0, 1, 2}, {1}, ()):
        recorder = Recorder(EVERYTHING, steps)
        with recorder.attach(pipe, "*"):
            recorded = sound(steps=3)
        assert (recorded == plain).all()
        assert len(recorder.take()) == len(steps) * len(find_sites(pipe))


def test_with_another_kernel_it_is_the_plain_one_within_rounding(pipe, sound):
    plain = sound(steps=3)
    with patch.object(kernels, "lse_kernel", lambda *_: None), Recorder(EVERYTHING, {0, 1, 2}).attach(pipe, "*"):
        recorded = sound(steps=3)
    assert 0 < abs(recorded - plain).max() < 1e-4 * abs(plain).max()


def test_a_step_that_is_not_recorded_runs_the_very_processor_that_was_there(pipe, sound, monkeypatch):
    site = find_sites(pipe)[0]
    processor, calls = pipe.unet.get_submodule(site.name).processor, []
    plain = type(processor).__call__

    def counting(self, *args, **kwargs):
        calls.append(self)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(type(processor), "__call__", counting)
    with Recorder(EVERYTHING, {1}).attach(pipe, site.name):
        sound(steps=3)
    assert sum(called is processor for called in calls) == 2


def test_only_what_was_asked_for_is_computed(pipe, sound):
    labels = {"row": lambda grid: (torch.arange(grid.tokens) % grid.mel_rows, grid.mel_rows)}
    patterns = {"itself": lambda grid, tokens: tokens[:, None] == torch.arange(grid.tokens)}
    focus = {"0.1": LiteFocus()}
    for request, names in (
        (Request(("mass",), focus), {"mass"}),
        (Request(("recall",), focus), {"recall/0.1"}),
        (Request(("output_error",), focus), {"output_error/0.1", "site_error/0.1"}),
        (Request(("recall", "output_error")), set()),
        (Request(("entropy",)), {"entropy"}),
        (Request(("lag",)), {"lag_own", "lag_other", "lag_chance"}),
        (Request((), labels=labels), {"labels/row"}),
        (Request((), patterns=patterns), {"patterns/itself", "patterns_chance/itself"}),
    ):
        recorder = Recorder(request, {0})
        with recorder.attach(pipe, "mid_block"):
            sound(steps=1)
        assert all(record.values.keys() == names for record in recorder.take())
    assert {"mass", "recall", "output_error", "entropy", "rows", "lag", "sampling"} == set(STATISTICS)


def test_a_weight_is_that_of_the_method(pipe, sound):
    focus = {"1": LiteFocus(cross_fraction=0.25), "unbiased": LiteFocus(cross_fraction=0.25, cross_weight="unbiased")}
    recorder = Recorder(Request(("recall", "output_error"), focus), {0})
    names = [site.name for site in select_sites(find_sites(pipe), "mid_block")]
    with Spy(pipe, names) as spy, recorder.attach(pipe, "mid_block"):
        sound(steps=1)
    for record in recorder.take():
        q, k, v, _ = spy.calls(record.call.site.name)[0]
        dense = softmax_map(q, k) @ v.double()
        sparse = focus["unbiased"].core(q, k, v, record.call)
        error = (dense - sparse).norm(dim=(2, 3)) / dense.norm(dim=(2, 3))
        assert off(record.values["output_error/unbiased"], error) < 1e-5
        # It moves no probability into the focus set.
        assert torch.equal(record.values["recall/1"], record.values["recall/unbiased"])
        assert not torch.equal(record.values["output_error/1"], record.values["output_error/unbiased"])


def test_the_sample_is_drawn_anew_for_each_call_and_the_same_for_one_seed(pipe, sound):
    def rows(seed):
        recorder = Recorder(Request(("rows",), sampled_times=3, seed=seed), {0, 1})
        with recorder.attach(pipe, "down_blocks.1.attentions.0.*"):
            sound(steps=2)
        return [record.values["rows"] for record in recorder.take()]

    assert all(map(torch.equal, rows(0), rows(0)))
    assert not any(map(torch.equal, rows(0), rows(1)))


# What is not finite.


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("part, what", [("to_q", "queries"), ("to_k", "keys"), ("to_v", "values")])
def test_what_is_not_finite_names_site_half_step_and_dtype(pipe, sound, part, what, bad):
    site = find_sites(pipe)[5]
    recorder = Recorder(EVERYTHING, {1})
    calls = []

    def spoil(_module, _args, out):
        calls.append(1)
        if len(calls) == 2:
            out[1, 3, 0] = bad

    module = getattr(pipe.unet.get_submodule(site.name), part)
    with ExitStack() as stack:
        stack.callback(module.register_forward_hook(spoil).remove)
        stack.enter_context(recorder.attach(pipe, site.name))
        sound(steps=2)
    with pytest.raises(FocuslabError) as caught:
        recorder.take()
    expected = f"{site.name} has NaN or infinity in its {what}, in the conditional half at step 1, in float32"
    assert str(caught.value).startswith(expected) and "\n" not in str(caught.value)
    assert recorder.take() == []


def test_scores_that_overflow_are_found(pipe, sound):
    site = find_sites(pipe)[0]
    modules = [getattr(pipe.unet.get_submodule(site.name), part) for part in ("to_q", "to_k")]
    recorder = Recorder(Request(("mass",)), {0})
    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(lambda m, a, out: out * 1e25).remove)
        stack.enter_context(recorder.attach(pipe, site.name))
        sound(steps=1)
    with pytest.raises(FocuslabError, match="in its scores, in the unconditional half"):
        recorder.take()


def test_a_batch_without_guidance_is_refused(pipe):
    with Recorder(EVERYTHING, {0}).attach(pipe, "*"), pytest.raises(FocuslabError, match="batch of 1"):
        pipe("rain", audio_length_in_s=0.64, num_inference_steps=1, guidance_scale=1.0, output_type="latent")


def test_a_site_that_is_taken_is_refused(pipe):
    with LiteFocus()(pipe), pytest.raises(InputError, match="already"), Recorder(EVERYTHING, {0}).attach(pipe, "*"):
        pass


# Cost.


@pytest.fixture(scope="module")
def on_meta(session_pipe):
    conditioning = encode_prompt(session_pipe, "rain")
    twin, known = meta_unet(session_pipe.unet), {}

    def run(seconds, request):
        if (key := (seconds, repr(request))) not in known:
            recorder, inputs = Recorder(request, {0}), unet_inputs(session_pipe, conditioning, seconds)
            known[key] = meta_cost(twin, inputs, lambda unet: recorder.attach(unet, "*"))
        return known[key]

    return run


def test_nothing_waits_for_the_device(on_meta):
    # On meta a tensor has no values: whatever looked at one would raise.
    run = on_meta(2.56, EVERYTHING)
    assert len(run.grids) > 0


def test_mass_costs_the_share_of_one_row_and_recall_that_of_the_method(on_meta, session_pipe):
    seconds = 80
    plain = on_meta(seconds, Request(())).total_flops
    grids = on_meta(seconds, Request(())).grids
    widths = {site.name: site.heads * site.head_width for site in find_sites(session_pipe)}
    method = LiteFocus(cross_fraction=0.1)

    def pairs(share):
        return sum(share(grid) * 2 * 4 * grid.tokens**2 * widths[name] for name, grid in grids.items())

    mass = on_meta(seconds, Request(("mass",))).total_flops - plain
    assert mass == pytest.approx(pairs(lambda grid: grid.chance), rel=1e-6)
    focus = on_meta(seconds, Request(("mass", "recall"), {"0.1": method})).total_flops - plain
    assert focus == pytest.approx(pairs(method.density), rel=1e-6)
    out = {name: 2 * 2 * grid.tokens * widths[name] ** 2 for name, grid in grids.items()}
    error = on_meta(seconds, Request(("mass", "recall", "output_error"), {"0.1": method})).total_flops - plain
    assert error == pytest.approx(focus + sum(out.values()), rel=1e-6)


def test_memory_stays_far_below_a_map(on_meta, session_pipe, sound):
    plain = on_meta(80, Request(())).peak_bytes
    everything = on_meta(80, EVERYTHING).peak_bytes
    grid = max(on_meta(80, Request(())).grids.values(), key=lambda grid: grid.tokens)
    assert (grid.time, grid.mel_rows) == (1000, 8)
    assert everything - plain < grid.tokens**2 * 4 / 3  # of one head
    with LargestTensor() as largest, Recorder(EVERYTHING, {0}).attach(session_pipe, "up_blocks.2"):
        sound(steps=1, seconds=10.24)
    assert largest.elements < 2 * 2 * 1024**2


# Exact pieces.


def test_pieces_are_cut_from_the_map(pipe, sound):
    names = [site.name for site in select_sites(find_sites(pipe), ("down_blocks.1.attentions.0.*", "mid_block"))]
    sites = [site for site in find_sites(pipe) if site.name in names]
    grids = {site.name: Grid(16, 8) if site.level == 1 else Grid(4, 2) for site in sites}
    crops = [parse_crop("mid_block:0-3"), parse_crop(f"{names[0]}:120-127:0-63")]
    pieces = map_crops_at(sites, grids, [(3, 5)], crops)
    recorder = Recorder(Request((), pieces=pieces), {0})
    with Spy(pipe, names) as spy, recorder.attach(pipe, names):
        sound(steps=1)
    records = {record.call.site.name: record for record in recorder.take()}
    assert {name: [piece.label for piece, _ in r.pieces] for name, r in records.items()} == {
        name: (["3:5", "120-127:0-63"] if name == names[0] else ["3:5"] if name.startswith("down") else ["0-3"])
        for name in names
    }
    for name, record in records.items():
        q, k, _, _ = spy.calls(name)[0]
        p = softmax_map(q, k)
        for piece, found in record.pieces:
            assert found.dtype == torch.float32
            assert found[0].numel() * 4 == piece.bytes_for(record.call.site)
            if piece.kind == "query":
                assert found.shape[2:] == (16, 8)
                assert off(found, p[:, :, 3 * 8 + 5].unflatten(-1, (16, 8))) < 1e-6
            else:
                expected = p[:, :, :4, :4] if name.startswith("mid") else p[:, :, 120:128, :64]
                assert off(found, expected) < 1e-6


def test_queries_and_crops_are_read_from_text():
    assert parse_query(" 40:3") == parse_query((40, 3)) == parse_query([40, 3]) == (40, 3)
    assert parse_crop("a.b:0-63") == Crop("a.b", (0, 63), (0, 63))
    assert parse_crop("a.*:0-63:8-9") == Crop("a.*", (0, 63), (8, 9))
    for text in ("a.b:0-63", "a.*:0-63:8-9"):
        assert str(parse_crop(text)) == text and parse_crop(parse_crop(text)) == parse_crop(text)
    for wrong in ("40", "40:", "a:b", "1:2:3", "-1:2", (1,), None, 7):
        with pytest.raises(InputError, match="such as 40:3"):
            parse_query(wrong)
    for wrong in ((1.5, 2), (True, 1)):
        with pytest.raises(InputError, match="whole number"):
            parse_query(wrong)
    for wrong in ("a.b", "a.b:3", "a.b:0-", "0-63", ":0-63", "a.b:0-63:", None):
        with pytest.raises(InputError, match="SITE:first-last"):
            parse_crop(wrong)


def test_pieces_outside_of_the_grid_are_refused(session_pipe):
    sites = select_sites(find_sites(session_pipe), ("down_blocks.1", "mid_block"))
    grids = {site.name: Grid(16, 8) if site.level == 1 else Grid(4, 2) for site in sites}
    with pytest.raises(InputError, match="token 16:0 is outside the grid of 16 time steps x 8 mel rows"):
        map_crops_at(sites, grids, [(16, 0)], [])
    with pytest.raises(InputError, match=r"crop mid_block:0-8 is outside the map of mid_block.*tokens 0 to 7"):
        map_crops_at(sites, grids, [], [parse_crop("mid_block:0-8")])
    with pytest.raises(InputError, match="crop mid_block:5-3 is outside"):
        map_crops_at(sites, grids, [], [parse_crop("mid_block:5-3")])
    with pytest.raises(InputError, match="no self-attention site matches 'up_blocks.1'"):
        map_crops_at(sites, grids, [], [parse_crop("up_blocks.1:0-3")])
    kept = map_crops_at(sites, grids, [(15, 7)], [])
    assert {name.split(".")[0] for name, pieces in kept.items() if pieces} == {"down_blocks"}
    assert isinstance(kept[sites[0].name][0], MapCrop)
