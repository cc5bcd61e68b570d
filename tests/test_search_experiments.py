"""focuslab.search.experiments and .experiments: what is tried, where, together, and at which steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focuslab.methods import LiteFocus, parse_method
from focuslab.runs.method_spec import PAPER, MethodSpec
from focuslab.search.experiments import (
    LARGE,
    SMALL,
    Group,
    choice_key,
    default_methods,
    estimated_share,
    groups_of,
    joint_ablations,
    litefocus,
    middles,
    nearest_estimate,
    parse_choice,
    pooled,
    recorded_steps,
    timed_as,
)

BLOCKS = {"a.0": "a", "a.1": "a", "b.0": "b", "c.0": "c"}
SHARES = {"a.0": 0.2, "a.1": 0.1, "b.0": 0.02, "c.0": 0.001}


@pytest.mark.parametrize("share, count", [(1.0, 18), (LARGE, 18), (SMALL, 6), (0.0, 2)])
def test_all_candidates_are_methods(share, count):
    tried = default_methods(share)
    assert len({repr(parse_method(str(method))) for method in tried}) == len(tried) == count
    assert set(tried) <= set(default_methods(1.0)) and PAPER in tried


def test_candidates_span_fractions_and_weights():
    methods = [parse_method(str(method)) for method in default_methods(1.0)]
    lite = [m for m in methods if isinstance(m, LiteFocus) and m.same_frequency]
    assert {0, 0.01, 0.1, 0.2} <= {m.cross_fraction for m in lite}
    for r in (0.02, 0.1):
        weights = {m.cross_weight for m in lite if m.cross_fraction == r}
        (between,) = [weight for weight in weights if weight not in (1.0, "unbiased")]
        assert 1 < between < 1 / r and "unbiased" in weights


def test_weights_but_one_are_timed_once():
    timed = {method: timed_as(method) for method in default_methods(1.0)}
    assert timed[PAPER] == PAPER and timed[MethodSpec("tome")] == MethodSpec("tome")
    assert timed[litefocus(0.1, 5.62)] == litefocus(0.1)
    assert timed_as(litefocus(0.02, 1.0)) == litefocus(0.02, 1.0)
    for method, stand_in in timed.items():
        assert timed_as(stand_in) == stand_in and method.cross_fraction == stand_in.cross_fraction


def test_groups_are_the_blocks():
    groups = groups_of(BLOCKS, SHARES)
    assert [(g.name, g.sites) for g in groups] == [("a", ("a.0", "a.1")), ("b", ("b.0",)), ("c", ("c.0",))]
    assert [len(g.methods) for g in groups] == [18, 6, 2]
    assert [Group.from_json(g.to_json()) for g in groups] == groups


def test_methods_asked_for_are_tried_where_attention_costs_much():
    groups = groups_of(BLOCKS, SHARES, methods=["length-scale", "tome", "same-frequency", "tome"])
    assert [labels_of(g.methods) for g in groups] == [
        ["litefocus", "length-scale", "tome", "same-frequency"],
        ["litefocus", "tome", "same-frequency"],
        ["litefocus"],
    ]
    known = {group.name: {*group.methods} for group in groups}
    assert all(method in known[name] for choice in joint_ablations(groups) for name, method in choice.items())


def labels_of(methods):
    return [str(method) for method in methods]


def test_joint_ablations_are_of_several_known_candidates():
    groups = groups_of(BLOCKS, SHARES)
    more = [*map(parse_choice, ({"a": "tome", "b": "tome"}, {"b": "tome:sites=*", "a": "tome"}, {"a": "tome"}))]
    choices = joint_ablations(groups, more)
    known = {group.name: group.methods for group in groups}
    assert all(method in known[name] for choice in choices for name, method in choice.items())
    assert all(len(choice) > 1 for choice in choices)
    assert len({choice_key(choice) for choice in choices}) == len(choices)
    assert dict.fromkeys(known, PAPER) in choices
    assert choices.count(more[0]) == 1 and choices == joint_ablations(groups, more)


def test_the_nearest_estimate_is_of_the_same_name():
    assert estimated_share(litefocus(0.04)) == estimated_share(pooled(25)) == 0.04
    assert estimated_share(PAPER) is estimated_share(MethodSpec("tome")) is None
    assert estimated_share(MethodSpec("same-frequency")) is None
    assert nearest_estimate(default_methods(1.0), litefocus(0.04)) == litefocus(0.05)
    assert nearest_estimate(default_methods(1.0), pooled(25)) == pooled(20)
    assert nearest_estimate(default_methods(0.0), litefocus(0.04)) == pooled(10)
    assert nearest_estimate([MethodSpec("tome")], litefocus(0.04)) == PAPER


@given(st.integers(1, 300), st.integers(1, 9), st.sampled_from([1.0, 20.0, 33.0, 80.0]))
def test_recorded_steps_are_different_steps_of_the_generation(steps, prompts, seconds):
    recorded = recorded_steps(steps, prompts, seconds)
    assert len(recorded) == prompts
    for own in recorded:
        assert own and own == sorted(set(own)) and 0 <= own[0] and own[-1] < steps


def test_few_steps_of_long_clips_cover_the_generation():
    assert recorded_steps(20, 3, 20.0) == [[2, 7, 12, 17]] * 3
    assert recorded_steps(20, 4, 40.0) == [[1, 11], [3, 13], [6, 16], [8, 18]]
    assert recorded_steps(20, 4, 80.0) == [[2], [7], [12], [17]]
    assert recorded_steps(2, 4, 80.0) == [[1]] * 4
    assert middles(20, 3) == [3, 10, 16] and middles(2, 4) == [0, 1]
