"""focuslab.runs.method_spec and .sites: methods and sites by their names alone."""

import pytest

from focuslab.methods import LiteFocus, parse_method
from focuslab.models.identity import unet_layout
from focuslab.models.sites import find_sites, select_sites
from focuslab.runs.method_spec import PAPER, PAPER_FRACTION, MethodSpec, brief, split_label
from focuslab.runs.plan import sites_of_layout

LABEL = "litefocus:cross_fraction=0.02:cross_weight=unbiased"


def test_a_label_is_taken_apart():
    spec = MethodSpec.parse(" litefocus:cross_fraction=0.2:sites=a+b:cross_weight=unbiased ")
    assert spec == MethodSpec("litefocus", {"cross_fraction": 0.2, "cross_weight": "unbiased"}, ("a", "b"))
    assert MethodSpec.parse("litefocus:same_frequency=False").parameters == {"same_frequency": False}
    assert MethodSpec.parse("plan:a:b=c.json") == MethodSpec("plan:a:b=c.json")


def test_a_composition_is_one_label():
    label = "deepcache:interval=3+litefocus:cross_fraction=0.02:sites=a+b"
    spec = MethodSpec.parse(f" {label} ")
    assert str(spec) == spec.name == label and not spec.is_plan and spec != MethodSpec.parse("deepcache:interval=3")
    assert split_label(label) == ["deepcache:interval=3", "litefocus:cross_fraction=0.02:sites=a+b"]
    assert split_label("sampled+plan:a+b.json") == ["sampled", "plan:a+b.json"]
    assert split_label("x:sites=a+b:y=1+z") == ["x:sites=a+b:y=1", "z"]
    # Labels of somebody's own.
    assert [brief(label) for label in ("20 dpm++ tome", "A+", "a++b")] == ["20 dpm++ tome", "A+", "a++b"]


def test_the_canonical_label_sorts_parameters_and_ends_in_sites():
    spec = MethodSpec.parse("litefocus:sites=*:cross_weight=unbiased:cross_fraction=0.02")
    assert str(spec) == f"{LABEL}:sites=*" and str(spec.without_sites()) == LABEL
    assert spec.without_sites() == MethodSpec.parse(LABEL) != spec
    assert spec.without_sites().at(["a", "b"]) == MethodSpec.parse(f"{LABEL}:sites=a+b")
    assert len({spec, MethodSpec.parse(str(spec))}) == 1
    assert sorted([spec, MethodSpec("dense")]) == [MethodSpec("dense"), spec]


def test_a_site_of_a_plan_is_the_same_method():
    spec = MethodSpec.parse(LABEL)
    assert spec.to_site() == {"method": "litefocus", "cross_fraction": 0.02, "cross_weight": "unbiased"}
    assert MethodSpec.of_site(spec.to_site()) == spec


@pytest.mark.parametrize(
    "label, short",
    [
        (LABEL, "litefocus r=0.02 w=1/r"),
        ("tome:ratio=0.5", "tome ratio=0.5"),
        ("litefocus:length_scale=true:sites=a+b", "litefocus length_scale=true sites=a+b"),
        ("dense", "dense"),
        ("plan:plans/mine.json", "plan mine"),
        ("plan:plan.json", "plan"),
        ("bound:sites=a+b", "bound sites=a+b"),
        ("bound:plan:plans/mine.json", "bound of plan mine"),
        ("bound:deepcache:interval=3+sampled", "bound of deepcache interval=3 + sampled"),
        ("deepcache:interval=3+litefocus:cross_fraction=0.02", "deepcache interval=3 + litefocus r=0.02"),
    ],
)
def test_short_names(label, short):
    assert brief(label) == MethodSpec.parse(label).brief == short


@pytest.mark.parametrize("name", ["litefocus", "same-frequency", "cross-frequency"])
def test_the_sampled_share_is_that_of_the_method(name):
    assert MethodSpec(name).cross_fraction == parse_method(name).cross_fraction
    given = f"{name}:cross_fraction=0.3"
    if name != "same-frequency":
        assert MethodSpec.parse(given).cross_fraction == parse_method(given).cross_fraction == 0.3
    assert MethodSpec("tome").cross_fraction is None
    assert LiteFocus().cross_fraction == PAPER_FRACTION and parse_method(str(PAPER)) == LiteFocus()


@pytest.mark.parametrize("patterns", [None, ["*"], ["mid_block", "up_blocks.*.attn1"], ["down_blocks.1"]])
def test_names_and_modules_agree_on_sites(pipe, patterns):
    found = tuple(site.name for site in select_sites(find_sites(pipe), patterns))
    assert sites_of_layout(unet_layout(pipe), patterns) == found and found
