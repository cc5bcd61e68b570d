"""focuslab.search.budget: choices timed as a whole, and what is chosen once that is known."""

from types import SimpleNamespace

import pytest

from focuslab.errors import InputError
from focuslab.search.budget import Budget, Timing, Timings, reaching, with_speed
from focuslab.search.experiments import choice_key
from focuslab.search.select import select
from tests.choice_records import make_info, make_profile
from tests.test_search_select import LENGTHS, make_pass, of

ASKED = 1.3


@pytest.fixture(scope="module")
def records():
    return make_profile(LENGTHS), make_pass()


@pytest.fixture(scope="module")
def found(records):
    return select(*records).frontiers[80.0]


def key_of(point):
    return choice_key(point.methods)


def chosen(found, asked, timed):
    return reaching(found, asked, needed=lambda timing: asked, timed=timed)


def test_without_timings_the_prediction_counts(found):
    first = chosen(found, ASKED, lambda point: None)
    at = int((found.dense_seconds / found.step_seconds >= ASKED).argmax())
    assert (first.speedup, first.error) == (found[at].speedup, found[at].error) and first.speedup >= ASKED


def test_half_of_what_fell_short_is_asked_on_top(found):
    first = chosen(found, ASKED, lambda point: None)
    slow = {key_of(first): Timing(speedup=ASKED / 1.21, paper=1.0)}
    second = chosen(found, ASKED, lambda point: slow.get(key_of(point)))
    assert second.speedup >= 1.1 * first.speedup and second.error > first.error
    # The least error among all that is predicted to be that fast.
    others = found.errors[found.dense_seconds / found.step_seconds >= 1.1 * first.speedup]
    assert second.error == others.min()


def test_one_that_was_timed_to_be_fast_enough_stays(found):
    first = chosen(found, ASKED, lambda point: None)
    assert chosen(found, ASKED, lambda point: Timing(speedup=ASKED, paper=1.0)) == first


@pytest.mark.parametrize("lack", [1.02, 1 + 1e-13])
def test_where_all_fall_short_the_least_lack_counts(found, lack):
    seen = []

    def timed(point):
        seen.append(point)
        return Timing(speedup=ASKED / (lack + 0.001 * len(seen)), paper=1.0)

    assert chosen(found, ASKED, timed) == seen[0]
    assert len(seen) > 1 and len({key_of(point) for point in seen}) == len(seen)


def test_no_more_error_is_paid_for_speed_than_is_allowed(found):
    first = chosen(found, ASKED, lambda point: None)
    slow = {key_of(first): Timing(speedup=ASKED / 1.21, paper=1.0)}
    given = {"needed": lambda timing: ASKED, "timed": lambda point: slow.get(key_of(point))}
    further = reaching(found, ASKED, **given)
    assert reaching(found, ASKED, **given, max_error=further.error) == further
    assert reaching(found, ASKED, **given, max_error=further.error * 0.999) == first


def test_once_nothing_more_is_timed_only_what_was_is_chosen(found):
    first = chosen(found, ASKED, lambda point: None)
    slow = {key_of(first): Timing(speedup=ASKED / 1.21, paper=1.0)}
    given = {"needed": lambda timing: ASKED, "timed": lambda point: slow.get(key_of(point))}
    assert reaching(found, ASKED, **given) != first
    assert reaching(found, ASKED, **given, closed=True) == first
    # What was never timed at all has nothing timed to give way to.
    assert reaching(found, ASKED, needed=given["needed"], timed=lambda point: None, closed=True) == first


def test_as_fast_as_the_paper_costs_no_more_error(records):
    first = select(*records, budget=Budget(min_speedup="paper"))
    hopeless = {key_of(first.points[80.0]): Timing(speedup=1.0, paper=4.0)}
    second = select(*records, budget=Budget(min_speedup="paper"), timings=Timings({80.0: hopeless}, (make_info(),)))
    assert second.points[80.0].methods == first.points[80.0].methods and second.points[80.0].timed


def test_what_nothing_is_predicted_to_reach_is_refused(found):
    with pytest.raises(InputError, match="no choice is 1000 times as fast as dense"):
        chosen(found, 1000.0, lambda point: None)


def test_timings_are_read_from_a_profile(found):
    point = found[len(found) - 1]
    medians = {"dense": 4.0, "paper": 2.0, "plan": 1.6, "bound": 0.5}
    rows = [{"seconds": 80.0, "method": name, "step_seconds_median": median} for name, median in medians.items()]
    run = SimpleNamespace(rows=rows, info=make_info())
    timings = Timings({}).after(run, {80.0: point})
    assert timings.of(80.0, point) == Timing(speedup=2.5, paper=2.0)
    assert timings.of(80.0, found[0]) is None and timings.of(40.0, point) is None
    assert timings.infos == (run.info,) and Timings({}).by_length == {}


def test_a_plan_timed_to_be_too_slow_is_chosen_anew(records):
    first = select(*records, budget=Budget(min_speedup="paper"))
    point = first.points[80.0]
    slower = Timings({80.0: {key_of(point): Timing(speedup=2.0, paper=2.2)}}, (make_info(),))
    second = select(*records, budget=Budget(min_speedup="paper"), timings=slower)
    assert second.points[80.0].speedup >= point.speedup * (2.2 / 2.0) ** 0.5 * (1 - 1e-9)
    assert not second.points[80.0].timed and second.points[20.0] == first.points[20.0]
    faster = Timings({80.0: {key_of(point): Timing(speedup=2.3, paper=2.2)}}, (make_info(),))
    third = select(*records, budget=Budget(min_speedup="paper"), timings=faster)
    assert key_of(third.points[80.0]) == key_of(point) and third.points[80.0].timed
    assert of(third, 80.0, "plan")["speedup"] == 2.3 and of(third, 80.0, "paper")["speedup"] == 2.2
    assert of(third, 80.0, "plan")["timed"] and not of(third, 20.0, "plan")["timed"]
    assert third.summary["lengths"][-1]["budget"]["min_speedup"] == 2.2
    assert of(third, 80.0, "plan")["step_seconds"] == pytest.approx(third.frontiers[80.0].dense_seconds / 2.3)
    assert set(third.plan.evidence["made_from"]) == {"profile", "sensitivity pass", "timing 1"}


def test_a_speed_in_numbers_is_held_to_the_timing(records):
    first = select(*records, budget=Budget(min_speedup=ASKED))
    point = first.points[80.0]
    timings = Timings({80.0: {key_of(point): Timing(speedup=1.2, paper=9.0)}}, (make_info(),))
    second = select(*records, budget=Budget(min_speedup=ASKED), timings=timings)
    assert second.points[80.0].speedup >= point.speedup * (ASKED / 1.2) ** 0.5 * (1 - 1e-9)
    assert second.points[20.0] == first.points[20.0]


def test_timings_of_another_device_are_refused(records):
    other = make_info(device="cuda:0", machine={"accelerator": "H100"})
    with pytest.raises(InputError, match="different devices"):
        select(*records, budget=Budget(min_speedup=ASKED), timings=Timings({}, (other,)))


def test_a_timed_point_is_at_the_frontiers_dense_step(found):
    point = with_speed(found[0], found.dense_seconds, 2.0)
    assert point.step_seconds == found.dense_seconds / 2 and point.timed and point.error == found[0].error
