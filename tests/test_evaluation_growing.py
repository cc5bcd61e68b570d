"""A run that is gone on with by a larger one: nothing is made twice, and the table is that of the larger run alone."""

import json
from dataclasses import replace

import numpy as np
import pytest

from focuslab import EvaluationRun
from focuslab.errors import InputError
from focuslab.io.audio import encode_wav
from focuslab.io.captions import Caption
from focuslab.measure.evaluation.config import Share
from focuslab.measure.evaluation.shared import SharedDirectory
from focuslab.report.html.write import write_report
from tests.evaluation_jobs import METHODS, RATE, job, numbers, run, run_until

SMALL = {"captions": 4, "seconds": (0.2,), "seeds": (0,)}
LARGER = [
    pytest.param({"captions": 7}, id="captions"),
    pytest.param({"seconds": (0.1, 0.2)}, id="lengths"),
    pytest.param({"seeds": (0, 3)}, id="seeds"),
    pytest.param({"methods": (*METHODS, "naive")}, id="methods"),
    pytest.param({"captions": 5, "seconds": (0.2, 0.4), "seeds": (0, 1, 2), "methods": (*METHODS, "naive")}, id="all"),
]


@pytest.mark.parametrize("larger", LARGER)
def test_only_new_clips_are_made(tmp_path, larger):
    small, large = job(**SMALL), job(**{**SMALL, **larger})
    before, _ = run(small, tmp_path / "grown")
    grown, made = run(large, tmp_path / "grown")
    fresh, all_made = run(large, tmp_path / "fresh")
    # Beside new methods of old captions dense is made again, since they are timed against it.
    again = 4 if len(large.work.methods) > len(METHODS) else 0
    assert len(made) == large.work.total - small.work.total + again and len(all_made) == large.work.total
    assert numbers(grown.summary) == numbers(fresh.summary) != numbers(before.summary)
    assert grown.info.started == before.info.started and grown.info.identity() == fresh.info.identity()
    assert EvaluationRun.load(tmp_path / "grown").info == grown.info
    part, made = run(small, tmp_path / "grown")
    assert (
        not made
        and part.summary["rows"] == before.summary["rows"]
        and part.info == replace(before.info, ended=part.info.ended)
    )


def test_several_processes_grow_a_run(tmp_path):
    small, large = job(**SMALL), job(**{**SMALL, "captions": 9})
    run(small, tmp_path / "grown", Share(0, 2))
    run(small, tmp_path / "grown", Share(1, 2))
    made = [run(large, tmp_path / "grown", Share(rank, 3))[1] for rank in (2, 0, 1)]
    assert sum(map(len, made)) == large.work.total - small.work.total
    found = EvaluationRun.load(tmp_path / "grown")
    assert numbers(found.summary) == numbers(run(large, tmp_path / "fresh")[0].summary)


def stop_while_growing(small, large, out, after):
    """Have the small run finished in `out`, and stop the larger one once it has made `after` sounds."""
    finished, _ = run(small, out)
    run_until(large, out, after)
    return finished


def test_a_run_stopped_while_growing_is_unchanged(tmp_path):
    small, large = job(**SMALL), job(**{**SMALL, "captions": 7})
    before = stop_while_growing(small, large, tmp_path / "grown", after=4)
    loaded = EvaluationRun.load(tmp_path / "grown")
    assert (loaded.info, loaded.summary, loaded.records) == (before.info, before.summary, before.records)
    again, made = run(small, tmp_path / "grown")
    assert not made and numbers(again.summary) == numbers(before.summary) and len(again.records) == small.work.total
    grown, made = run(large, tmp_path / "grown")
    assert len(made) == large.work.total - small.work.total - 4
    assert numbers(grown.summary) == numbers(run(large, tmp_path / "fresh")[0].summary)


def test_clips_of_another_list_are_not_taken(tmp_path):
    small, out = job(**SMALL), tmp_path / "grown"
    one, other = (
        job(**{**SMALL, "captions": (*small.work.captions, *(Caption(f"{name} {i}") for i in range(3)))})
        for name in ("rain", "wind")
    )
    # Both are stopped after the dense sound of the same place in the list, which then waits for the other methods.
    stop_while_growing(small, one, out, after=1)
    stop_while_growing(small, other, out, after=1)
    assert len(list((out / "pending").iterdir())) == 2
    grown, made = run(one, out)
    assert len(made) == one.work.total - small.work.total - 1
    assert numbers(grown.summary) == numbers(run(one, tmp_path / "fresh")[0].summary)


def test_a_run_grows_beside_its_recordings(tmp_path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for i in range(6):
        noise = np.random.default_rng(i).standard_normal(RATE) * 0.1
        (recordings / f"id{i}.wav").write_bytes(encode_wav(noise.astype(np.float32), RATE))
    small, large = (job(**{**SMALL, "captions": n}, reference=recordings) for n in (4, 6))
    run(small, tmp_path / "grown")
    grown, made = run(large, tmp_path / "grown")
    assert len(made) == large.work.total - small.work.total and grown.summary["reference"]["paired"] == 6
    assert numbers(grown.summary) == numbers(run(large, tmp_path / "fresh")[0].summary)
    (recordings / "id9.wav").write_bytes((recordings / "id0.wav").read_bytes())
    with pytest.raises(InputError, match="another run .it differs in parameters"):
        run(job(**{**SMALL, "captions": 7}, reference=recordings), tmp_path / "grown")


@pytest.mark.parametrize(
    "changes, difference",
    [
        ({"captions": tuple(map(Caption, ("caption 1", "caption 0", "caption 2", "caption 3", "more")))}, "prompts"),
        ({"seeds": (1, 0)}, "seed"),
        ({"methods": {"dense": "dense", "litefocus": "another"}}, "parameters"),
        ({"metrics": ("clap",)}, "parameters"),
        ({"keep_audio": True}, "parameters"),
    ],
)
def test_another_run_is_refused_and_nothing_is_changed(tmp_path, changes, difference):
    run(job(**SMALL), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=rf"another run \(it differs in {difference}"):
        SharedDirectory(tmp_path, job(**{**SMALL, **changes}).info)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_calls_for_different_parts_fill_one_directory(tmp_path):
    """As several tables of one evaluation do."""
    parts = [
        job(6, (0.2,), ("dense", "litefocus")),
        job(4, (0.2,), ("dense", "tome")),
        job(5, (0.4, 0.2), ("tome", "naive", "dense")),
    ]
    for number, part in enumerate(parts):
        found, _ = run(part, tmp_path / "all")
        alone, _ = run(part, tmp_path / str(number))
        assert numbers(found.summary) == numbers(alone.summary)
    for part in parts:
        found, made = run(part, tmp_path / "all")
        assert not made and len([r for r in found.records if r["kind"] == "item"]) == part.work.total
    whole = EvaluationRun.load(tmp_path / "all")
    rows = {(row["seconds"], row["method"]): row["n"] for row in whole.rows}
    assert rows == {
        **{(0.2, m): n for m, n in {"dense": 6, "litefocus": 6, "tome": 5, "naive": 5}.items()},
        **{(0.4, m): 5 for m in ("dense", "tome", "naive")},
    }
    items = [(r["prompt"], r["seconds"], r["method"]) for r in whole.records if r["kind"] == "item"]
    assert len(items) == len(set(items)) == sum(rows.values()) == whole.summary["items"]["total"]
    assert any("smaller" in note for note in whole.summary["footnotes"])


def test_a_speedup_is_of_times_that_were_taken_together(tmp_path, monkeypatch):
    run(job(4, (0.2,), ("dense", "tome")), tmp_path)
    monkeypatch.setattr("tests.evaluation_jobs.SLOWER", {"dense": 8.0, "litefocus": 4.0})  # a slower day
    part, _ = run(job(4, (0.2,), ("dense", "litefocus")), tmp_path)
    assert part.row(0.2, "litefocus")["speedup_vs_dense"] == pytest.approx(2)
    # Dense is shown with the times that the others of the table were taken beside.
    assert part.row(0.2, "dense")["step_seconds_median"] > 8 * 0.2
    whole = EvaluationRun.load(tmp_path)
    assert [whole.row(0.2, method)["speedup_vs_dense"] for method in ("tome", "litefocus")] == pytest.approx([4, 2])
    assert whole.row(0.2, "dense")["step_seconds_median"] < 5 * 0.2


def test_a_run_stopped_while_getting_methods_is_resumed(tmp_path):
    small, large = job(**SMALL), job(**{**SMALL, "methods": (*METHODS, "naive", "pooled")})
    # The dense clip of the first caption, made again, and the first of its new methods.
    stop_while_growing(small, large, tmp_path / "grown", after=2)
    grown, made = run(large, tmp_path / "grown")
    assert len(made) == 4 * 3 - 2 and made[0] == ("caption 0", 0.2, "pooled")
    assert numbers(grown.summary) == numbers(run(large, tmp_path / "fresh")[0].summary)


def test_clips_without_embeddings_are_not_lost_to_another_call(tmp_path):
    run(job(4, (0.2,), ("dense", "tome")), tmp_path)
    for shard in (tmp_path / "embeddings").iterdir():
        shard.unlink()
    before = (tmp_path / "records.jsonl").read_bytes()
    with pytest.raises(InputError, match="embeddings .* tome at 0.2 s"):
        run(job(4, (0.2,), ("dense", "litefocus")), tmp_path)
    assert (tmp_path / "records.jsonl").read_bytes() == before
    again, made = run(job(4, (0.2,), ("dense", "tome")), tmp_path)
    assert len(made) == 8 and again.row(0.2, "tome")["n"] == 4


def test_the_older_layout_is_read_and_not_resumed(tmp_path):
    small = job(**SMALL)
    run(small, tmp_path)
    older = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    for record in older:
        del record["place"], record["sitting"]
    lines = "".join(json.dumps(record) + "\n" for record in older)
    (tmp_path / "records.jsonl").write_text(lines)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "rank-0.jsonl").write_text(lines)
    (tmp_path / "records" / "rank-0.lock").touch()
    found = EvaluationRun.load(tmp_path)
    assert len(found.records) == small.work.total and len(found.rows) == len(METHODS)
    page, _ = write_report([tmp_path], tmp_path.parent / "page.html")
    assert "tome" in page.read_text()
    # Version 0.1.0 had this layout, and did not record the weights that a run was made with.
    now = replace(small.info, model={**small.info.model, "weights": {"unet": "00"}})
    with pytest.raises(InputError, match="did not record what made it"):
        SharedDirectory(tmp_path, now)
