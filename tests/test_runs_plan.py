"""Plans as records and as files; what they do to a pipeline is in test_methods_plan."""

import copy
import json
from dataclasses import FrozenInstanceError, replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import focuslab
from focuslab.errors import FocuslabError, InputError
from focuslab.methods import Plan
from focuslab.runs.plan import PlanEntry, PlanSpec
from tests.plans import LAYOUT, everywhere, plan_of

SITES = list(LAYOUT["sites"])
PLAN = plan_of(
    {0: {}, 15: everywhere(SITES[:1], cross_fraction=0.02, cross_weight=20.0), 60.5: everywhere(SITES, "tome")},
    evidence={"measured": [1.5, None, {"é": "ü"}]},
    dense_steps={"first": 1, "last": 0},
)

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]  # of a busy machine
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.booleans() | st.integers(-(10**6), 10**6) | finite | st.text(max_size=8)
json_values = st.recursive(
    st.none() | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=3,
)


@st.composite
def plans(draw):
    starts = [0, *sorted(draw(st.sets(st.floats(0.01, 1e6) | st.integers(1, 1000), max_size=2)))]
    method = st.dictionaries(st.text(max_size=6), scalars, max_size=2).map(lambda d: {**d, "method": "litefocus"})
    count = st.integers(0, 10**6)
    entries = [
        PlanEntry(
            start,
            end,
            draw(st.dictionaries(st.sampled_from(SITES), method, max_size=2)),
            draw(st.none() | st.fixed_dictionaries({"first": count, "last": count})),
        )
        for start, end in pairwise([*starts, None])
    ]
    return PlanSpec(
        draw(st.text(max_size=5)),
        LAYOUT,
        tuple(entries),
        draw(st.dictionaries(st.text(max_size=5), json_values, max_size=2)),
    )


@given(plans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, *SLOW])
def test_a_plan_written_and_loaded_is_the_same(tmp_path, plan):
    path = plan.write(tmp_path / "plan.json", force=True)
    loaded = PlanSpec.load(path)
    assert loaded == plan and hash(loaded) == hash(plan) and loaded.fingerprint == plan.fingerprint
    assert loaded.to_json() == json.loads(path.read_text()) == plan.to_json()


def test_the_file_is_that_of_the_design(tmp_path):
    content = json.loads(PLAN.write(tmp_path / "new" / "plan.json").read_text())
    assert content["schema"] == "focuslab/plan/1" and content["model"] == "random:tiny" and content["unet"] == LAYOUT
    assert content["entries"][1] == {
        "min_seconds": 15,
        "max_seconds": 60.5,
        "sites": {SITES[0]: {"method": "litefocus", "cross_fraction": 0.02, "cross_weight": 20.0}},
        "dense_steps": {"first": 1, "last": 0},
    }
    assert content["entries"][-1]["max_seconds"] is None
    assert "dense_steps" not in PLAN.at_every_step().to_json()["entries"][1]
    del content["evidence"]
    assert Plan.from_json(content, "x").evidence == {}


def test_an_existing_file_is_replaced_only_when_forced(tmp_path):
    path = PLAN.write(tmp_path / "plan.json")
    other = plan_of({0: {}})
    with pytest.raises(InputError, match=r"plan\.json exists already.*--force"):
        other.write(path)
    assert Plan.load(path) == PLAN
    other.write(path, force=True)
    assert Plan.load(path) == other and [p.name for p in tmp_path.iterdir()] == ["plan.json"]
    with pytest.raises(FocuslabError, match="cannot be written"):
        PLAN.write(path / "below.json")
    with pytest.raises(InputError, match="exists already"):
        PLAN.write(tmp_path, force=True)


def test_plans_are_frozen_public_and_say_what_they_hold():
    assert focuslab.Plan is Plan
    with pytest.raises(FrozenInstanceError):
        PLAN.model = "x"
    text = repr(PLAN)
    assert "random:tiny" in text and "0 to 15 s 0 sparse sites; 15 to 60.5 s 1 sparse sites; from 60.5 s on 3" in text


def test_the_fingerprint_follows_what_a_plan_does_and_not_why():
    assert replace(PLAN, evidence={}).fingerprint == PLAN.fingerprint
    others = [PLAN.at_every_step(), plan_of({0: {}}), replace(PLAN, unet={**LAYOUT, "frame_seconds": 0.02})]
    assert len({PLAN.fingerprint, *(plan.fingerprint for plan in others)}) == 4


def damaged(*path, value=...):
    """The content of PLAN with the value at `path` replaced, or taken out."""
    content = copy.deepcopy(PLAN.to_json())
    *way, last = path
    at = content
    for key in way:
        at = at[key]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return content


SITE = ("entries", 1, "sites", SITES[0])
SPARSE = r"entries\[1\].sites\['down_blocks.1.attn1'\]"
DAMAGED = {
    "schema": (damaged("schema", value="focuslab/plan/2"), "holds 'focuslab/plan/2', expected 'focuslab/plan/1'"),
    "no object": ([], "holds 'list', expected 'focuslab/plan/1'"),
    "no model": (damaged("model"), "lacks the field 'model'"),
    "model": (damaged("model", value=3), "model is 3: expected text"),
    "unknown field": (damaged("sites", value=[]), "sites is .*expected no field of this name"),
    "no UNet": (damaged("unet"), "lacks the field 'unet'"),
    "UNet": (damaged("unet", value="tiny"), "unet is 'tiny': expected an object"),
    "frame_seconds": (damaged("unet", "frame_seconds", value=0), "unet.frame_seconds is 0"),
    "frames": (damaged("unet", "frames_per_latent", value=0.5), "unet.frames_per_latent is 0.5: .*a whole number"),
    "rows": (damaged("unet", "latent_mel_rows"), "unet lacks the field 'latent_mel_rows'"),
    "no sites of the UNet": (damaged("unet", "sites", value={}), "unet.sites is {}: expected 1 or more"),
    "name of a site": (damaged("unet", "sites", "a\nb", value={}), r"unet.sites\['a\\nb'\]"),
    "heads": (damaged("unet", "sites", SITES[0], "heads", value=True), "heads is True: expected a whole number from 1"),
    "entries": (damaged("entries", value={}), "entries is {}: expected a list"),
    "no entries": (damaged("entries", value=[]), r"entries is \[\]"),
    "entry": (damaged("entries", 1, value=None), r"entries\[1\] is None: expected an object"),
    "no min": (damaged("entries", 1, "min_seconds"), r"entries\[1\] lacks the field 'min_seconds'"),
    "typo": (damaged("entries", 1, "dense_step", value=1), r"entries\[1\].dense_step is 1: expected no field"),
    "late start": (damaged("entries", 0, "min_seconds", value=1), r"entries\[0\].min_seconds is 1: expected 0"),
    "gap": (damaged("entries", 1, "min_seconds", value=16), r"entries\[1\].min_seconds is 16"),
    "NaN": (damaged("entries", 1, "min_seconds", value=float("nan")), r"entries\[1\].min_seconds is 'NaN'"),
    "backwards": (damaged("entries", 1, "max_seconds", value=15), r"entries\[1\].max_seconds is 15: .*above"),
    "infinite": (damaged("entries", 1, "max_seconds", value=10**400), r"entries\[1\].max_seconds is 10*.*a number"),
    "too long": (damaged("entries", 1, "max_seconds", value=1e308), r"entries\[1\].max_seconds is 1e\+308"),
    "immense": (damaged("unet", "latent_mel_rows", value=10**400), "unet.latent_mel_rows is 10*.*a whole number"),
    "text": (damaged("entries", 1, "max_seconds", value="60"), r"entries\[1\].max_seconds is '60'"),
    "no end in between": (damaged("entries", 0, "max_seconds", value=None), r"entries\[1\].min_seconds is 15: .*null"),
    "end at the end": (damaged("entries", 2, "max_seconds", value=80), r"entries\[2\].max_seconds is 80: .*null"),
    "list of sites": (damaged("entries", 1, "sites", value=[]), r"entries\[1\].sites is \[\]: expected an object"),
    "unknown site": (
        damaged("entries", 1, "sites", "mid_blok.attn1", value={"method": "tome"}),
        r"sites\['mid_blok.attn1'\].*did you mean mid_block.attn1\?",
    ),
    "site": (damaged(*SITE, value="litefocus"), f"{SPARSE} is 'litefocus': expected an object"),
    "no method": (damaged(*SITE, "method"), f"{SPARSE} lacks the field 'method'"),
    "parameter": (damaged(*SITE, "cross_fraction", value=[0.1]), rf"{SPARSE}.cross_fraction is \[0.1\]"),
    "dense_steps": (damaged("entries", 1, "dense_steps", value=2), r"entries\[1\].dense_steps is 2: .*an object"),
    "first": (damaged("entries", 1, "dense_steps", "first", value=-1), "dense_steps.first is -1: .*number from 0"),
    "no last": (damaged("entries", 1, "dense_steps", "last"), r"entries\[1\].dense_steps lacks the field 'last'"),
    "evidence": (damaged("evidence", value=[]), r"evidence is \[\]: expected an object"),
}


@pytest.mark.parametrize("content, message", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_plan_names_the_file_and_the_field(tmp_path, content, message):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        Plan.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.json does not exist: expected a plan"):
        Plan.load(tmp_path / "nothing.json")
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN.to_json())[:-20])
    with pytest.raises(InputError, match=r"plan\.json cannot be read") as caught:
        Plan.load(path)
    assert "\n" not in str(caught.value)


def paths(content, way=()):
    """Every place in a JSON value."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield (*way, key)
        yield from paths(value, (*way, key))


@given(st.sampled_from(list(paths(PLAN.to_json()))), json_values | st.just(...))
@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
def test_a_damaged_plan_is_read_or_refused(path, value):
    try:
        plan = Plan.from_json(damaged(*path, value=value), "here.json")
    except InputError as error:
        assert str(error).startswith("here.json") and "\n" not in str(error)
    else:
        assert Plan.from_json(plan.to_json(), "again") == plan
