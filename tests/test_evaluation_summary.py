"""The table of an evaluation: every number again by hand, and what changes it."""

import json

import numpy as np
import pytest

from focuslab.io.audio import encode_wav
from focuslab.io.captions import Caption
from focuslab.measure.evaluation.items import noise_seeds
from focuslab.metrics import (
    clap_by_pair,
    frechet_distance,
    kernel_distance,
    kl_divergence,
    log_mel_l1,
    posteriors,
    rms_ratio,
)
from focuslab.search.quality import best_in_quality
from focuslab.stats.intervals import bootstrap_interval
from focuslab.tables.quality import quality_csv, quality_tables
from focuslab.tables.text import in_terminal
from tests.evaluation_jobs import CLAP, METHODS, RATE, TAGGER, NoiseSounds, job, numbers, run


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return run(job(), tmp_path_factory.mktemp("evaluation") / "run")[0]


def sounds(label, seconds, captions=None):
    captions = captions or [Caption(f"caption {number}") for number in range(6)]
    maker = NoiseSounds(captions)
    return np.stack([maker.make("", seconds, label, seed).samples for seed in noise_seeds(captions, 0)])


def of_pairs(a, b):
    """The kernel distance of rows that belong together, pair by pair."""

    def kernel(x, y):
        return float(x.astype(float) @ y.astype(float) + 1) ** 3

    others = [(i, j) for i in range(len(a)) for j in range(len(a)) if i != j]
    return np.mean([kernel(a[i], a[j]) + kernel(b[i], b[j]) - 2 * kernel(a[i], b[j]) for i, j in others])


@pytest.mark.parametrize("seconds", [0.2, 0.4])
def test_every_number_by_hand(done, seconds):
    dense, sparse = sounds("dense", seconds), sounds("litefocus", seconds)
    metrics = done.row(seconds, "litefocus")["metrics"]
    ours, theirs = (CLAP.embed(clips, RATE) for clips in (sparse, dense))
    windows = ours.shape[1]
    assert windows == {0.2: 2, 0.4: 4}[seconds]
    groups = np.arange(6) + 6 * (0.2, 0.4).index(seconds)
    turns = [(groups + turn) % windows for turn in range(windows)]
    a_window = [(ours[range(6), turn], theirs[range(6), turn]) for turn in turns]
    assert metrics["frechet"]["value"] == pytest.approx(
        np.mean([frechet_distance(a, b) for a, b in a_window]), rel=1e-6
    )
    assert metrics["kernel"]["value"] == pytest.approx(np.mean([of_pairs(a, b) for a, b in a_window]), rel=1e-6)
    text = CLAP.embed_text([f"caption {number}" for number in range(6)])
    cosines, of_dense = clap_by_pair(ours.mean(axis=1), text), clap_by_pair(theirs.mean(axis=1), text)
    assert metrics["clap"]["value"] == pytest.approx(cosines.mean(), rel=1e-6)
    assert (metrics["clap"]["low"], metrics["clap"]["high"]) == pytest.approx(bootstrap_interval(cosines), rel=1e-6)
    difference = metrics["clap"]["minus_dense"]
    assert difference["value"] == pytest.approx((cosines - of_dense).mean(), rel=1e-6)
    assert (difference["low"], difference["high"]) == pytest.approx(bootstrap_interval(cosines - of_dense), rel=1e-6)
    for convention in ("softmax", "sigmoid"):
        p, q = (posteriors(TAGGER.embed(clips, RATE), convention).mean(axis=1) for clips in (dense, sparse))
        assert metrics[f"kl_{convention}"]["value"] == pytest.approx(kl_divergence(p, q, convention), rel=1e-6)
    assert metrics["log_mel_l1"]["value"] == pytest.approx(log_mel_l1(sparse, dense).mean(), rel=1e-6)
    assert metrics["rms_ratio"]["value"] == pytest.approx(np.exp(np.log(rms_ratio(sparse, dense)).mean()), rel=1e-6)
    assert metrics["rms_ratio"]["low"] < metrics["rms_ratio"]["value"] < metrics["rms_ratio"]["high"]
    assert metrics["silence_share"]["value"] == 0


def test_every_number_says_what_it_is_of(done):
    for row in done.rows:
        assert set(row["metrics"]) == set(done.summary["metrics"])
        for name, metric in row["metrics"].items():
            assert metric["protocol"] and "n" in metric
            assert metric["checkpoint"] == {"clap": "bands", "ast": "classes", None: None}[metric["embedder"]]
            assert (metric["value"] is None) == (row["method"] == "dense" and metric["reference"] == "dense"), name
    assert "windows of 0.1 s" in done.row(0.2, "tome")["metrics"]["clap"]["protocol"]
    notes = " ".join(done.summary["footnotes"])
    assert "not of VGGish's" in notes and "not of PANNs'" in notes and "against the dense clip" in notes
    assert "bands; windows of 0.1 s" in notes and "6 captions, 1 seed(s) each, 2 steps" in notes


def test_speed_is_of_pairs(done):
    for label, speed in (("dense", 1.0), ("litefocus", 2.0), ("tome", 4.0)):
        row = done.row(0.4, label)
        assert row["speedup_vs_dense"] == pytest.approx(speed)
        assert row["speedup_low"] == pytest.approx(speed) == row["speedup_high"]
    assert done.row(0.4, "dense")["step_seconds_median"] == pytest.approx(1.6, rel=0.1)
    scoring = sum(r["scoring_seconds"] for r in done.records) / sum(r["generation_seconds"] for r in done.records)
    assert done.summary["scoring_over_generating"] == pytest.approx(scoring)


def test_shuffled_captions_change_nothing_that_is_a_mean(done, tmp_path):
    order = [3, 0, 5, 1, 4, 2]
    shuffled, _ = run(job([Caption(f"caption {number}") for number in order]), tmp_path)
    for row in done.rows:
        other = shuffled.row(row["seconds"], row["method"])["metrics"]
        for name in ("clap", "log_mel_l1", "rms_ratio", "kl_softmax", "kl_sigmoid", "silence_share"):
            expected = row["metrics"][name]["value"]
            assert other[name]["value"] == (expected and pytest.approx(expected, rel=1e-9))
    by_text = {(shuffled.info.prompts[r["prompt"]], r["seconds"], r["method"]): r["values"] for r in shuffled.records}
    for record in done.records:
        assert by_text[f"caption {record['prompt']}", record["seconds"], record["method"]] == record["values"]


def test_a_repeated_caption_is_two_clips(done, tmp_path):
    twice = [*(Caption(f"caption {number}") for number in range(6)), Caption("caption 0")]
    more, _ = run(job(twice, seconds=(0.2,)), tmp_path)
    values = {(r["prompt"], r["method"]): r["values"] for r in more.records}
    for record in done.records:
        if record["seconds"] == 0.2:
            assert values[record["prompt"], record["method"]] == record["values"]
    assert values[6, "dense"] != values[0, "dense"] and more.row(0.2, "dense")["n"] == 7


def test_seeds_of_a_caption_are_one_unit(tmp_path):
    found, _ = run(job(seeds=(0, 1), seconds=(0.2,), metrics=("clap",)), tmp_path)
    row = found.row(0.2, "tome")
    values = np.zeros((2, 6))
    for record in found.records:
        if record["method"] == "tome":
            values[record["seed"], record["prompt"]] = record["values"]["clap"]
    assert row["n"] == 12 and row["metrics"]["clap"]["value"] == pytest.approx(values.mean())
    expected = bootstrap_interval(values.mean(axis=0))
    assert (row["metrics"]["clap"]["low"], row["metrics"]["clap"]["high"]) == pytest.approx(expected)


BROKEN = {(0, 0.2, "litefocus"): "nan", (3, 0.2, "litefocus"): "silent", (1, 0.4, "dense"): "nan"}


def test_what_cannot_be_scored_is_counted_and_left_out(done, tmp_path):
    found, _ = run(job(), tmp_path, broken=BROKEN)
    assert found.summary["items"] == {"total": 36, "scored": 33, "nan": 2, "silent": 1}
    row = found.row(0.2, "litefocus")
    assert row["n"] == 4 and row["excluded"] == {"nan": 1, "silent": 1}
    notes = " ".join(found.summary["footnotes"])
    assert "litefocus at 0.2 s: 1 not finite and 1 silent; dense at 0.4 s: 1 not finite" in notes
    dense, sparse = sounds("dense", 0.2), sounds("litefocus", 0.2)
    left = [1, 2, 4, 5]
    expected = log_mel_l1(sparse[left], dense[left]).mean()
    assert row["metrics"]["log_mel_l1"]["value"] == pytest.approx(expected, rel=1e-6)
    text = CLAP.embed_text([f"caption {number}" for number in left])
    ours, theirs = (clap_by_pair(CLAP.embed(s[left], RATE).mean(axis=1), text) for s in (sparse, dense))
    assert row["metrics"]["clap"]["value"] == pytest.approx(ours.mean(), rel=1e-6)
    difference = row["metrics"]["clap"]["minus_dense"]
    assert difference["n"] == 4 and difference["value"] == pytest.approx((ours - theirs).mean(), rel=1e-6)
    # Beside a dense sound that is none nothing can stand.
    at_40 = found.row(0.4, "tome")
    assert at_40["n"] == 6 and at_40["metrics"]["log_mel_l1"]["n"] == 5 == at_40["metrics"]["kl_softmax"]["n"]
    assert found.row(0.2, "tome")["metrics"] == done.row(0.2, "tome")["metrics"]


def test_nothing_scored_gives_no_number(tmp_path):
    broken = {(p, 0.2, "tome"): "silent" for p in range(6)}
    found, _ = run(job(seconds=(0.2,)), tmp_path, broken=broken)
    row = found.row(0.2, "tome")
    assert row["n"] == 0 and all(m["value"] is None for m in row["metrics"].values())
    assert "tome at 0.2 s: 6 silent" in " ".join(found.summary["footnotes"])


@pytest.fixture
def reference(tmp_path):
    folder = tmp_path / "reference"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(5):
        sound = noise.standard_normal(8000).astype(np.float32) * 0.1
        rate = 48_000 if number == 4 else RATE
        (folder / f"{'Y' if number == 1 else ''}id{number}.wav").write_bytes(encode_wav(sound, rate))
    (folder / "id5.wav").write_bytes(encode_wav(np.zeros(8000, np.float32), RATE))
    (folder / "broken.wav").write_bytes(b"RIFF")
    (folder / "notes.txt").write_text("no sound")
    (folder / "folder").mkdir()
    return folder


def test_recordings_are_what_it_is_compared_with(reference, tmp_path):
    found, _ = run(job(seconds=(0.2,), reference=reference), tmp_path / "run")
    facts = found.summary["reference"]
    assert (facts["files"], facts["scored"], facts["silent"], facts["resampled"]) == (9, 5, 1, 1)
    assert [reason.split()[0] for reason in facts["unreadable"]] == ["broken.wav", "folder", "notes.txt"]
    assert facts["paired"] == 5 and found.info.parameters["reference"]["unreadable"] == facts["unreadable"]
    notes = " ".join(found.summary["footnotes"])
    for said in ("5 of 6 captions", "3 entries", "broken.wav", "folder", "notes.txt", "resampled", "silent"):
        assert said in notes
    metrics = found.row(0.2, "dense")["metrics"]
    assert {metrics[name]["reference"] for name in ("frechet", "kernel", "kl_softmax")} == {"directory"}
    assert metrics["kl_softmax"]["n"] == 5 and metrics["frechet"]["value"] > 0
    assert metrics["log_mel_l1"]["value"] is None
    sparse = found.row(0.2, "litefocus")["metrics"]
    assert sparse["frechet"]["minus_dense"]["value"] == pytest.approx(
        sparse["frechet"]["value"] - metrics["frechet"]["value"]
    )
    from focuslab.io.audio import read_audio
    from focuslab.metrics.embedders import resample

    files = [reference / f"{name}.wav" for name in ("Yid1", "id0", "id2", "id3", "id4")]
    recordings = [resample(read_audio(file)[0][None], read_audio(file)[1], RATE)[0] for file in files]
    rows = np.concatenate([CLAP.embed(sound[None], RATE)[0] for sound in recordings])
    ours = CLAP.embed(sounds("dense", 0.2), RATE)
    a_window = [ours[range(6), (np.arange(6) + turn) % 2] for turn in range(2)]
    assert metrics["frechet"]["value"] == pytest.approx(
        np.mean([frechet_distance(a, rows) for a in a_window]), rel=1e-6
    )
    recorded = [CLAP.embed(sound[None], RATE)[0] for sound in recordings]
    b_window = [np.stack([rows[(p + turn) % len(rows)] for p, rows in enumerate(recorded)]) for turn in range(2)]
    expected = [kernel_distance(a, b, gamma=1) for a, b in zip(a_window, b_window, strict=True)]
    assert metrics["kernel"]["value"] == pytest.approx(np.mean(expected), rel=1e-6)


def test_without_dense_nothing_stands_beside_it(tmp_path):
    found, _ = run(job(seconds=(0.2,), methods=("litefocus", "tome")), tmp_path)
    row = found.row(0.2, "tome")
    assert row["metrics"]["frechet"]["value"] is None and row["metrics"]["log_mel_l1"]["value"] is None
    assert row["speedup_vs_dense"] is None and row["metrics"]["clap"]["minus_dense"] is None
    assert "no dense clips" in row["metrics"]["frechet"]["reason"] == row["metrics"]["log_mel_l1"]["reason"]
    assert row["metrics"]["frechet"]["reason"] in " ".join(found.summary["footnotes"])


def test_few_captions_have_numbers_without_intervals(tmp_path):
    found, _ = run(job(2, seconds=(0.2,)), tmp_path)
    metrics = found.row(0.2, "tome")["metrics"]
    assert metrics["frechet"]["value"] is not None and metrics["clap"]["value"] is not None
    assert metrics["kernel"]["value"] is None
    assert all(metric["low"] is None for metric in metrics.values())
    assert found.row(0.2, "tome")["speedup_low"] is None
    assert "2 clips for 4 dimensions" in " ".join(found.summary["footnotes"])


def test_it_shows_itself_with_every_footnote(done):
    table = repr(done)
    assert table == in_terminal(quality_tables(done.summary)) and "2.00x" in table
    unwrapped = " ".join(table.split())
    for note in done.summary["footnotes"]:
        assert " ".join(note.split()) in unwrapped
    json.dumps(done.summary, allow_nan=False)
    assert numbers(done.summary)[1]["total"] == len(done.records) == 2 * 6 * len(METHODS)


def test_recordings_of_some_captions_give_each_metric_its_own_n(reference, tmp_path):
    for name in ("id0", "id4"):
        (reference / f"{name}.wav").rename(reference / f"other-{name}.wav")
    found, _ = run(job(seconds=(0.2,), reference=reference), tmp_path / "run")
    for row in found.rows:
        counts = {name: metric["n"] for name, metric in row["metrics"].items()}
        assert row["n"] == 6 and counts["frechet"] == counts["clap"] == counts["kernel"] == 6
        assert counts["kl_softmax"] == counts["kl_sigmoid"] == 3
        if row["method"] != "dense":
            assert row["metrics"]["kl_softmax"]["minus_dense"]["n"] == 3
    assert found.summary["reference"]["paired"] == 3
    table = repr(found)
    assert table.count(" n=3") >= 2 * len(METHODS)
    lines = [line.split(",") for line in quality_csv(found.summary).splitlines()]
    n = lines[0].index("n")
    assert {line[n] for line in lines if line[2] == "kl_softmax"} == {"3"}
    assert {line[n] for line in lines if line[2] == "frechet"} == {"6"}


def test_an_absent_metric_says_what_it_lacks(reference, tmp_path):
    for file in reference.glob("*.wav"):
        file.rename(reference / f"other-{file.name}")
    found, _ = run(job(seconds=(0.2,), reference=reference), tmp_path / "unpaired")
    for row in found.rows:
        kl = row["metrics"]["kl_softmax"]
        assert kl["value"] is None and kl["n"] == 0 and kl["reference"] == "directory" and "no caption" in kl["reason"]
        assert row["metrics"]["frechet"]["n"] == 6 and "reason" not in row["metrics"]["frechet"]
    assert "kl_softmax" not in {line.split(",")[2] for line in quality_csv(found.summary).splitlines()}
    assert kl["reason"] in " ".join(found.summary["footnotes"])
    for file in sorted(reference.glob("other-*"))[1:]:
        file.write_bytes(encode_wav(np.zeros(8000, np.float32), RATE))
    found, _ = run(job(seconds=(0.2,), reference=reference), tmp_path / "silent")
    for name in ("frechet", "kernel"):
        metric = found.row(0.2, "tome")["metrics"][name]
        assert metric["value"] is None and metric["reference"] == "directory" and "expected 2" in metric["reason"]
    assert best_in_quality(found.summary)[0.2].metric == "clap"


def test_every_absent_number_has_a_reason(done, tmp_path):
    for run_ in (done, run(job(2, seconds=(0.2,)), tmp_path, broken={(0, 0.2, "tome"): "nan"})[0]):
        for row in run_.rows:
            for metric in row["metrics"].values():
                assert (metric["value"] is None) == bool(metric.get("reason"))
