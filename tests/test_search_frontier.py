"""focuslab.search.frontier and .choose: the exact frontier, and one point of it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.search.error_model import ErrorModel
from focuslab.search.frontier import WORTH, NothingMeetsBudget, choose, frontier
from tests.choice_records import candidate, labels, predict

INDEPENDENT = ErrorModel(2.0)
ADDED = ErrorModel(1.0)
GOLDEN = [
    # Fast and cheap, faster and dear; a block that is no use; one that is beaten by its own other option.
    candidate("a", "light", 2.0, 0.03),
    candidate("a", "heavy", 3.0, 0.4),
    candidate("b", "light", 1.0, 0.04),
    candidate("c", "useless", -1.0, 0.01),
    candidate("d", "good", 1.5, 0.12),
    candidate("d", "worse", 1.0, 0.2),
]


@st.composite
def problems(draw):
    """Options whose sums are exact in binary, so that what is equal is equal."""
    whole = st.integers(-4, 40)
    candidates = []
    for g in range(draw(st.integers(1, 4))):
        for m in range(draw(st.integers(1, 4))):
            candidates.append(candidate(f"g{g}", f"m{m}", draw(whole) / 64, draw(st.integers(0, 24)) / 64))
    return candidates


def all_choices(candidates):
    groups = sorted({o.group for o in candidates})
    parts = [[None, *(o for o in candidates if o.group == group)] for group in groups]
    return ([o for o in choice if o] for choice in itertools.product(*parts))


def brute_force(candidates, dense, exponent):
    """(step seconds, sum of error ** exponent) -> least count of sparse groups, of what nothing beats."""
    outcomes = {}
    for choice in all_choices(candidates):
        key = dense - sum(o.saved_seconds for o in choice), sum(o.error**exponent for o in choice)
        outcomes[key] = min(outcomes.get(key, len(choice)), len(choice))
    beaten = {a for a in outcomes for b in outcomes if a != b and b[0] <= a[0] and b[1] <= a[1]}
    return {key: count for key, count in outcomes.items() if key not in beaten}


@settings(max_examples=80, deadline=None)
@given(problems(), st.sampled_from([1, 2]))
def test_the_frontier_is_what_brute_force_over_all_choices_finds(candidates, exponent):
    points = frontier(candidates, 16.0, ErrorModel(float(exponent)))
    expected = brute_force(candidates, 16.0, exponent)
    found = [points[i] for i in range(len(points))]
    sums = [(p.step_seconds, sum(o.error**exponent for o in p.choice.values())) for p in found]
    assert dict(zip(sums, (len(p.methods) for p in found), strict=True)) == expected
    assert sums == sorted(expected, reverse=True)
    assert [p.error for p in found] == pytest.approx([cost ** (1 / exponent) for _, cost in sums])


@settings(max_examples=40, deadline=None)
@given(problems(), st.sampled_from([1, 2]), st.data())
def test_a_budget_is_met_as_brute_force_meets_it(candidates, exponent, data):
    points = frontier(candidates, 16.0, ErrorModel(float(exponent)))
    outcomes = [
        (16.0 - sum(o.saved_seconds for o in choice), sum(o.error**exponent for o in choice) ** (1 / exponent))
        for choice in all_choices(candidates)
    ]
    fastest = min(seconds for seconds, _ in outcomes)
    wanted = data.draw(st.floats(0.5, 16.0 / fastest))
    chosen = choose(points, min_speedup=wanted)
    assert chosen.speedup >= wanted * (1 - 1e-12)
    reaching = [error for seconds, error in outcomes if 16.0 / seconds >= wanted * (1 - 1e-12)]
    assert chosen.error == pytest.approx(min(reaching))
    if points.sparse.any():
        allowed = data.draw(st.floats(float(points.errors[points.sparse][0]), 3.0))
        chosen = choose(points, max_error=allowed)
        best = min(seconds for seconds, error in outcomes if error <= allowed)
        assert chosen.error <= allowed
        assert chosen.step_seconds == (best if 16.0 / best >= WORTH else 16.0)


@settings(max_examples=30, deadline=None)
@given(problems(), st.randoms())
def test_the_order_of_the_options_does_not_matter(candidates, random):
    shuffled = list(candidates)
    random.shuffle(shuffled)
    first, second = (frontier(o, 16.0, INDEPENDENT) for o in (candidates, shuffled))
    assert [first[i] for i in range(len(first))] == [second[i] for i in range(len(second))]
    assert choose(first) == choose(second)


def test_a_golden_table():
    points = frontier(GOLDEN, 10.0, INDEPENDENT)
    table = [(p.step_seconds, round(p.error, 6), labels(p.methods)) for p in (points[i] for i in range(len(points)))]
    assert table == [
        (10.0, 0.0, {}),
        (8.0, 0.03, {"a": "light"}),
        (7.0, 0.05, {"a": "light", "b": "light"}),
        (6.5, 0.123693, {"a": "light", "d": "good"}),
        (5.5, 0.13, {"a": "light", "b": "light", "d": "good"}),
        (4.5, round(float(np.sqrt(0.16 + 0.0016 + 0.0144)), 6), {"a": "heavy", "b": "light", "d": "good"}),
    ]
    assert points[2].speedup == pytest.approx(10 / 7)
    # Knee: 4.5 of 5.5 s saved for 0.13 of 0.4195; the next point has the rest of both.
    assert labels(choose(points).methods) == {"a": "light", "b": "light", "d": "good"}
    assert labels(choose(points, max_error=0.05).methods) == {"a": "light", "b": "light"}
    assert choose(points, max_error=10).step_seconds == 4.5
    assert labels(choose(points, min_speedup=1.3).methods) == {"a": "light", "b": "light"}
    assert choose(points, min_speedup=1) == points[0]


def test_of_equal_choices_fewer_sparse_groups_count():
    two = [candidate("a", "m", 1.0, 0.25), candidate("b", "m", 1.0, 0.25)]
    one = candidate("c", "m", 2.0, 0.5)
    assert labels(choose(frontier([*two, one], 10.0, ADDED), min_speedup=1.25).methods) == {"c": "m"}
    same = [candidate("b", "m", 1.0, 0.25), candidate("a", "z", 1.0, 0.25), candidate("a", "y", 1.0, 0.25)]
    for candidates in itertools.permutations(same):
        points = frontier(candidates, 10.0, ADDED)
        assert len(points) == 3
        assert points[1] == frontier(same, 10.0, ADDED)[1] and len(points[1].methods) == 1
        assert labels(points[2].methods) == {"a": "y", "b": "m"}


def test_equal_costs_stay_equal_where_sums_of_floats_would_not():
    # 0.1 + 0.2 and 0.3 differ in their last bit.
    candidates = [candidate("a", "m", 0.1, 0.1), candidate("b", "m", 0.2, 0.2), candidate("c", "m", 0.3, 0.3)]
    points = frontier(candidates, 10.0, ADDED)
    assert [labels(p.methods) for p in (points[3], points[4])] == [{"c": "m"}, {"a": "m", "c": "m"}]
    assert len(points) == 7


def test_a_tiny_error_is_not_taken_for_none():
    points = frontier([candidate("a", "m", 1.0, 1e-12), candidate("b", "m", 1.0, 0.5)], 10.0, INDEPENDENT)
    assert [len(points[i].methods) for i in range(len(points))] == [0, 1, 2] and points.errors[1] == 1e-12


def test_an_option_without_error_that_saves_is_always_taken():
    points = frontier([candidate("a", "free", 1.0, 0.0), candidate("b", "m", 1.0, 0.5)], 10.0, INDEPENDENT)
    assert [labels(points[i].methods) for i in range(len(points))] == [{"a": "free"}, {"a": "free", "b": "m"}]
    assert labels(choose(points, max_error=0).methods) == {"a": "free"}


def test_where_sparse_does_not_pay_the_choice_is_dense():
    slight = frontier([candidate("a", "m", 0.1, 0.01)], 10.0, INDEPENDENT)
    assert len(slight) == 2
    for chosen in (choose(slight), choose(slight, max_error=1)):
        assert not chosen.sparse and (chosen.speedup, chosen.error) == (1, 0)
    assert choose(slight, min_speedup=1.005).sparse
    slower = frontier([candidate("a", "m", -1.0, 0.01)], 10.0, INDEPENDENT)
    assert len(slower) == 1 and not choose(slower).sparse and not choose(slower, max_error=0.5).sparse


def test_a_budget_that_nothing_meets_says_the_nearest_that_exists():
    points = frontier(GOLDEN, 10.0, INDEPENDENT)
    with pytest.raises(
        InputError, match=r"at most 0.01: the nearest that exists has 0.03, 1.25 times as fast as dense"
    ):
        choose(points, max_error=0.01)
    with pytest.raises(
        InputError, match=r"3 times as fast .* nearest that exists is 2.222 times as fast, with .* 0.42"
    ):
        choose(points, min_speedup=3)
    for wrong in ({"max_error": -1.0}, {"max_error": float("nan")}, {"min_speedup": 0}, {"min_speedup": float("inf")}):
        with pytest.raises(InputError, match="must be a"):
            choose(points, **wrong)
    with pytest.raises(InputError, match="both given"):
        choose(points, max_error=1, min_speedup=1)
    with pytest.raises(NothingMeetsBudget) as caught:
        choose(points, min_speedup=3)
    assert caught.value.lack == pytest.approx(3 / 2.2222, rel=1e-4)


def test_any_choice_can_be_predicted():
    points = frontier(GOLDEN, 10.0, INDEPENDENT)
    predicted = predict(points, {"c": "useless", "d": "worse"})
    assert predicted.step_seconds == 10.0 and predicted.error == pytest.approx(np.hypot(0.01, 0.2))
    for i in range(len(points)):
        assert points.predict(points[i].methods) == points[i]
    with pytest.raises(InputError, match="no group 'e', only a, b, c, d"):
        predict(points, {"e": "good"})
    with pytest.raises(InputError, match="no candidate for d: 'goood', only dense, good, worse; the nearest is 'good'"):
        predict(points, {"d": "goood"})


@pytest.mark.parametrize(
    ("candidates", "dense", "words"),
    [
        ([], 1.0, "no candidates"),
        ([candidate("a", "m", 1, 1)], 0.0, "dense_seconds must be"),
        ([candidate("a", "m", 1, 1)] * 2, 5.0, "m at a was given twice"),
        ([candidate("a", "m", float("nan"), 1)], 5.0, "expected numbers"),
        ([candidate("a", "m", 1, -1)], 5.0, "expected numbers"),
        ([candidate("a", "dense", 1, 0)], 5.0, "dense at a has a saving"),
        ([candidate("a", "m", 6, 1)], 5.0, "save more than a dense step of 5 s"),
        (
            [candidate("a", "m", 1, 1), replace(candidate("b", "m", 1, 1), sites=("a.site",))],
            5.0,
            "a.site is in the groups a and b",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(candidates, dense, words):
    with pytest.raises(InputError, match=words):
        frontier(candidates, dense, INDEPENDENT)


def test_no_choice_of_a_large_frontier_beats_another():
    rng = np.random.default_rng(0)
    candidates = []
    for g in range(8):
        saved, errors = np.sort(rng.random((2, 30)), axis=1)
        candidates += [candidate(f"g{g}", f"m{m:02}", float(saved[m]), float(errors[m])) for m in range(30)]
    points = frontier(candidates, 20.0, INDEPENDENT)
    assert len(points) > 500
    assert (np.diff(points.step_seconds) < 0).all() and (np.diff(points.errors) > 0).all()
