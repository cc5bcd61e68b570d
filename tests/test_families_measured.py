"""Every measurement works on every family, from capture to the page, at the smallest sizes."""

import json

import pytest

import focuslab
from focuslab.models.sites import find_sites
from focuslab.report.html.write import write_report
from focuslab.runs.plan import sites_of_layout
from tests.quick import twice_as_fast

SECONDS = (0.64,)
FAMILIES = ["audioldm", "musicldm", "tango"]
SAMPLED = "sampled:own_keys=5:other_keys=1"


@pytest.fixture(params=FAMILIES)
def pipe(request, family_pipes):
    pipe = family_pipes(request.param)
    processors = dict(pipe.unet.attn_processors)
    yield pipe
    found = pipe.unet.attn_processors
    assert all(found[name] is processors[name] for name in processors)


def test_a_capture_has_a_record_of_every_site(pipe, tmp_path):
    run = focuslab.capture_attention(pipe, "rain", 0.64, steps=2, cross_fractions=0.1, key_counts="5:2", out=tmp_path)
    names = [site.name for site in find_sites(pipe)]
    assert [row["name"] for row in run.summary["sites"]] == names
    assert all(0 <= row["same_frequency_mass"] <= 1 for row in run.summary["sites"])
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    (taken,) = [record for record in records if record["kind"] == "pass"]
    assert taken["recorded_steps"] == [0] and len(taken["plain_step_seconds"]) == 1


def test_a_profile_has_every_method_and_its_bound(pipe):
    run = focuslab.profile(pipe, 0.64, ("dense", "litefocus", SAMPLED), repeats=1)
    rows = {row["method"]: row for row in run.rows}
    assert {"dense", "litefocus", SAMPLED, "bound", "bound:sites=*"} <= rows.keys()
    flops = {label: row["flops_per_step"] for label, row in rows.items()}
    assert flops["bound:sites=*"] < flops[SAMPLED] < flops["dense"] and flops["bound"] < flops["dense"]
    assert rows["dense"]["kind_share"]["self_attention"] > 0
    assert {row["stage"] for row in run.summary["stages"]} == {"prompt_encoding", "vae_decoder", "vocoder"}


def test_an_evaluation_scores_clips_of_every_method(pipe):
    asked = {"methods": ("dense", SAMPLED), "metrics": ["clap", "log_mel_l1"], "steps": 1}
    run = focuslab.evaluate(pipe, "rain", seconds=0.64, **asked)
    scores = {row["method"]: row["metrics"] for row in run.rows}
    assert all(-1 <= scores[label]["clap"]["value"] <= 1 for label in asked["methods"])
    assert scores[SAMPLED]["log_mel_l1"]["value"] > 0
    own = run.info.parameters["embedders"]["clap"]["own"]
    assert own == (type(pipe).__name__ == "MusicLDMPipeline")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["audioldm", "tango"])
def test_a_recommendation_ends_in_a_plan_and_a_page(name, family_pipes, tmp_path):
    pipe = family_pipes(name)
    asked = {"prompts": ["rain"], "validation_prompts": ["a siren"], "methods": [SAMPLED], "steps": 2}
    made = focuslab.recommend(pipe, SECONDS, out=tmp_path / "first.json", validate=False, **asked)
    records = made.path.parent / "records"
    twice_as_fast(records / "profile")
    given = {"profile": records / "profile", "sensitivity": records / "sensitivity", "attention": records / "capture"}
    made = focuslab.recommend(pipe, SECONDS, max_error=0.9, out=tmp_path / "plan.json", **asked, **given)
    plan = focuslab.Plan.load(made.path)
    assert plan.unet["family"].lower() == name and plan == made.plan and plan.entries[-1].sites
    assert {row["method"] for row in made.validation.summary["rows"]} >= {"plan"}
    assert set(sites_of_layout(plan.unet, None)) == set(focuslab.LiteFocus().sites_at(pipe, 1.0))
    clip = focuslab.generate(pipe, "rain", 1.28, steps=1, method=plan)
    assert clip.samples.size == 20480 and set(clip.settings["sites"]) == set(plan.entries[-1].sites)
    page, _ = write_report([tmp_path], tmp_path / "report.html")
    assert f"random:tiny-{name}" in page.read_text()


def test_a_cache_skips_the_deep_levels_at_every_second_call(pipe):
    calls, deep = [], []
    site = next(site for site in find_sites(pipe) if site.block == "mid_block")
    hooks = [pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))]
    hooks.append(pipe.unet.get_submodule(site.name).to_q.register_forward_hook(lambda *_: deep.append(1)))
    dense, cached = (
        focuslab.generate(pipe, "rain", 0.64, steps=4, method=method)
        for method in ("dense", f"deepcache:interval=2+{SAMPLED}")
    )
    for hook in hooks:
        hook.remove()
    assert (len(calls), len(deep)) == (2 * 4, 4 + 2) and (cached.samples != dense.samples).any()
