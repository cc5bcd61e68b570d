import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.search.error_model import Combination
from focuslab.search.pareto import WORTH, choose, choose_at_lengths, frontier
from tests.choice_records import option

INDEPENDENT = Combination(2.0)
ADDED = Combination(1.0)
GOLDEN = [
    # Fast and cheap, faster and dear; a block that is no use; one that is beaten by its own other option.
    option("a", "light", 2.0, 0.03),
    option("a", "heavy", 3.0, 0.4),
    option("b", "light", 1.0, 0.04),
    option("c", "useless", -1.0, 0.01),
    option("d", "good", 1.5, 0.12),
    option("d", "worse", 1.0, 0.2),
]


@st.composite
def problems(draw):
    """Options whose sums are exact in binary, so that what is equal is equal."""
    whole = st.integers(-4, 40)
    options = []
    for g in range(draw(st.integers(1, 4))):
        for m in range(draw(st.integers(1, 4))):
            options.append(option(f"g{g}", f"m{m}", draw(whole) / 64, draw(st.integers(0, 24)) / 64))
    return options


def all_choices(options):
    groups = sorted({o.group for o in options})
    parts = [[None, *(o for o in options if o.group == group)] for group in groups]
    return ([o for o in choice if o] for choice in itertools.product(*parts))


def brute_force(options, dense, exponent):
    """(step seconds, sum of error ** exponent) -> least count of sparse groups, of what nothing beats."""
    outcomes = {}
    for choice in all_choices(options):
        key = dense - sum(o.saved_seconds for o in choice), sum(o.error**exponent for o in choice)
        outcomes[key] = min(outcomes.get(key, len(choice)), len(choice))
    beaten = {a for a in outcomes for b in outcomes if a != b and b[0] <= a[0] and b[1] <= a[1]}
    return {key: count for key, count in outcomes.items() if key not in beaten}


@settings(max_examples=80, deadline=None)
@given(problems(), st.sampled_from([1, 2]))
def test_the_frontier_is_what_brute_force_over_all_choices_finds(options, exponent):
    points = frontier(options, 16.0, Combination(float(exponent)))
    expected = brute_force(options, 16.0, exponent)
    found = [points[i] for i in range(len(points))]
    sums = [(p.step_seconds, sum(o.error**exponent for o in p.choice.values())) for p in found]
    assert dict(zip(sums, (len(p.methods) for p in found), strict=True)) == expected
    assert sums == sorted(expected, reverse=True)
    assert [p.error for p in found] == pytest.approx([cost ** (1 / exponent) for _, cost in sums])


@settings(max_examples=40, deadline=None)
@given(problems(), st.sampled_from([1, 2]), st.data())
def test_a_budget_is_met_as_brute_force_meets_it(options, exponent, data):
    points = frontier(options, 16.0, Combination(float(exponent)))
    outcomes = [
        (16.0 - sum(o.saved_seconds for o in choice), sum(o.error**exponent for o in choice) ** (1 / exponent))
        for choice in all_choices(options)
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
def test_the_order_of_the_options_does_not_matter(options, random):
    shuffled = list(options)
    random.shuffle(shuffled)
    first, second = (frontier(o, 16.0, INDEPENDENT) for o in (options, shuffled))
    assert [first[i] for i in range(len(first))] == [second[i] for i in range(len(second))]
    assert choose(first) == choose(second)


def test_a_golden_table():
    points = frontier(GOLDEN, 10.0, INDEPENDENT)
    table = [(p.step_seconds, round(p.error, 6), p.methods) for p in (points[i] for i in range(len(points)))]
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
    assert choose(points).methods == {"a": "light", "b": "light", "d": "good"}
    assert choose(points, max_error=0.05).methods == {"a": "light", "b": "light"}
    assert choose(points, max_error=10).step_seconds == 4.5
    assert choose(points, min_speedup=1.3).methods == {"a": "light", "b": "light"}
    assert choose(points, min_speedup=1) == points[0]


def test_of_equal_choices_the_one_with_fewer_sparse_groups_and_then_the_first_counts():
    two = [option("a", "m", 1.0, 0.25), option("b", "m", 1.0, 0.25)]
    one = option("c", "m", 2.0, 0.5)
    assert choose(frontier([*two, one], 10.0, ADDED), min_speedup=1.25).methods == {"c": "m"}
    same = [option("b", "m", 1.0, 0.25), option("a", "z", 1.0, 0.25), option("a", "y", 1.0, 0.25)]
    for options in itertools.permutations(same):
        points = frontier(options, 10.0, ADDED)
        assert len(points) == 3
        assert points[1] == frontier(same, 10.0, ADDED)[1] and len(points[1].methods) == 1
        assert points[2].methods == {"a": "y", "b": "m"}


def test_equal_costs_stay_equal_where_sums_of_floats_would_not():
    # 0.1 + 0.2 and 0.3 differ in their last bit.
    options = [option("a", "m", 0.1, 0.1), option("b", "m", 0.2, 0.2), option("c", "m", 0.3, 0.3)]
    points = frontier(options, 10.0, ADDED)
    assert [p.methods for p in (points[3], points[4])] == [{"c": "m"}, {"a": "m", "c": "m"}]
    assert len(points) == 7


def test_a_tiny_error_is_not_taken_for_none():
    points = frontier([option("a", "m", 1.0, 1e-12), option("b", "m", 1.0, 0.5)], 10.0, INDEPENDENT)
    assert [len(points[i].methods) for i in range(len(points))] == [0, 1, 2] and points.errors[1] == 1e-12


def test_an_option_without_error_that_saves_is_always_taken():
    points = frontier([option("a", "free", 1.0, 0.0), option("b", "m", 1.0, 0.5)], 10.0, INDEPENDENT)
    assert [points[i].methods for i in range(len(points))] == [{"a": "free"}, {"a": "free", "b": "m"}]
    assert choose(points, max_error=0).methods == {"a": "free"}


def test_where_sparse_does_not_pay_the_choice_is_dense():
    slight = frontier([option("a", "m", 0.1, 0.01)], 10.0, INDEPENDENT)
    assert len(slight) == 2
    for chosen in (choose(slight), choose(slight, max_error=1)):
        assert not chosen.sparse and (chosen.speedup, chosen.error) == (1, 0)
    assert choose(slight, min_speedup=1.005).sparse
    slower = frontier([option("a", "m", -1.0, 0.01)], 10.0, INDEPENDENT)
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


def test_at_several_lengths_dense_stands_where_the_budget_is_not_met():
    frontiers = {
        80.0: frontier(GOLDEN, 10.0, INDEPENDENT),
        10.0: frontier([option("a", "light", 0.5, 0.1)], 10.0, INDEPENDENT),
    }
    chosen = choose_at_lengths(frontiers, min_speedup=1.3)
    assert list(chosen) == [10.0, 80.0] and not chosen[10.0].sparse and chosen[80.0].sparse
    chosen = choose_at_lengths(frontiers, max_error=0.05)
    assert not chosen[10.0].sparse and chosen[80.0].error == pytest.approx(0.05)
    assert [p.sparse for p in choose_at_lengths(frontiers).values()] == [True, True]
    with pytest.raises(InputError, match="the nearest that exists has 0.03 at 80 s"):
        choose_at_lengths(frontiers, max_error=0.01)
    with pytest.raises(InputError, match="the nearest that exists is 2.222 times as fast at 80 s"):
        choose_at_lengths(frontiers, min_speedup=5)


def test_any_choice_can_be_predicted():
    points = frontier(GOLDEN, 10.0, INDEPENDENT)
    predicted = points.predict({"c": "useless", "d": "worse"})
    assert predicted.step_seconds == 10.0 and predicted.error == pytest.approx(np.hypot(0.01, 0.2))
    for i in range(len(points)):
        assert points.predict(points[i].methods) == points[i]
    with pytest.raises(InputError, match="no group 'e', only a, b, c, d"):
        points.predict({"e": "good"})
    with pytest.raises(InputError, match="no option for d: 'goood', only dense, good, worse; the nearest is 'good'"):
        points.predict({"d": "goood"})


STEP_ERRORS = {"early": ((3, 0.9), (10, 0.06), (16, 0.06)), "even": ((3, 0.1), (10, 0.1), (16, 0.1))}


def with_steps(group, kind, saved):
    errors = STEP_ERRORS[kind]
    return option(group, "m", saved, float(np.mean([e for _, e in errors])), step_errors=errors)


def test_the_steps_that_err_most_stay_dense_where_that_helps():
    options = [with_steps("a", "early", 4.0), with_steps("b", "early", 1.0)]
    points = frontier(options, 10.0, INDEPENDENT, steps=20)
    kept = {p.dense_steps for p in (points[i] for i in range(len(points)))}
    assert (7, 0) in kept and all(first >= last for first, last in kept)
    scheduled = points.predict({"a": "m"}, (7, 0))
    assert scheduled.step_seconds == pytest.approx(10 - 4 * 13 / 20)
    assert scheduled.error == pytest.approx(0.12 / 3)
    assert choose(points, max_error=0.05).dense_steps == (7, 0)
    constant = frontier(options, 10.0, INDEPENDENT)
    assert set(map(tuple, constant.schedules)) == {(0, 0)}
    assert choose(points, max_error=0.05).step_seconds < 10 and not (constant.errors[1:] <= 0.05).any()


def test_a_schedule_that_does_not_help_is_not_taken():
    options = [with_steps("a", "even", 4.0), with_steps("b", "even", 1.0)]
    points = frontier(options, 10.0, INDEPENDENT, steps=20)
    chosen = choose(points, min_speedup=1.6)
    assert chosen.dense_steps == (0, 0)


@settings(max_examples=25, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_with_schedules_nothing_on_the_frontier_is_beaten(options, random):
    varied = []
    for o in options:
        errors = tuple((step, o.error * random.choice([0.25, 1.0, 1.75])) for step in (3, 10, 16))
        varied.append(option(o.group, o.method, o.saved_seconds, sum(e for _, e in errors) / 3, step_errors=errors))
    points = frontier(varied, 16.0, INDEPENDENT, steps=20)
    constant = frontier(varied, 16.0, INDEPENDENT)
    assert (np.diff(points.step_seconds) < 0).all() and (np.diff(points.errors) > 0).all()
    for seconds, least in zip(constant.step_seconds, constant.errors, strict=True):
        assert points.errors[points.step_seconds <= seconds + 1e-12].min() <= least + 1e-12
    for point in (points[i] for i in range(len(points))):
        assert points.predict(point.methods, point.dense_steps).error == pytest.approx(point.error)


def test_a_schedule_needs_errors_of_the_same_steps():
    for options in (GOLDEN, [with_steps("a", "even", 1.0), option("b", "m", 1, 1, step_errors=((5, 1.0),))]):
        with pytest.raises(InputError, match="errors of every option at the same recorded steps"):
            frontier(options, 10.0, INDEPENDENT, steps=20)
    with pytest.raises(InputError, match="give steps"):
        frontier([with_steps("a", "even", 1.0)], 10.0, INDEPENDENT).predict({"a": "m"}, (7, 0))


@pytest.mark.parametrize(
    ("options", "dense", "words"),
    [
        ([], 1.0, "no options"),
        ([option("a", "m", 1, 1)], 0.0, "dense_seconds must be"),
        ([option("a", "m", 1, 1)] * 2, 5.0, "m at a was given twice"),
        ([option("a", "m", float("nan"), 1)], 5.0, "expected numbers"),
        ([option("a", "m", 1, -1)], 5.0, "expected numbers"),
        ([option("a", "dense", 1, 0)], 5.0, "dense at a has a saving"),
        ([option("a", "m", 6, 1)], 5.0, "save more than a dense step of 5 s"),
        (
            [option("a", "m", 1, 1), type(GOLDEN[0])("b", ("a.site",), "m", 1, 1)],
            5.0,
            "a.site is in the groups a and b: choose for blocks or for sites",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(options, dense, words):
    with pytest.raises(InputError, match=words):
        frontier(options, dense, INDEPENDENT)


def test_eight_groups_of_thirty_options_none_of_which_beats_another_take_seconds():
    rng = np.random.default_rng(0)
    options = []
    for g in range(8):
        saved, errors = np.sort(rng.random((2, 30)), axis=1)
        options += [option(f"g{g}", f"m{m:02}", float(saved[m]), float(errors[m])) for m in range(30)]
    start = time.perf_counter()
    points = frontier(options, 20.0, INDEPENDENT)
    assert time.perf_counter() - start < 5
    assert len(points) > 500
