"""Killed, gone on with, shared out: every item once, and the same table."""

import json
import os
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack

import numpy as np
import pytest

from focuslab import EvaluationRun
from focuslab.errors import FocuslabError, InputError
from focuslab.measure.evaluation.config import Share
from focuslab.measure.evaluation.items import noise_seeds
from focuslab.measure.evaluation.shards import ITEMS, ShardReader, ShardWriter
from focuslab.measure.evaluation.shared import SharedDirectory
from focuslab.measure.evaluation.worker import Worker
from tests.evaluation_jobs import NoiseSounds, job, numbers, run, run_until


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(job(), tmp_path_factory.mktemp("whole"))[0]


def lines(directory):
    files = [*(directory / "records").glob("*.jsonl"), directory / "records.jsonl"]
    return [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]


def keys(records):
    return Counter((r["prompt"], r["seconds"], r["method"], r["seed"]) for r in records)


def test_two_processes_give_the_table_of_one(whole, tmp_path):
    first, made_first = run(job(), tmp_path, Share(0, 2))
    assert first is None and not (tmp_path / "summary.json").exists()
    second, made_second = run(job(), tmp_path, Share(1, 2))
    assert numbers(second.summary) == numbers(whole.summary)
    assert len(made_first) == len(made_second) == 18 and not set(made_first) & set(made_second)
    assert [r["rank"] for r in second.records][:7] == [0, 0, 0, 1, 1, 1, 0]
    assert keys(second.records) == keys(lines(tmp_path)) and max(keys(lines(tmp_path)).values()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "embeddings",
        "records.jsonl",
        "run.json",
        "summary.json",
    ]


def test_a_finished_run_is_read_and_not_made_again(whole, tmp_path):
    run(job(), tmp_path)
    again, made = run(job(), tmp_path)
    assert made == [] and numbers(again.summary) == numbers(whole.summary)
    loaded = EvaluationRun.load(tmp_path)
    assert loaded.summary == again.summary and loaded.records == again.records and repr(loaded) == repr(again)
    with pytest.raises(InputError, match="this evaluation has no naive at 0.2 s, only dense at 0.2 s"):
        loaded.row(0.2, "naive")


def test_the_methods_may_be_named_in_another_order(whole, tmp_path):
    run(job(), tmp_path, Share(0, 2))
    found, made = run(job(methods=("tome", "litefocus", "dense")), tmp_path)
    assert len(made) == 18 and [row["method"] for row in found.rows[:3]] == ["tome", "litefocus", "dense"]
    rows, items = numbers(whole.summary)
    again, items_again = numbers(found.summary)
    assert items_again == items
    assert sorted(again, key=lambda row: (row["seconds"], row["method"])) == sorted(
        rows, key=lambda row: (row["seconds"], row["method"])
    )


def test_processes_and_machines_may_change(whole, tmp_path):
    from dataclasses import replace

    run(job(), tmp_path, Share(1, 3))
    elsewhere = replace(job(), info=replace(job().info, machine={"processor": "another", "threads": 64}))
    run(elsewhere, tmp_path, Share(1, 2))
    with pytest.raises(InputError, match="was not finished; the same command resumes it"):
        EvaluationRun.load(tmp_path)
    found, _ = run(job(), tmp_path, Share(0, 1))
    assert numbers(found.summary) == numbers(whole.summary) and max(keys(lines(tmp_path)).values()) == 1
    with pytest.raises(InputError, match="another run.*parameters"):
        run(job(metrics=("clap",)), tmp_path)


@pytest.fixture
def stopped(tmp_path):
    """The directory of a run that was stopped when the dense sound of its second caption was made."""
    run_until(job(), tmp_path, after=4)
    noise = noise_seeds(job().work.captions, 0)[1]
    assert [path.name for path in (tmp_path / "pending").iterdir()] == [f"0.2s-{noise}.safetensors"]
    return tmp_path


def test_a_kept_dense_clip_is_not_made_again(whole, stopped):
    found, made = run(job(), stopped)
    assert made[0] == ("caption 1", 0.2, "litefocus") and len(made) == 32
    assert numbers(found.summary) == numbers(whole.summary)
    assert not (stopped / "pending").exists()


def test_a_missing_dense_clip_is_made_and_not_recorded(whole, stopped):
    for path in (stopped / "pending").iterdir():
        path.unlink()
    found, made = run(job(), stopped)
    assert made[0] == ("caption 1", 0.2, "dense") and len(made) == 33
    assert numbers(found.summary) == numbers(whole.summary) and max(keys(lines(stopped)).values()) == 1


def test_kills_lose_and_double_no_item(whole, tmp_path):
    given, out, moments = job(), tmp_path / "run", random.Random(0)
    finished = kills = 0
    while kills < 10 and finished < 20:
        rank = kills % 2
        child = os.fork()
        if child == 0:
            status = 1
            try:
                # Eighteen items of 0.1 s for each: more than five lives of at most 0.3 s can finish.
                run(given, out, Share(rank, 2), pause=0.1)
                status = 0
            finally:
                os._exit(status)
        time.sleep(moments.uniform(0.0, 0.3))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        kills += os.WIFSIGNALED(status)
        finished += not os.WIFSIGNALED(status)
    before = keys(record for record in whole_lines(out))
    assert kills == 10 and (not before or max(before.values()) == 1)
    run(given, out, Share(0, 2))
    found, _ = run(given, out, Share(1, 2))
    found = found or EvaluationRun.load(out)
    assert numbers(found.summary) == numbers(whole.summary)
    every = keys(lines(out))
    assert max(every.values()) == 1 and len(every) == 36 and not before - every
    assert not [path for path in out.rglob(".*partial*") if path.parent != out]


def whole_lines(directory):
    """Records as a reader sees them who comes while a line is being written."""
    for file in sorted((directory / "records").glob("*.jsonl")):
        content = file.read_bytes()
        yield from map(json.loads, content[: content.rfind(b"\n") + 1].splitlines())


def test_half_written_files_are_never_read(whole, tmp_path):
    run(job(), tmp_path, Share(0, 2))
    with open(tmp_path / "records" / "rank-1.jsonl", "wb") as file:
        file.write(b'{"kind": "item", "prompt": 1, "sec')
    for place in ("embeddings", "pending"):
        (tmp_path / place / ".rank-1-000000.safetensors.partial-host-1").write_bytes(b"half")
    (tmp_path / ".run.json.partial-host-1").write_bytes(b"{")
    # Another rank sees the broken line and passes over it; its own rank cuts it off.
    assert run(job(), tmp_path, Share(0, 2))[0] is None
    assert (tmp_path / "records" / "rank-1.jsonl").read_bytes().endswith(b'"sec')
    found, made = run(job(), tmp_path, Share(1, 2))
    assert len(made) == 18 and numbers(found.summary) == numbers(whole.summary)
    assert not list(tmp_path.glob("*/.*partial*"))


def test_the_rest_of_a_kill_counts_as_empty(tmp_path):
    (tmp_path / ".run.json.partial-host-1").write_bytes(b"{")
    assert run(job(2, seconds=(0.2,)), tmp_path)[0] is not None


def test_embeddings_that_are_lost_are_made_again(whole, tmp_path):
    run(job(), tmp_path)
    (shard,) = (tmp_path / "embeddings").glob("*.safetensors")
    shard.unlink()
    found, made = run(job(), tmp_path)
    assert len(made) == 36 and numbers(found.summary) == numbers(whole.summary)


def test_damaged_embeddings_are_named(tmp_path):
    run(job(2, seconds=(0.2,)), tmp_path)
    (shard,) = (tmp_path / "embeddings").glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(FocuslabError, match=f"{shard.name} cannot be read.*the same command makes it anew"):
        run(job(2, seconds=(0.2,)), tmp_path)


def test_two_processes_of_one_rank_are_refused(tmp_path):
    given = job()
    with SharedDirectory(tmp_path, given.info, 1):
        with pytest.raises(InputError, match="another process is at work in .* as rank 1"):
            SharedDirectory(tmp_path, given.info, 1)
        SharedDirectory(tmp_path, given.info, 0).__exit__()
    SharedDirectory(tmp_path, given.info, 1).__exit__()


def test_one_of_two_finished_processes_makes_the_table(tmp_path):
    given = job(2, seconds=(0.2,))

    def makers():
        with ExitStack() as stack:
            workers = []
            for share in (Share(1, 2), Share(0, 2)):
                directory = stack.enter_context(SharedDirectory(tmp_path, given.info, share.rank))
                workers.append(Worker(given, NoiseSounds(given.work.captions), directory, share, lambda *_: None))
            for worker in workers:
                worker.work()
            made = []
            for worker in workers:
                assert worker.work()  # the second look, when both have done their shares
                if worker.finish() is not None:
                    made.append(worker.share.rank)
            return made

    assert makers() == [1]
    assert makers() == [0]  # nothing to do: of a launch given again the first process shows the table
    for shard in (tmp_path / "embeddings").glob("*.safetensors"):
        shard.unlink()
    assert makers() == [1]


def test_force_removes_the_other_run_and_nothing_else(tmp_path):
    run(job(keep_audio=True), tmp_path)
    (tmp_path / "mine.txt").write_text("keep")
    other = job(2, seconds=(0.2,))
    with SharedDirectory(tmp_path, other.info, force=True):
        left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"mine.txt", "run.json", "rank-0.jsonl"}


def test_shards_are_bounded_and_never_changed_by_another(tmp_path):
    writer = ShardWriter(tmp_path, 0)
    # A clip of more seconds has more windows.
    windows = [1 + i % 3 for i in range(ITEMS + 1)]
    places = [writer.add({"clap": np.full((n, 2), i, np.float16)}) for i, n in enumerate(windows)]
    names = [name for name, _ in places]
    assert names[0] == names[ITEMS - 1] != names[ITEMS] and [p for _, p in places[-2:]] == [ITEMS - 1, 0]
    assert ShardWriter(tmp_path, 0).add({"clap": np.ones((1, 2))})[0] not in names
    assert ShardWriter(tmp_path, 1).add({"clap": np.ones((1, 2))}) == ("rank-1-000000", 0)
    reader = ShardReader(tmp_path)
    assert len(reader.names()) == 4
    for i, (name, place) in enumerate(places):
        (rows,) = reader.read([(name, place)], "clap")
        assert rows.tolist() == [[i, i]] * windows[i] and rows.dtype == np.float32


def test_what_a_process_holds_does_not_grow_with_the_items(tmp_path):
    import tracemalloc

    def peak(captions):
        given = job(captions, seconds=(0.2,), methods=("dense",), metrics=("clap",))
        tracemalloc.start()
        run(given, tmp_path / str(captions), Share(0, 2))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(8)
    few, many = peak(2 * ITEMS), peak(8 * ITEMS)
    # A sound is 13 kB here; what an item leaves is the seed of its noise and two flags.
    assert many - few < 6 * ITEMS * 500


def test_progress_counts_the_items_of_all_processes(tmp_path, monkeypatch):
    monkeypatch.setattr("focuslab.measure.evaluation.worker._REPORT_SECONDS", 0)
    run(job(), tmp_path, Share(0, 2))
    seen = []
    run(job(), tmp_path, Share(1, 2), progress=lambda *report: seen.append(report))
    done, total, text = zip(*seen, strict=True)
    assert done[0] == 18 and done[-1] == 36 and set(total) == {36.0} and list(done) == sorted(done)
    assert (
        text[0] == "18 of 36 items: found done"
        and "19 of 36 items, " in text[1]
        and " an hour: 0.2 s, dense" in text[1]
    )


def test_kept_audio_is_what_was_scored(tmp_path):
    from focuslab.io.audio import read_audio

    found, _ = run(job(2, seconds=(0.2,), keep_audio=True), tmp_path, broken={(1, 0.2, "tome"): "nan"})
    kept = {r["audio"] for r in found.records}
    assert None in kept and len(kept) == 6 == 1 + len(list(tmp_path.glob("audio/0.2s/*/*.wav")))
    (path,) = tmp_path.glob("audio/0.2s/litefocus-*/00000-seed0.wav")
    samples, rate = read_audio(path)
    assert rate == 16_000 and len(samples) == 3200 and 0.05 < np.std(samples) < 0.2
