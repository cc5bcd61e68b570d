"""The scripts under analyses/: what they add to the package is tested like the package."""

import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from focuslab.attention.grid import Grid
from focuslab.hooks.processors import SiteCall
from focuslab.models.sites import Site
from tests.brute_force import focus_attention, qkv

ANALYSES = Path(__file__).parents[1] / "analyses"


@contextmanager
def analysis(name):
    """A script of analyses/ as a module."""
    spec = importlib.util.spec_from_file_location(f"analysis_{name}", ANALYSES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def cost():
    with analysis("01_cost_against_length") as module:
        yield module


@pytest.mark.parametrize("time, mel_rows", [(31, 8), (125, 4), (5, 2)])
def test_the_published_formula_counts_a_key_in_both_sets_twice(cost, time, mel_rows):
    grid = Grid(time, mel_rows)
    call = SiteCall(Site("site", "holder", "block", 1, 2, 8), grid, 3)
    q, k, v = qkv(time, mel_rows)
    drawn = torch.randperm(grid.tokens, generator=call.generator(0))[: grid.tokens // 10]
    switches = {"same_frequency": True, "overlap": "twice", "cross_weight": 1.0}
    expected = focus_attention(q, k, v, mel_rows, drawn=drawn, **switches)
    out = cost.PublishedFormula().core(q, k, v, call)
    assert out.shape == q.shape and (out - expected).abs().max() < 1e-5
    assert cost.PublishedFormula().density(grid) == pytest.approx(1 / mel_rows + drawn.numel() / grid.tokens)


def test_targets_are_marked_met_or_missed(cost, monkeypatch):
    monkeypatch.setattr(cost, "help_seconds", lambda: 0.41)

    def row(step, peak=100, **more):
        modules = [{"inclusive_seconds": step, "exclusive_seconds": step / 2}] * 2
        return {"step_seconds_median": step, "peak_bytes": peak, "modules": modules, **more}

    rows = {}
    for seconds in cost.REPEATS:
        rows[seconds, "dense"] = row(seconds)
        rows[seconds, "litefocus"] = row(seconds / 2, peak=105, share_of_ideal=0.96, speedup_vs_dense=2.0)
        rows[seconds, cost.UNBIASED] = row(seconds / 2 * 1.06)
    rows[80.0, cost.PUBLISHED] = row(120.0)

    class Run:
        summary = {"instrumented_over_plain": 1.02}

    table = cost.targets_markdown(rows, Run)
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines() if line.startswith("| ")}
    assert lines["LiteFocus at 10 s, share of its ideal speed"].endswith("at least 0.95 | 0.960 | met |")
    assert lines["LiteFocus at 160 s, speed-up over fused dense"].endswith("at least 2.3 | 2.000 | missed |")
    assert lines["LiteFocus at 80 s, speed-up over the published formula"].endswith("at least 2.5 | 3.000 | met |")
    assert lines["unbiased weight over weight 1 at 20 s"].endswith("at most 1.05 | 1.060 | missed |")
    assert lines["LiteFocus, growth from 40 to 80 s"].endswith("at most 2.4 | 2.000 | met |")
    assert lines["peak memory at 80 s, LiteFocus over dense"].endswith("at most 1.1 | 1.050 | met |")
    assert lines["cost of the instrument at 10 s"].endswith("at most 1.02 | 1.020 | met |")
    assert lines["focuslab --help, seconds"].endswith("at most 0.4 | 0.410 | missed |")
    assert "Dense grows by 2.00" in table
