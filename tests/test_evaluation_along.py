"""Clips scored window by window: along their length, and from which length on a model is worse than in training."""

import numpy as np
import pandas as pd
import pytest

from focuslab.measure.evaluation.along import along_clip, breaks_from, scores_along
from focuslab.metrics.embedders import cut
from focuslab.tables.quality import quality_tables
from focuslab.tables.text import in_terminal
from tests.evaluation_jobs import CLAP, RATE, job, run
from tests.evaluation_records import summary as planted


def noise(seconds, seed=0):
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 0.1).astype(np.float32)


def test_each_window_has_its_own_score():
    samples = noise(0.4)
    samples[-1600:] *= 1e-3
    rows = CLAP.embed(samples[None], RATE)[0]
    caption = CLAP.embed_text(["rain"])
    found = scores_along(samples, RATE, CLAP, rows, caption)
    windows = cut(samples, 1600)
    assert len(windows) == 4 and found["silence_share"] == [0, 0, 0, 1]
    assert found["rms"] == pytest.approx([np.sqrt((w.astype(float) ** 2).mean()) for w in windows])
    cosines = [row @ caption[0] / np.linalg.norm(row) / np.linalg.norm(caption[0]) for row in rows]
    assert found["clap"] == pytest.approx(cosines, abs=1e-6)
    pairs = [rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j]) for i in range(4) for j in range(i)]
    assert found["repetition"] == pytest.approx([np.mean(pairs)], abs=1e-6)
    assert scores_along(samples[:1600], RATE, CLAP, rows[:1], caption) == {}
    assert "clap" not in scores_along(samples, RATE, CLAP, rows, None)


def test_the_drift_is_the_slope_along_the_clip_a_minute():
    rng = np.random.default_rng(0)
    # Windows of 20 s of a clip of 80 s: their middles are 20 s apart.
    clips = [
        {"clap": [0.5 - 0.1 * place + shift for place in range(4)], "rms": [0.1] * 4, "silence_share": [0.0] * 4}
        | {"repetition": [0.9]}
        for shift in rng.normal(0, 0.05, 12)
    ]
    found = along_clip(pd.DataFrame({"along": clips}), 80.0)
    assert found["windows"] == 4 and found["n"] == 12
    assert found["clap"]["drift"] == pytest.approx(-0.3)
    assert found["clap"]["drift_low"] == pytest.approx(found["clap"]["drift_high"]) == pytest.approx(-0.3)
    assert found["rms"]["drift"] == pytest.approx(0) and found["repetition"] == pytest.approx(0.9)
    assert along_clip(pd.DataFrame({"along": [{}, None]}), 80.0) is None


def clips_of(means, count=20, spread=0.02):
    rng = np.random.default_rng(1)
    own = rng.normal(0, 0.1, count)
    return pd.DataFrame(
        [
            {"seconds": seconds, "prompt": i, "clap": mean + own[i] + rng.normal(0, spread)}
            for seconds, mean in means.items()
            for i in range(count)
        ]
    )


def test_a_model_breaks_where_all_longer_clips_are_worse():
    clips = clips_of({10.0: 0.5, 20.0: 0.5, 40.0: 0.45, 80.0: 0.4})
    found = breaks_from(clips, (10.0, 20.0, 40.0, 80.0), 10.24)
    assert found["base_seconds"] == 10.0 and found["seconds"] == 40.0
    assert [row["seconds"] for row in found["rows"]] == [20.0, 40.0, 80.0]
    assert found["rows"][1]["difference"] == pytest.approx(-0.05, abs=0.02)
    assert found["rows"][1]["difference_high"] < 0 < found["rows"][0]["difference_high"]
    again = breaks_from(clips_of({10.0: 0.5, 20.0: 0.4, 40.0: 0.5}), (10.0, 20.0, 40.0), 10.24)
    assert again["seconds"] is None


@pytest.mark.parametrize("lengths, training", [((10.0, 20.0), None), ((40.0, 80.0), 10.24), ((5.12, 10.0), 10.24)])
def test_without_clips_of_training_length_or_longer_ones_nothing_is_said(lengths, training):
    assert breaks_from(clips_of(dict.fromkeys(lengths, 0.5)), lengths, training) is None


def test_an_evaluation_has_its_clips_window_by_window(tmp_path):
    found = run(job(), tmp_path / "run")[0]
    for seconds, windows in ((0.2, 2), (0.4, 4)):
        row = found.row(seconds, "litefocus")
        assert row["along"]["windows"] == windows and row["along"]["n"] == row["n"]
        clap = row["along"]["clap"]
        assert len(clap["by_window"]) == windows and clap["drift_low"] <= clap["drift"] <= clap["drift_high"]
    assert found.summary["breaks"] is None


def test_the_table_shows_both_ends_and_from_where_a_model_breaks():
    summary = planted()
    of = {"by_window": [0.2, 0.15, 0.1], "drift": -0.05, "drift_low": -0.08, "drift_high": -0.02}
    summary["rows"][-1]["along"] = {"windows": 3, "n": 96, "clap": of, "repetition": 0.8}
    summary["rows"][-1]["along"] |= {"repetition_low": 0.7, "repetition_high": 0.9}
    rows = [{"seconds": 40.0, "n": 96, "difference": -0.1, "difference_low": -0.2, "difference_high": -0.05}]
    summary["breaks"] = {"base_seconds": 10.0, "rows": rows, "seconds": 40.0}
    table = next(table for table in quality_tables(summary) if table.title.startswith("Along"))
    text = in_terminal([table])
    assert "0.20" in text and "0.10" in text and "0.80" in text
    assert any("From 40 s on" in note for note in table.notes)
