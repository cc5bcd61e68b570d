"""analyses/11_fastest_clip.py: recipes run with their own scheduler and steps, and the table picks the fastest."""

import json

import pytest
from click.testing import CliRunner

from focuslab.models.schedulers import SCHEDULERS
from tests.test_analyses import analysis


@pytest.fixture(scope="module")
def fastest():
    with analysis("11_fastest_clip") as module:
        yield module


@pytest.fixture
def small(fastest, session_pipe, monkeypatch):
    monkeypatch.setattr(fastest.focuslab, "load", lambda *_: session_pipe)
    monkeypatch.setattr(fastest, "STEPS", 4)
    monkeypatch.setattr(
        fastest,
        "RECIPES",
        ((2, "dpm++", "dense"), (3, "euler", "deepcache:interval=2+sampled:own_keys=4:other_keys=2")),
    )
    return fastest


def test_a_recipe_has_its_own_steps_and_scheduler(fastest, pipe, sound):
    own, calls = pipe.scheduler, []
    hook = pipe.unet.register_forward_pre_hook(lambda *_: calls.append(type(pipe.scheduler).__name__))
    with fastest.Recipe(3, "heun", "deepcache:interval=2")(pipe) as handle:
        sound(steps=50)
        assert handle.cycle == 2
    hook.remove()
    # Heun makes two calls in each step but the last.
    assert calls == [SCHEDULERS["heun"][0]] * 5 and pipe.scheduler is own


def test_it_measures_resumes_and_draws(small, tmp_path, session_pipe):
    (tmp_path / "captions.txt").write_text("rain\n")
    out = tmp_path / "out"
    arguments = ["--prompts", f"{tmp_path}/captions.txt", "--limit", "1", "--seconds", "0.64", "--out", str(out)]
    done = CliRunner().invoke(small.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    records = [json.loads(line) for line in (out / "run" / "records.jsonl").read_text().splitlines()]
    labels = ["dense", "2 dpm++ dense", "3 euler deepcache:interval=2+sampled:own_keys=4:other_keys=2"]
    assert [record["method"] for record in records] == labels
    assert all((out / "run" / record["audio"]).exists() for record in records)
    assert len({record["values"]["log_mel_l1"] for record in records[1:]}) == 2
    text = (out / "table.md").read_text()
    assert "`4 ddim dense`" in text and "At 0.64 s the fastest" in text and all(label in text for label in labels[1:])
    assert (out / "quality_against_time.svg").exists()
    before = (out / "run" / "records.jsonl").read_bytes()
    again = CliRunner().invoke(small.main, [*arguments, "--draw"], catch_exceptions=False)
    assert again.exit_code == 0 and (out / "table.md").read_text() == text
    CliRunner().invoke(small.main, arguments, catch_exceptions=False)
    assert (out / "run" / "records.jsonl").read_bytes() == before


def test_the_frontier_and_the_fastest(fastest):
    def point(label, seconds, difference, worse=()):
        metrics = {"clap": {"minus_dense": {"value": difference, "low": None, "high": None}}}
        return fastest.Point(10.0, label, seconds, {"metrics": metrics}, {}, worse)

    points = [
        point("dense", 100.0, None),
        point("20 dpm++ dense", 10.0, -0.01),
        point("10 dpm++ dense", 5.0, -0.05, worse=("clap",)),
        point("20 ddim dense", 11.0, -0.02),
    ]
    assert [p.label for p in fastest.frontier(points, "clap")] == ["10 dpm++ dense", "20 dpm++ dense", "dense"]
    assert fastest.fastest(points).endswith("is `20 dpm++ dense`, 10.0 times as fast.")


def test_the_snr_is_of_powers(fastest, tmp_path):
    import numpy as np

    from focuslab.io.audio import encode_wav

    class Run:
        directory = tmp_path

    samples = np.sin(np.arange(1600) / 7).astype(np.float32) / 2
    for name, factor in (("a", 1.0), ("b", 0.9)):
        (tmp_path / f"{name}.wav").write_bytes(encode_wav(samples * factor, 16_000))
    reference, clip = ({(0, 0): {"audio": f"{name}.wav"}} for name in ("a", "b"))
    assert fastest.snr_values(Run, clip, reference) == [pytest.approx(20, abs=0.05)]
    assert fastest.snr_values(Run, reference, reference) == []
