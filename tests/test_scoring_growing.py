"""A run that is gone on with by a larger one: nothing is made twice, and the table is that of the larger run alone."""

import numpy as np
import pytest

from focuslab import EvaluationRun
from focuslab.audio import encode_wav
from focuslab.captions import Caption
from focuslab.errors import InputError
from focuslab.scoring.items import Work
from focuslab.scoring.launch import Share
from focuslab.scoring.shared import SharedDirectory
from tests.evaluation_jobs import RATE, job, numbers, run, run_until

SMALL = {"captions": 4, "seconds": (0.2,), "seeds": (0,)}
LARGER = [
    pytest.param({"captions": 7}, id="captions"),
    pytest.param({"seconds": (0.1, 0.2)}, id="lengths"),
    pytest.param({"seeds": (0, 3)}, id="seeds"),
    pytest.param({"captions": 5, "seconds": (0.4, 0.2), "seeds": (0, 1, 2)}, id="all"),
]


@pytest.mark.parametrize("larger", LARGER)
def test_only_what_is_new_is_made_and_the_table_is_that_of_the_larger_run(tmp_path, larger):
    small, large = job(**SMALL), job(**{**SMALL, **larger})
    before, _ = run(small, tmp_path / "grown")
    grown, made = run(large, tmp_path / "grown")
    fresh, all_made = run(large, tmp_path / "fresh")
    assert len(made) == large.work.total - small.work.total and len(all_made) == large.work.total
    assert numbers(grown.summary) == numbers(fresh.summary) != numbers(before.summary)
    assert grown.info.started == before.info.started and grown.info.identity() == fresh.info.identity()
    assert EvaluationRun.load(tmp_path / "grown").info == grown.info
    with pytest.raises(InputError, match="another run"):
        run(small, tmp_path / "grown")


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


def test_a_run_that_was_stopped_while_it_grew_is_still_the_one_before(tmp_path):
    small, large = job(**SMALL), job(**{**SMALL, "captions": 7})
    before = stop_while_growing(small, large, tmp_path / "grown", after=4)
    loaded = EvaluationRun.load(tmp_path / "grown")
    assert (loaded.info, loaded.summary, loaded.records) == (before.info, before.summary, before.records)
    again, made = run(small, tmp_path / "grown")
    assert not made and numbers(again.summary) == numbers(before.summary) and len(again.records) == small.work.total
    grown, made = run(large, tmp_path / "grown")
    assert len(made) == large.work.total - small.work.total - 4
    assert numbers(grown.summary) == numbers(run(large, tmp_path / "fresh")[0].summary)


def test_what_another_list_that_began_in_the_same_way_has_left_is_not_taken_for_this_one(tmp_path):
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
        ({"captions": 3}, "prompts"),
        ({"captions": tuple(map(Caption, ("caption 1", "caption 0", "caption 2", "caption 3", "more")))}, "prompts"),
        ({"seconds": (0.4,)}, "parameters"),
        ({"seeds": (1, 0)}, "seed"),
        ({"methods": ("dense", "litefocus", "tome", "naive")}, "parameters"),
        ({"metrics": ("clap",)}, "parameters"),
        ({"keep_audio": True}, "parameters"),
    ],
)
def test_a_run_that_is_not_larger_is_refused_and_nothing_is_changed(tmp_path, changes, difference):
    run(job(**SMALL), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=rf"another run \(it differs in {difference}"):
        SharedDirectory(tmp_path, job(**{**SMALL, **changes}).info)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_item_keeps_its_name_when_the_work_grows():
    def names(captions, seconds, seeds):
        work = Work(tuple(map(Caption, captions)), seconds, ("dense", "litefocus"), seeds)
        items = [(group, method) for group in work.groups for method in work.methods]
        return {work.name(work.number(group, m)): (group.prompt, group.seconds, group.seed, m) for group, m in items}

    small, large = names("ab", (10.0,), (0,)), names("abc", (10.0, 10.24), (0, 1))
    assert len(large) == 3 * 2 * 2 * 2 and small.items() < large.items()
