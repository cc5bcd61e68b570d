"""The paper's numbers, and that they stand beside ours only where the protocol is the same."""

import dataclasses

import pytest

from focuslab.tables.paper import METRICS, differences, paper_value
from tests.evaluation_records import PAPERS_METRICS, info, summary


@pytest.mark.parametrize(
    "seconds, label, metric, value",
    [
        (10, "dense", "frechet", 2.89),
        (30, "dense", "frechet", 5.97),
        (80.0, "litefocus", "speedup_vs_dense", 1.99),
        (80, "litefocus:cross_fraction=0.1:sampling=uniform", "clap", 0.122),
        (40, "tome", "kl_softmax", 2.43),
        (20, "same-frequency", "frechet", 5.10),
        (30, "cross-frequency:cross_fraction=0.4", "kl_softmax", 2.24),
        (10, "cross-frequency:cross_fraction=0.2:seed=3", "clap", 0.183),
    ],
)
def test_numbers_of_the_paper(seconds, label, metric, value):
    assert paper_value(seconds, label, metric) == value


@pytest.mark.parametrize(
    "seconds, label, metric",
    [
        (15, "dense", "frechet"),
        (30, "dense", "speedup_vs_dense"),
        (30, "litefocus", "frechet"),
        (10, "same-frequency", "speedup_vs_dense"),
        (10, "litefocus:cross_fraction=0.2", "frechet"),
        (10, "litefocus:cross_weight=unbiased", "frechet"),
        (10, "litefocus:length_scale=true", "frechet"),
        (10, "litefocus:sites=mid_block", "frechet"),
        (10, "tome:ratio=0.3", "frechet"),
        (10, "cross-frequency", "frechet"),
        (10, "length-scale", "frechet"),
        (10, "plan:plan.json", "frechet"),
        (10, "dense", "kernel"),
    ],
)
def test_what_the_paper_does_not_have(seconds, label, metric):
    assert paper_value(seconds, label, metric) is None


def test_the_same_protocol_differs_in_nothing():
    assert differences("frechet", summary(**PAPERS_METRICS), info()) == []


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"model": {"name": "tiny"}}, "the model is tiny"),
        ({"prompts": ("rain",) * 96}, "96 captions"),
        ({"parameters": {"steps": 25, "seeds": [0]}}, "25 denoising steps"),
        ({"parameters": {"steps": 200, "seeds": [0, 1]}}, "2 clips a caption"),
    ],
)
def test_each_difference_of_the_run_is_named_alone(changes, reason):
    found = differences("frechet", summary(**PAPERS_METRICS), dataclasses.replace(info(), **changes))
    assert len(found) == 1 and reason in found[0]


def test_each_difference_of_the_metric_is_named():
    assert "is tiny (the text_encoder" in differences("frechet", summary(), info())[0]
    against_dense = summary(frechet={**PAPERS_METRICS["frechet"], "reference": "dense"})
    assert differences("frechet", against_dense, info()) == ["it is not against the recordings of the captions"]
    assert "Cnn14" in differences("kl_softmax", summary(), info())[0]
    assert "empty caption" in differences("clap", summary(), info())[0]
    assert differences("kernel", summary(), info()) == ["the paper does not have it"]


def test_a_speed_up_over_fused_attention_is_never_the_papers():
    assert differences("speedup_vs_dense", summary(), info()) == ["the paper's is over unfused attention"]
    other = differences("speedup_vs_dense", summary(), info(machine={"processor": "AMD EPYC"}))
    assert other[1:] == ["the machine is AMD EPYC and not an A6000"]
    assert "speedup_vs_dense" in METRICS
