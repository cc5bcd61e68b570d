"""focuslab.search.error_model: how errors of groups make the error of all of them."""

import numpy as np
import pytest

from focuslab.search.candidates import candidates_of
from focuslab.search.cost_model import CostModel
from focuslab.search.error_model import ErrorModel, fit_error_model
from tests.choice_records import ALL_SITES, PAPER, make_joint, make_profile, make_sensitivity

CHOICES = (PAPER, ALL_SITES, dict.fromkeys(ALL_SITES, "tome"), {"mid_block": "tome", "up_blocks.2": "same-frequency"})


@pytest.fixture(scope="module")
def candidates():
    return candidates_of(CostModel(make_profile()), make_sensitivity())


def test_joint_errors_of_known_exponents():
    assert ErrorModel(1.0).joint([0.1, 0.2]) == pytest.approx(0.3)
    assert ErrorModel(2.0).joint([0.3, 0.4]) == pytest.approx(0.5)
    assert ErrorModel(16.0).joint([0.3, 0.4]) == pytest.approx(0.4, rel=1e-3)
    assert ErrorModel().joint([0.0, 0.0]) == 0 and ErrorModel().joint([]) == 0
    assert ErrorModel(2.0).joint(np.array([[3.0, 4.0], [0.0, 1.0]])) == pytest.approx([5.0, 1.0])
    # 1e-30 to the 16th is no number in double precision.
    assert ErrorModel(16.0).joint([1e-30, 1e-30]) == pytest.approx(1e-30 * 2 ** (1 / 16))


@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.6, 2.0, 5.0])
def test_a_planted_exponent_is_found(candidates, exponent):
    joint = [r for s in (10.0, 80.0) for choice in CHOICES for r in make_joint(s, choice, exponent)]
    found = fit_error_model(candidates, joint)
    assert found.exponent == pytest.approx(exponent, rel=1e-3) and found.runs == 8
    assert found.rmse == pytest.approx(0, abs=1e-4)
    low, high = found.interval(0.02)
    assert low == pytest.approx(0.02, rel=1e-3) and high == pytest.approx(0.02, rel=1e-3)


def test_the_rmse_is_what_the_joint_ablations_are_off_by(candidates):
    factors = (1.2, 1 / 1.2)
    joint = [r for f in factors for r in make_joint(80.0 if f > 1 else 40.0, PAPER, 2.0, f)]
    found = fit_error_model(candidates, joint)
    assert found.exponent == pytest.approx(2.0, rel=0.02)
    assert found.rmse == pytest.approx(0.2, rel=0.02)
    assert (found.low, found.high) == (pytest.approx(1 / 1.2, rel=0.02), pytest.approx(1.2, rel=0.02))
    assert found.interval(0.01) == (pytest.approx(0.01 * found.low), pytest.approx(0.01 * found.high))


def test_errors_that_cancel_leave_the_largest(candidates):
    found = fit_error_model(candidates, make_joint(80.0, ALL_SITES, 2.0, 0.3))
    assert found.exponent == pytest.approx(16.0)
    assert found.high < 1 and found.interval(0.01)[1] == 0.01


def test_without_joint_ablations_errors_are_independent(candidates):
    single = make_joint(80.0, {"mid_block": "tome", "up_blocks.1": "dense"})
    unknown = make_joint(80.0, {"mid_block": "tome", "up_blocks.2": "tome"})
    for record in unknown:
        record["choice"] = {"mid_block": "tome", "elsewhere": "tome"}
    for joint in ([], single, unknown, make_sensitivity((10.0,))):
        found = fit_error_model(candidates, joint)
        assert (found.exponent, found.runs) == (2.0, 0)
        assert found.rmse is found.interval(0.1) is None


def test_sites_and_order_of_parameters_make_no_other_method(candidates):
    label = "litefocus:cross_weight=unbiased:cross_fraction=0.02:sites=*"
    choice = {"up_blocks.2": "litefocus:cross_fraction=0.02:cross_weight=unbiased", "mid_block": "tome"}
    joint = make_joint(80.0, choice)
    for record in joint:
        record["choice"] = {**choice, "up_blocks.2": label}
    assert fit_error_model(candidates, joint).runs == 1
