"""analyses/04 to 07: evaluated length by length, one table of all, resumable; what their words say was measured."""

import csv
import json

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import focuslab
from focuslab.errors import InputError
from focuslab.hooks.memory import LeftOut
from focuslab.hooks.meta_cost import MetaCost
from focuslab.io.audio import read_audio
from focuslab.models.sites import find_sites, select_sites
from focuslab.results import EvaluationRun
from tests.evaluation_records import SPEED, VALUES, summary
from tests.test_analyses import analysis

with analysis("06_table3"):
    from findings import against_dense, against_paper, findings, merge_evaluations

SCRIPTS = ("04_table1", "05_table2", "06_table3", "07_weight_and_length", "12_longer_than_training")


@pytest.fixture
def sound_table():
    with analysis("06_table3"):
        import sound_table

        yield sound_table


@pytest.fixture
def held_out(sound_table):
    return sound_table.held_out


@pytest.fixture
def tables(session_pipe, tmp_path, monkeypatch):
    """Runs a script on some captions of each length, and gives what it printed."""
    (tmp_path / "captions.txt").write_text("rain\na siren\nwind\na bell\n")
    monkeypatch.setattr(focuslab, "load", lambda model: session_pipe, raising=False)
    # Dry runs take longer than these clips.
    step = MetaCost({"other": 1}, {}, 0, {})
    fits = lambda _, __, of: ({(s, label): step for s, own in of.items() for label in own}, LeftOut())  # noqa: E731
    monkeypatch.setattr("focuslab.measure.evaluation.job.meta_costs", fits)

    def run(script, seconds="0.64", limit="4"):
        arguments = ["--model", "random:tiny", "--seconds", seconds, "--limit", limit, "--steps", "1"]
        arguments += ["--prompts", str(tmp_path / "captions.txt"), "--out", str(tmp_path / "out")]
        with analysis(script) as module:
            done = CliRunner().invoke(module.main, arguments, catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    return run


def test_one_table_of_all_lengths_and_nothing_is_done_twice(tables, tmp_path):
    printed = tables("06_table3", "0.64,1.28", "4,3")
    out, evaluation = tmp_path / "out" / "06_table3", tmp_path / "out" / "sound"
    records = (evaluation / "records.jsonl").read_bytes()
    (out / "table.md").unlink()
    tables("06_table3", "0.64,1.28", "4,3")
    # Times are in the records: had anything been made again, they would differ.
    assert (evaluation / "records.jsonl").read_bytes() == records
    whole = EvaluationRun.load(evaluation)
    assert [(r["seconds"], r["method"], r["n"]) for r in whole.rows] == [
        (s, m, n) for s, n in ((0.64, 4), (1.28, 3)) for m in ("dense", "same-frequency", "litefocus")
    ]
    assert whole.info.parameters["seconds"] == [0.64, 1.28] and len(whole.info.prompts) == 4
    table = (out / "table.md").read_text()
    given = f"--seconds 0.64,1.28 --steps 1 --limit 4,3 --prompts {tmp_path / 'captions.txt'}"
    assert f"Made by python analyses/06_table3.py --model random:tiny {given}, begun" in table
    assert "Clips of each method: 4 at 0.64 s, 3 at 1.28 s" in table
    assert table.count("| `same-frequency` |") >= 4 and "`litefocus`" in printed
    rows = list(csv.DictReader((out / "table.csv").open()))
    assert {(r["seconds"], r["method"]) for r in rows} == {(f"{r['seconds']:g}", r["method"]) for r in whole.rows}
    assert r"\begin{tabular}" in (out / "table.tex").read_text()
    readme = (out / "README.md").read_text()
    assert readme.startswith("# Only same-frequency") and "`same-frequency`" in readme
    assert {path.suffix for path in out.iterdir()} == {".md", ".csv", ".tex", ".svg"}


def test_tables_share_the_clips_that_both_show(tables, tmp_path):
    tables("06_table3")
    evaluation = tmp_path / "out" / "sound"
    alone = (tmp_path / "out" / "06_table3" / "table.csv").read_text()
    before = (evaluation / "records.jsonl").read_text().splitlines()
    tables("05_table2", limit="3")
    after = (evaluation / "records.jsonl").read_text().splitlines()
    assert set(before) < set(after)
    made = [json.loads(line) for line in after if line not in before]
    # Dense is there already and is only timed again, beside the four new methods.
    assert [r["method"] for r in made if r["kind"] == "timing"] == ["dense"] * 3
    assert sum(r["kind"] == "item" for r in made) == 4 * 3
    rows = {row["method"]: row["n"] for row in EvaluationRun.load(evaluation).rows}
    assert rows["dense"] == 4 and rows["cross-frequency:cross_fraction=0.8"] == 3
    # A table drawn again from the larger evaluation is the table that it was.
    tables("06_table3")
    assert (evaluation / "records.jsonl").read_text().splitlines() == after
    assert (tmp_path / "out" / "06_table3" / "table.csv").read_text() == alone


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_what_it_would_cost(script, session_pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(focuslab, "load", lambda model: session_pipe, raising=False)
    with analysis(script) as module:
        arguments = ["--cost", "--steps", "10", "--seconds", "10,80", "--limit", "3,1", "--out", str(tmp_path / "o")]
        done = CliRunner().invoke(module.main, arguments, catch_exceptions=False)
        methods = len(module.TABLE.methods) + (script == SCRIPTS[3])
    assert done.exit_code == 0 and not (tmp_path / "o").exists()
    assert done.stdout.startswith(f"{methods * 40:,} UNet steps, {methods} methods and 10 steps a sound")
    assert f"{methods * 30:,} at 10 s, {methods * 10:,} at 80 s" in done.stdout


def test_captions_of_each_length(sound_table):
    assert sound_table.captions_of_lengths((10.0, 80.0), "60") == {10.0: 60, 80.0: 60}
    assert sound_table.captions_of_lengths((10.0, 80.0), "60,30") == {10.0: 60, 80.0: 30}
    for wrong in ("60,30,10", "0", "3.5", "many", ""):
        with pytest.raises(click.BadParameter, match="one for each length"):
            sound_table.captions_of_lengths((10.0, 80.0), wrong)


def test_another_model_needs_captions_of_its_own(session_pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(focuslab, "load", lambda model: session_pipe, raising=False)
    with analysis("05_table2") as script:
        done = CliRunner().invoke(script.main, ["--model", "random:tiny", "--out", str(tmp_path)])
    assert done.exit_code == 2 and "random:tiny needs --prompts" in done.stderr


def test_scaled_everywhere_takes_every_site(pipe, sound):
    dense = torch.from_numpy(sound())
    with analysis("07_weight_and_length") as script:
        method = script.scaled_everywhere(pipe)
    focused = {site.name for site in select_sites(find_sites(pipe), None)}
    methods = method.sites_at(pipe, 10.0)
    assert set(methods) == {site.name for site in find_sites(pipe)}
    for name, own in methods.items():
        assert isinstance(own, focuslab.LiteFocus) == (name in focused)
        assert not isinstance(own, focuslab.LiteFocus) or (own.length_scale and own.cross_weight == "unbiased")
    with method(pipe):
        assert (torch.from_numpy(sound()) - dense).abs().max() / dense.abs().max() > 1e-3


def test_held_out_captions_name_their_recordings_and_are_kept(held_out, tmp_path, monkeypatch):
    calls = []

    def render_shard(folder, split, number, count):
        calls.append(number)
        (folder / split).mkdir(parents=True, exist_ok=True)
        samples = np.full((count, 320), 100 * (number + 1), np.int16)
        np.save(folder / split / f"{number:05d}.npy", samples)
        entries = ({"caption": f"c{number}-{i}", "label": "rain", "attributes": {}} for i in range(count))
        (folder / split / f"{number:05d}.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))

    monkeypatch.setattr(held_out.render, "render_shard", render_shard)
    captions, recordings = held_out.write_held_out(tmp_path, 70)
    lines = [json.loads(line) for line in captions.read_text().splitlines()]
    assert len(lines) == len(list(recordings.iterdir())) == 70
    assert lines[65] == {"caption": "c1-5", "file": "00065.wav"}
    samples, rate = read_audio(recordings / "00065.wav")
    assert rate == 16000 and samples == pytest.approx(200 / 32768, abs=1e-4)
    assert held_out.write_held_out(tmp_path, 70) == (captions, recordings) and calls == [0, 1]


def test_the_tagger_covers_a_clip_in_windows(held_out):
    tagger = held_out.class_tagger()
    rng = np.random.default_rng(0)
    rows = tagger.embed(0.1 * rng.standard_normal((1, 16000 * 12)).astype(np.float32), 16000)
    assert rows.shape == (1, 2, 30) and np.isfinite(rows).all()
    assert "30 classes" in tagger.checkpoint and "10.24 s" in tagger.protocol


def test_summaries_of_lengths_become_one():
    short, long = summary(lengths=(10.0,)), summary(lengths=(80.0,))
    long["footnotes"] = ["1 sound was silent & left out.", "30 captions."]
    whole = merge_evaluations([long, short])
    assert [(r["seconds"], r["method"]) for r in whole["rows"]] == [
        (s, m) for s in (10.0, 80.0) for m in ("dense", "litefocus", "tome")
    ]
    assert whole["footnotes"] == [
        "1 sound was silent & left out.",
        "At 80 s: 30 captions.",
        "At 10 s: Intervals are of 95 %, bootstrap over captions.",
    ]
    assert whole["items"] == {"total": 576, "scored": 576, "nan": 0, "silent": 0}
    assert whole["scoring_over_generating"] == pytest.approx(6 * 0.2 / (3 * 10 + 3 * 80))
    with pytest.raises(InputError, match="at 10 s twice"):
        merge_evaluations([short, short])
    with pytest.raises(InputError, match="frechet in different ways"):
        merge_evaluations([short, summary(lengths=(80.0,), frechet={"reference": "dense"})])


def test_words_say_where_a_method_is_significantly_better_or_worse():
    assert against_dense(summary(), "frechet", "tome") == "significantly worse than dense at 10, 40 s."
    assert (
        against_dense(summary(width=3.0), "clap", "litefocus") == "not significantly different from dense at 10, 40 s."
    )
    assert against_dense(summary(), "log_mel_l1", "litefocus") == ""
    mixed = summary()
    mixed["rows"][4]["metrics"]["frechet"]["minus_dense"] |= {"low": -0.1, "high": 0.2}
    assert against_dense(mixed, "frechet", "litefocus") == (
        "significantly better than dense at 10 s; not significantly different from dense at 40 s."
    )


def test_methods_of_which_the_same_is_said_share_a_line():
    assert findings(summary(), "kernel") == [
        "kernel, `litefocus`: significantly better than dense at 10, 40 s.",
        "kernel, `tome`: significantly worse than dense at 10, 40 s.",
    ]
    assert findings(summary(width=30.0), "kernel") == [
        "kernel, `litefocus`, `tome`: not significantly different from dense at 10, 40 s."
    ]
    assert findings(summary(), "frechet")[1] == (
        "Frechet, `tome`: significantly worse than dense at 10, 40 s. In the paper worse, as here, at 10, 40 s."
    )
    assert findings(summary(), "log_mel_l1") == []


def test_words_beside_the_paper_are_of_directions_alone():
    # The paper's LiteFocus has a worse FAD than dense at 10 s, and a better one at 40 s.
    assert against_paper(summary(), "frechet", "litefocus") == (
        "In the paper worse, the other way here, at 10 s; better, as here, at 40 s."
    )
    assert against_paper(summary(width=3.0), "frechet", "litefocus").startswith(
        "In the paper worse, not significant here,"
    )
    assert against_paper(summary(), "kernel", "litefocus") == ""
    ours = {"dense": VALUES["dense"], "length-scale": VALUES["litefocus"]}
    found = summary(values=ours, speed={**SPEED, "length-scale": 1.0})
    assert against_paper(found, "frechet", "length-scale") == ""
