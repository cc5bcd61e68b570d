"""`generate --plan` and `plan:FILE` where commands take methods."""

import json

import pytest

from focuslab.models.identity import unet_layout
from focuslab.models.sites import find_sites, select_sites
from tests.plans import everywhere, plan_of

GENERATE = ["generate", "-m", "random:tiny", "--device", "cpu", "--prompt", "rain", "--steps", "1", "--quiet"]
PROFILE = ["profile", "-m", "random:tiny", "--device", "cpu", "--repeats", "1", "--seconds", "0.64", "--quiet"]


@pytest.fixture
def plan(focuslab, session_pipe):
    """A plan, in the command's empty directory as plan.json: dense below 1 s, LiteFocus at the paper's sites above."""
    sites = [site.name for site in select_sites(find_sites(session_pipe), None)]
    made = plan_of({0: {}, 1: everywhere(sites, cross_fraction=0.2)}, unet_layout(session_pipe))
    made.write("plan.json")
    return made


def test_generate_applies_the_plan_at_its_length(focuslab, plan, tmp_path):
    code, out, err = focuslab(*GENERATE, "--seconds", "1.28", "--plan", "plan.json")
    assert (code, out, err) == (0, "rain-1.28s-plan-plan-json-seed0.wav\n", "")
    focuslab(*GENERATE, "--seconds", "1.28", "--method", "litefocus:cross_fraction=0.2", "--out", "method.wav")
    assert (tmp_path / out.strip()).read_bytes() == (tmp_path / "method.wav").read_bytes()
    settings = json.loads((tmp_path / out.strip()).with_suffix(".json").read_text())
    assert settings["plan"] == plan.entries[1].to_json() and plan.fingerprint in settings["method"]
    assert sorted(settings["sites"]) == sorted(plan.entries[1].sites)
    assert json.loads((tmp_path / "method.json").read_text())["plan"] is None

    focuslab(*GENERATE, "--seconds", "0.64", "--plan", "plan.json", "--out", "short.wav")
    focuslab(*GENERATE, "--seconds", "0.64", "--out", "dense.wav")
    assert (tmp_path / "short.wav").read_bytes() == (tmp_path / "dense.wav").read_bytes()
    settings = json.loads((tmp_path / "short.json").read_text())
    assert settings["plan"] == plan.entries[0].to_json() and settings["sites"] == []


def test_profile_takes_a_plan_as_a_method(focuslab, plan):
    code, out, _ = focuslab(*PROFILE, "--seconds", "1.28", "--methods", "dense,plan:plan.json", "--out", "run")
    assert code == 0 and "plan:plan.json" in out
    with open("run/summary.json") as file:
        rows = {row["method"]: row for row in json.load(file)["rows"]}
    assert set(rows) == {"dense", "plan:plan.json", "bound:plan:plan.json"}
    planned, bound = rows["plan:plan.json"], rows["bound:plan:plan.json"]
    assert planned["bound_seconds"] == bound["step_seconds_median"] and planned["ideal_seconds"] is not None
    # The same name for another plan is another run.
    plan.at_every_step().write("plan.json", force=True)
    same = focuslab(*PROFILE, "--seconds", "1.28", "--methods", "dense,plan:plan.json", "--out", "run")
    assert same[0] == 0
    plan_of({0: {}}, plan.unet).write("plan.json", force=True)
    code, _, err = focuslab(*PROFILE, "--seconds", "1.28", "--methods", "dense,plan:plan.json", "--out", "run")
    assert code == 2 and "another run" in err


def test_wrong_plans_are_one_line_exit_two(focuslab, plan, tmp_path):
    content = plan.to_json()
    site = next(iter(content["entries"][1]["sites"]))

    def write(name, **changes):
        (tmp_path / name).write_text(json.dumps({**content, **changes}))

    write("damaged.json", entries=content["entries"][:1])
    write(
        "method.json", entries=[content["entries"][0], {**content["entries"][1], "sites": {site: {"method": "fast"}}}]
    )
    write("other.json", unet={**content["unet"], "frame_seconds": 0.02})
    (tmp_path / "text.json").write_text("{")
    files = sorted(tmp_path.iterdir())
    for name, message in (
        ("no.json", "no.json does not exist: expected a plan"),
        ("text.json", "text.json cannot be read"),
        ("damaged.json", "damaged.json: entries[0].max_seconds is 1: expected null"),
        ("method.json", f"method.json: entries[1].sites['{site}']: there is no method 'fast'"),
        ("other.json", "this plan is for another UNet"),
    ):
        for arguments in ([*GENERATE, "--plan", name], [*PROFILE, "--methods", f"dense,plan:{name}"]):
            code, out, err = focuslab(*arguments)
            assert (code, out) == (2, "")
            assert message in err and err.startswith("focuslab: ") and err.count("\n") == 1
    code, _, err = focuslab(*GENERATE, "--plan", "plan.json", "--method", "litefocus")
    assert code == 2 and "cannot both be used" in err
    assert sorted(tmp_path.iterdir()) == files
