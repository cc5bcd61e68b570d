"""Plans that run what an evaluation found best."""

import pytest

from focuslab.errors import InputError
from focuslab.methods import parse_method
from focuslab.methods.catalogue import catalogue
from focuslab.results import EvaluationRun
from focuslab.search.quality import _labels, best_in_quality, check_objective, with_quality
from focuslab.search.select import select
from tests.choice_records import SITES, make_info, make_pass, make_profile
from tests.evaluation_records import SPEED, VALUES, summary

LENGTHS = (10.0, 20.0, 80.0)
TRAINED = 10.24
SCALED = "litefocus:length_scale=true:sites=mid_block+up_blocks.1*"


def evaluation(methods=(), lengths=(10.0, 20.0, 80.0), **changes):
    """Of dense, Token Merging and `methods` (LiteFocus where none are given), which sound best."""
    methods = methods or ("litefocus",)
    values = {"dense": VALUES["dense"], "tome": VALUES["tome"], **dict.fromkeys(methods, VALUES["litefocus"])}
    found = summary(lengths, values=values, speed={**SPEED, **dict.fromkeys(methods, 1.5)}, **changes)
    return EvaluationRun(make_info("evaluate"), found, ())


@pytest.fixture(scope="module")
def selection():
    return select(make_profile(LENGTHS), make_pass(LENGTHS))


def made(selection, *more, **given):
    return with_quality(selection.plan, selection.points, selection.frontiers, *more, TRAINED, **given)


def runs(plan, seconds):
    entry = next(entry for entry in reversed(plan.entries) if entry.min_seconds <= seconds)
    return {site: dict(method) for site, method in entry.sites.items()}


def test_quality_is_the_aim_beyond_the_training_length_alone(selection):
    plan = made(selection, evaluation(), "quality")
    best = {site: {"method": "litefocus"} for site, block in SITES.items() if block in ("down_blocks.1", "up_blocks.2")}
    assert runs(plan, 80.0) == runs(plan, 20.0) == best
    assert runs(plan, 10.0) == runs(selection.plan, 10.0)
    assert plan.entries[0].min_seconds == 0 and plan.entries[-1].max_seconds is None
    assert all(a.max_seconds == b.min_seconds for a, b in zip(plan.entries, plan.entries[1:], strict=False))
    assert plan.evidence["objective"] == {"10": "fidelity", "20": "quality", "80": "quality"}
    quality = plan.evidence["quality"]
    assert list(quality) == ["10", "20", "80"] and quality["80"]["method"] == "litefocus"
    assert quality["80"]["distance"]["value"] == pytest.approx(0.33) and quality["80"]["beats_dense"] is True
    assert plan.evidence["made_from"] == selection.plan.evidence["made_from"]


def test_fidelity_stays_the_aim_where_it_is_asked_for(selection):
    plan = made(selection, evaluation(), "fidelity")
    assert plan.entries == selection.plan.entries
    assert set(plan.evidence["objective"].values()) == {"fidelity"} and list(plan.evidence["quality"])


@pytest.mark.parametrize(
    "label, blocks, method",
    [
        ("length-scale", set(SITES.values()), {"method": "length-scale"}),
        (SCALED, {"mid_block", "up_blocks.1"}, {"method": "litefocus", "length_scale": True}),
        ("litefocus:cross_fraction=0.02:cross_weight=unbiased", {"down_blocks.1", "up_blocks.2"}, None),
    ],
)
def test_a_method_runs_where_the_evaluation_ran_it(selection, label, blocks, method):
    there = runs(made(selection, evaluation((label,)), "quality"), 80.0)
    assert there.keys() == {site for site, block in SITES.items() if block in blocks}
    expected = method or {"method": "litefocus", "cross_fraction": 0.02, "cross_weight": "unbiased"}
    assert all(given == expected for given in there.values())


def test_where_dense_is_best_the_plan_is_dense(selection):
    values = {name: VALUES[name] for name in ("dense", "tome")}
    heard = EvaluationRun(make_info("evaluate"), summary(LENGTHS, values=values), ())
    plan = made(selection, heard, "quality")
    assert runs(plan, 80.0) == {} and runs(plan, 10.0) == runs(selection.plan, 10.0)
    assert plan.evidence["quality"]["80"]["method"] == "dense"


def test_a_plan_is_not_made_of_another_plan(selection):
    plan = made(selection, evaluation(("plan:mine.json", "litefocus")), "quality")
    assert plan.evidence["quality"]["80"]["method"] == "litefocus"


def test_a_budget_of_speed_leaves_out_slower_methods(selection):
    plan = made(selection, evaluation(), "quality", min_speedup={10.0: None, 20.0: 1.4, 80.0: 1.6})
    assert plan.evidence["objective"] == {"10": "fidelity", "20": "quality", "80": "fidelity"}
    assert runs(plan, 80.0) == runs(selection.plan, 80.0)


def test_an_evaluation_that_cannot_choose_is_refused():
    check_objective(evaluation(), "quality", LENGTHS, TRAINED)
    check_objective(evaluation(lengths=(10.0,)), "fidelity", LENGTHS, TRAINED)
    for lengths in ((10.0,), (10.0, 40.0)):
        with pytest.raises(InputError, match="the plan 10, 20, 80 s.*longer than the training length of 10.24 s"):
            check_objective(evaluation(lengths=lengths), "quality", LENGTHS, TRAINED)
    to_dense = {name: {"reference": "dense"} for name in VALUES["dense"]}
    with pytest.raises(InputError, match="no metric of quality but distances to dense"):
        check_objective(evaluation(**to_dense), "fidelity", LENGTHS, TRAINED)


@pytest.mark.parametrize("name", [n for n, e in catalogue().items() if e.for_sites])
def test_a_method_without_sites_is_where_it_is_by_itself(name):
    assert (parse_method(name).sites == "*") is catalogue()[name].everywhere


def test_what_no_plan_can_name_for_a_site_is_not_chosen():
    refused = {name for name, entry in catalogue().items() if not entry.for_sites}
    assert refused == {"dense", "bound", "broadcast", "deepcache", "joint", "joint-swap"}
    for label in ("joint", "deepcache:interval=2", "deepcache+sampled"):
        found = best_in_quality(evaluation((label,)).summary, _labels(evaluation((label,))))
        assert found and all(choice.method != label for choice in found.values())
