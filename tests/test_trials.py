"""focuslab.search.candidates and focuslab.search.experiments: what is tried, where, together, and at which steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focuslab.methods import LiteFocus, parse_method
from focuslab.runs.method_spec import split_label, without_sites
from focuslab.search.candidates import (
    LARGE,
    PAPER,
    SMALL,
    candidates,
    estimated_share,
    nearest_estimate,
    timed_as,
    with_same_flops,
    with_same_timings,
)
from focuslab.search.experiments import choice_key, groups_of, joint_choices, middles, recorded_steps
from tests.choice_records import make_profile

BLOCKS = {"a.0": "a", "a.1": "a", "b.0": "b", "c.0": "c"}
SHARES = {"a.0": 0.2, "a.1": 0.1, "b.0": 0.02, "c.0": 0.001}


@pytest.mark.parametrize("share, count", [(1.0, 15), (LARGE, 15), (SMALL, 5), (0.0, 2)])
def test_all_candidates_are_methods_spelt_as_everywhere(share, count):
    labels = candidates(share)
    assert len({repr(parse_method(label)) for label in labels}) == len(labels) == count
    assert [without_sites(label) for label in labels] == list(labels)
    assert set(labels) <= set(candidates(1.0)) and PAPER in labels


def test_candidates_reach_from_the_own_row_to_a_fifth_and_from_weight_one_to_unbiased():
    methods = [parse_method(label) for label in candidates(1.0)]
    lite = [m for m in methods if isinstance(m, LiteFocus) and m.same_frequency]
    assert {0, 0.01, 0.1, 0.2} <= {m.cross_fraction for m in lite}
    weights = {m.cross_weight for m in lite if m.cross_fraction == 0.1}
    assert weights == {1.0, "unbiased", 5.62}
    assert 1 < 5.62 < 1 / 0.1


def test_weights_but_one_are_timed_once():
    timed = {label: timed_as(label) for label in candidates(1.0)}
    assert timed[PAPER] == PAPER and timed["tome"] == "tome"
    assert (
        timed["litefocus:cross_fraction=0.1:cross_weight=5.62"] == "litefocus:cross_fraction=0.1:cross_weight=unbiased"
    )
    unweighted = "litefocus:cross_fraction=0.02:cross_weight=1.0"
    assert timed_as(unweighted) == unweighted
    assert all(timed_as(stand_in) == stand_in for stand_in in timed.values())
    for label, stand_in in timed.items():
        assert split_label(label)[1].get("cross_fraction") == split_label(stand_in)[1].get("cross_fraction")


def test_a_profile_gets_rows_for_what_takes_the_same_time():
    unbiased, other = (f"litefocus:cross_fraction=0.02:cross_weight={w}" for w in ("unbiased", "18.8"))
    profile = make_profile((10.0, 20.0), ("litefocus", unbiased))
    filled = with_same_timings(profile, [other, unbiased, "tome"])
    added = filled.rows[len(profile.rows) :]
    assert [(row["seconds"], row["method"]) for row in added] == [(s, f"{other}:sites=*") for s in (10.0, 20.0)]
    assert added[1] == {**profile.row(20.0, f"{unbiased}:sites=*"), "method": f"{other}:sites=*"}
    assert with_same_timings(filled, [other]).rows == filled.rows
    counts = {10.0: {"dense": {"": 2}, unbiased: {"": 1}}}
    assert with_same_flops(counts, [other, "tome"]) == {10.0: {**counts[10.0], other: {"": 1}}}


def test_groups_are_blocks_or_the_sites_of_those_that_cost_much():
    blocks = groups_of(BLOCKS, SHARES, per_site=False)
    assert [(g.name, g.sites) for g in blocks] == [("a", ("a.0", "a.1")), ("b", ("b.0",)), ("c", ("c.0",))]
    assert [len(g.methods) for g in blocks] == [15, 5, 2]
    sites = groups_of(BLOCKS, SHARES, per_site=True)
    assert [(g.name, g.sites, len(g.methods)) for g in sites[:2]] == [("a.0", ("a.0",), 15), ("a.1", ("a.1",), 15)]
    assert [g.name for g in sites[2:]] == ["b", "c"]


def test_methods_that_are_asked_for_are_tried_where_attention_costs_much_and_elsewhere_if_they_would_be():
    groups = groups_of(BLOCKS, SHARES, per_site=False, methods=["length-scale", "tome", "same-frequency", "tome"])
    assert [g.methods for g in groups] == [
        (PAPER, "length-scale", "tome", "same-frequency"),
        (PAPER, "tome", "same-frequency"),
        (PAPER,),
    ]
    known = {group.name: {*group.methods} for group in groups}
    assert all(label in known[name] for choice in joint_choices(groups) for name, label in choice.items())


def test_joint_choices_are_of_several_known_options_and_always_the_same():
    groups = groups_of(BLOCKS, SHARES, per_site=True)
    more = [{"a.0": "tome", "b": "tome"}, {"b": "tome", "a.0": "tome"}, {"a.0": "tome"}]
    choices = joint_choices(groups, more)
    known = {group.name: group.methods for group in groups}
    assert all(label in known[name] for choice in choices for name, label in choice.items())
    assert all(len(choice) > 1 for choice in choices)
    assert len({choice_key(choice) for choice in choices}) == len(choices)
    assert dict.fromkeys(known, PAPER) in choices and {"a.0": PAPER, "a.1": PAPER} in choices
    assert choices.count(more[0]) == 1 and choices == joint_choices(groups, more)


def test_the_nearest_estimate_is_of_the_same_name_if_there_is_one():
    unbiased = "litefocus:cross_fraction=0.04:cross_weight=unbiased"
    assert estimated_share(unbiased) == estimated_share("pooled:stretch=25") == 0.04
    assert estimated_share(PAPER) is estimated_share("tome") is estimated_share("same-frequency") is None
    assert nearest_estimate(candidates(1.0), unbiased) == "litefocus:cross_fraction=0.05:cross_weight=unbiased"
    assert nearest_estimate(candidates(1.0), "pooled:stretch=25") == "pooled:stretch=20"
    assert nearest_estimate(candidates(0.0), unbiased) == "pooled:stretch=10"
    assert nearest_estimate(["tome"], unbiased) == PAPER


@given(st.integers(1, 300), st.integers(1, 9), st.sampled_from([1.0, 20.0, 33.0, 80.0]))
def test_recorded_steps_are_different_steps_of_the_generation(steps, prompts, seconds):
    recorded = recorded_steps(steps, prompts, seconds)
    assert len(recorded) == prompts
    for own in recorded:
        assert own and own == sorted(set(own)) and 0 <= own[0] and own[-1] < steps


def test_long_sounds_have_few_steps_each_that_together_cover_the_generation():
    assert recorded_steps(20, 3, 20.0) == [[2, 7, 12, 17]] * 3
    assert recorded_steps(20, 4, 40.0) == [[1, 11], [3, 13], [6, 16], [8, 18]]
    assert recorded_steps(20, 4, 80.0) == [[2], [7], [12], [17]]
    assert recorded_steps(2, 4, 80.0) == [[1]] * 4
    assert middles(20, 3) == [3, 10, 16] and middles(2, 4) == [0, 1]
