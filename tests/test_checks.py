"""Arguments as people who use numpy give them: taken everywhere alike, or refused in one line."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from focuslab import (
    Plan,
    capture_attention,
    evaluate,
    generate,
    load,
    measure_sensitivity,
    profile,
    recommend,
    validate,
)
from focuslab.checks import number, plain, several, switch, text, whole
from focuslab.errors import InputError
from focuslab.hooks.map_crops import parse_queries
from focuslab.io.captions import check_prompts
from focuslab.measure.capture_config import default_capture_steps
from focuslab.measure.evaluation.job import prepare
from focuslab.methods import LiteFocus, PooledFocus, TokenMerging, as_method, as_methods
from focuslab.models.identity import unet_layout
from focuslab.models.lengths import check_lengths
from focuslab.models.sites import find_sites, select_sites
from focuslab.runs.plan import PlanEntry
from focuslab.search.budget import Budget
from tests.loading import refusal


@pytest.mark.parametrize(
    "given, expected",
    [
        (3, (3,)),
        ("dense", ("dense",)),
        (b"dense", (b"dense",)),
        (Path("a"), (Path("a"),)),
        (None, (None,)),
        (np.float32(2), (np.float32(2),)),
        (np.array(2), (np.array(2),)),
        (torch.tensor(2), (torch.tensor(2),)),
        ([1, 2], (1, 2)),
        ((1, 2), (1, 2)),
        (iter([1, 2]), (1, 2)),
        ((i for i in "ab"), ("a", "b")),
        (range(2), (0, 1)),
        (np.array([1, 2]), (1, 2)),
        ({"a": 1}, ("a",)),
        ([], ()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_stands_for_several(given, expected):
    assert several(given) == expected


@pytest.mark.parametrize(
    "given", [2, 2.0, np.int64(2), np.uint8(2), np.float32(2), np.float16(2), np.longdouble(2), np.array(2.0)], ids=repr
)
def test_numbers_of_every_kind_become_pythons(given):
    found = number("it", given)
    assert found == 2 and type(found) in (int, float)
    assert number("it", Fraction(1, 2)) == 0.5 and number("it", torch.tensor(2)) == 2


@pytest.mark.parametrize(
    "given",
    [True, np.True_, torch.tensor(True), "2", b"2", None, [2], np.array([2]), 2j, float("nan"), np.float32("nan")],
    ids=repr,
)
def test_what_is_no_number_is_refused(given):
    assert "it must be" in refusal(number, "it", given)
    assert "it must be" in refusal(whole, "it", given)


def test_whole_numbers_switches_and_text():
    assert type(whole("it", np.int32(3))) is int and whole("it", 3, low=3) == 3
    for wrong in (3.0, np.float64(3), Fraction(3, 2), Decimal(3)):
        refusal(whole, "it", wrong)
    assert switch("it", np.True_) is True and switch("it", False) is False
    for wrong in (1, "True", None):
        refusal(switch, "it", wrong)
    assert type(text("it", np.str_("rain"))) is str
    for wrong in (None, b"rain", 3, "", " \n", "rain \ud83d", "gr\udcfcn", ["rain"]):
        refusal(text, "it", wrong).encode()
    assert json.dumps(plain({"a": (np.int64(1), [np.float32(0.5)], np.arange(2))})) == '{"a": [1, [0.5], [0, 1]]}'


def test_methods_are_equal_whatever_their_numbers_were():
    given = LiteFocus(
        cross_fraction=np.float64(0.2), cross_weight=np.int64(2), seed=np.int64(3), same_frequency=np.True_
    )
    assert given == LiteFocus(cross_fraction=0.2, cross_weight=2, seed=3)
    assert repr(given) == repr(LiteFocus(cross_fraction=0.2, cross_weight=2, seed=3))
    assert TokenMerging(ratio=np.float64(0.25), seed=np.uint8(1)) == TokenMerging(ratio=0.25, seed=1)
    assert PooledFocus(stretch=np.int16(4)) == PooledFocus(stretch=4)
    assert LiteFocus(sites=iter(["mid_block"])) == LiteFocus(sites=np.array(["mid_block"]))
    for make in (
        lambda: LiteFocus(cross_fraction=np.True_),
        lambda: LiteFocus(cross_fraction=np.float32("nan")),
        lambda: LiteFocus(cross_weight=np.array([1.0, 2.0])),
        lambda: LiteFocus(seed=1.0),
        lambda: LiteFocus(seed=2**64),
        lambda: LiteFocus(same_frequency=1),
        lambda: LiteFocus(sites=[3]),
        lambda: TokenMerging(ratio=np.float32(1)),
        lambda: PooledFocus(stretch=np.float64(4)),
    ):
        refusal(make)


def test_a_method_may_be_its_name_or_a_plan(tmp_path, pipe):
    plan = Plan("random:tiny", unet_layout(pipe), [PlanEntry(0, None)])
    path = plan.write(tmp_path / "plan.json")
    assert as_method("litefocus:seed=3") == LiteFocus(seed=3)
    assert as_method(path) == as_method(plan) == as_method(f"plan:{path}") == plan
    assert list(as_methods("dense")) == ["dense"] and as_methods(["tome"]) == {"tome": TokenMerging()}
    assert as_methods({"mine": "tome:seed=1", "plan": path})["mine"] == TokenMerging(seed=1)
    for wrong in (3, None, ["dense"], b"dense"):
        refusal(as_method, wrong)
    for wrong in ((), {}, None, [None], [LiteFocus()], LiteFocus(), {3: LiteFocus()}, {"mine": 3}, "d\udcff"):
        refusal(as_methods, wrong)


def test_a_plan_of_numpys_numbers_is_written_like_any_other(tmp_path, pipe):
    layout, site, one = unet_layout(pipe), find_sites(pipe)[0].name, np.int8(1)
    given = {"method": "litefocus", "cross_fraction": np.float64(0.25)}
    shape = {**layout["sites"][site], "heads": np.int64(layout["sites"][site]["heads"])}
    numpys = Plan(
        "random:tiny",
        {**layout, "sites": {**layout["sites"], site: shape}},
        [
            PlanEntry(np.int64(0), np.float32(8)),
            PlanEntry(np.float32(8), None, {site: given}, {"first": one, "last": 0}),
        ],
        {"errors": np.arange(2)},
    )
    assert Plan.load(numpys.write(tmp_path / "plan.json")) == numpys
    assert numpys.evidence == {"errors": [0, 1]} and type(numpys.entries[1].min_seconds) is float


def test_lengths_prompts_sites_and_queries(pipe):
    assert check_lengths(pipe, 1.0) == check_lengths(pipe, np.float64(1)) == check_lengths(pipe, iter([1])) == [1.0]
    assert check_lengths(pipe, np.array([1, 2])) == [1.0, 2.0] and type(check_lengths(pipe, np.int64(2))[0]) is float
    for wrong in ("10", None, True, [np.nan], np.inf, [[1.0]], [], (s for s in ()), [1, np.float64(1)]):
        refusal(check_lengths, pipe, wrong)
    assert check_prompts("rain") == ["rain"] == check_prompts(p for p in ["rain"])
    for wrong in (None, b"rain", [], [None], ["rain", 3], ["rain", ""], "gr\udcfcn", ["rain \ud83d"]):
        refusal(check_prompts, wrong)
    sites = find_sites(pipe)
    assert select_sites(sites, iter(["mid_block"])) == select_sites(sites, "mid_block")
    refusal(select_sites, sites, [None])
    assert parse_queries("4:3") == parse_queries((4, 3)) == parse_queries([(np.int64(4), 3)]) == [(4, 3)]
    assert parse_queries(np.array([[4, 3], [1, 2]])) == [(4, 3), (1, 2)] and parse_queries(()) == []
    assert type(Budget(np.float64(0.1)).max_error) is float and Budget(None, "paper").min_speedup == "paper"
    for wrong in (np.nan, "fast", True):
        refusal(Budget, wrong, None)


NUMPY = {"seconds": np.float64(0.64), "steps": np.int64(1), "seed": np.int32(3)}


def test_generate_takes_numpys_numbers_and_names(pipe):
    sound = generate(pipe, np.str_("rain"), **NUMPY, method="litefocus")
    expected = generate(pipe, "rain", 0.64, steps=1, seed=3, method=LiteFocus())
    assert np.array_equal(sound.samples, expected.samples)
    assert all(
        sound.settings[key] == expected.settings[key] for key in ("seed", "steps", "seconds", "method", "prompt")
    )
    json.dumps(sound.settings)


@pytest.mark.parametrize(
    "arguments",
    [
        {"prompt": ["rain", "a siren"]},
        {"prompt": ("rain",)},
        {"prompt": None},
        {"prompt": b"rain"},
        {"prompt": ""},
        {"prompt": "gr\udcfcn"},
        {"seconds": [0.64]},
        {"seconds": True},
        {"seconds": np.nan},
        {"seed": [0, 1]},
        {"seed": True},
        {"seed": 2**64},
        {"steps": 2.0},
        {"steps": True},
        {"method": ["dense"]},
        {"method": "lightfocus"},
        {"method": ""},
    ],
    ids=repr,
)
def test_generate_makes_one_sound_of_one_prompt(pipe, arguments):
    with pytest.raises(InputError) as caught:
        generate(pipe, **{"prompt": "rain", "seconds": 0.64, "steps": 1, **arguments})
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_measurements_take_single_values_and_numpys(pipe, tmp_path):
    timed = profile(pipe, **NUMPY, methods="dense", repeats=np.int64(1), trace=np.False_, out=tmp_path / "profile")
    assert [(row["seconds"], row["method"]) for row in timed.rows] == [(0.64, "dense")]
    captured = capture_attention(
        pipe,
        "rain",
        **NUMPY,
        capture_steps=np.int64(0),
        sites="mid_block",
        cross_fractions=np.float64(0.25),
        cross_weight=np.float64(2),
        statistics="mass",
        sampled_times=np.int64(4),
        out=tmp_path / "capture",
    )
    assert captured.info.parameters["capture_steps"] == [0] and captured.info.parameters["cross_fractions"] == [0.25]
    errors = measure_sensitivity(pipe, "rain", **NUMPY, methods="tome", out=tmp_path / "sensitivity")
    assert "tome" in {record.get("method") for record in errors.records}
    heard = evaluate(
        pipe,
        (prompt for prompt in ("rain", "wind")),
        np.float64(0.64),
        "dense",
        seeds=np.int64(3),
        steps=np.int64(1),
        metrics="clap",
        keep_audio=np.False_,
        out=tmp_path / "evaluation",
    )
    assert [(row["seconds"], row["method"], row["n"]) for row in heard.rows] == [(0.64, "dense", 2)]


WRONG = {
    "profile's prompt": lambda pipe: profile(pipe, 0.64, prompt=["rain"]),
    "profile's method": lambda pipe: profile(pipe, 0.64, methods=3),
    "profile's seed": lambda pipe: profile(pipe, 0.64, seed=1.5),
    "profile's repeats": lambda pipe: profile(pipe, 0.64, repeats=True),
    "capture's prompts": lambda pipe: capture_attention(pipe, None, 0.64),
    "capture's steps": lambda pipe: capture_attention(pipe, "rain", 0.64, steps=4, capture_steps=[0, 1.0]),
    "capture's last step": lambda pipe: capture_attention(pipe, "rain", 0.64, steps=4, capture_steps=4),
    "capture's fractions": lambda pipe: capture_attention(pipe, "rain", 0.64, cross_fractions=[True]),
    "sensitivity's methods": lambda pipe: measure_sensitivity(pipe, "rain", 0.64, methods="tom"),
    "recommend's methods": lambda pipe: recommend(pipe, 0.64, methods="dense"),
    "recommend's budget": lambda pipe: recommend(pipe, 0.64, max_error=np.nan),
    "recommend's prompts": lambda pipe: recommend(pipe, 0.64, prompts=b"rain"),
    "validate's steps": lambda pipe: validate(
        pipe, Plan("m", unet_layout(pipe), [PlanEntry(0, None)]), "rain", 1.0, steps=0
    ),
    "evaluate's prompts": lambda pipe: prepare(pipe, ["rain", None], 0.64, metrics="clap"),
    "evaluate's bytes": lambda pipe: prepare(pipe, b"rain", 0.64, metrics="clap"),
    "evaluate's captions": lambda pipe: prepare(pipe, [], 0.64, metrics="clap"),
    "evaluate's half a pair": lambda pipe: prepare(pipe, "rain \ud83d", 0.64, metrics="clap"),
    "evaluate's seeds": lambda pipe: prepare(pipe, "rain", 0.64, metrics="clap", seeds=[0, np.int64(0)]),
    "evaluate's metrics": lambda pipe: prepare(pipe, "rain", 0.64, metrics=(None and "clap") or [None]),
    "a model that is none": lambda pipe: load(None),
    "a model's name": lambda pipe: load("mod\udce8le"),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_one_line(pipe, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusal(call, pipe).encode()
    assert list(tmp_path.iterdir()) == []


def test_default_capture_steps_are_pythons():
    assert default_capture_steps(4) == [0, 3]
