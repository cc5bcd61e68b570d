"""Items: each for itself, shared out whole, whatever the order of the captions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focuslab.errors import InputError
from focuslab.io.captions import Caption
from focuslab.measure.evaluation.config import GROUPS, METRICS, Share, parse_metrics
from focuslab.measure.evaluation.items import Work, noise_seeds

WORKS = st.builds(
    Work,
    st.integers(1, 5).map(lambda n: tuple(Caption(f"c{i}") for i in range(n))),
    st.sampled_from([(1.0,), (1.0, 2.5)]),
    st.sampled_from([("dense",), ("litefocus", "dense"), ("tome", "litefocus")]),
    st.sampled_from([(0,), (3, 1, 2)]),
)


@given(WORKS)
def test_every_item_has_a_number_of_its_own(work):
    items = [(group, label) for group in work.groups for label in work.in_group]
    numbers = [work.number(group, label) for group, label in items]
    assert sorted(numbers) == list(range(work.total)) and work.total == len(items)
    for (group, label), number in zip(items, numbers, strict=True):
        record = {"prompt": group.prompt, "seconds": group.seconds, "seed": group.seed, "method": label}
        assert work.number_of(record) == number
    assert work.in_group[0] == "dense" or "dense" not in work.methods


@given(WORKS, st.integers(1, 6))
def test_processes_share_all_of_it_evenly(work, world):
    shares = [Share(rank, world).of(work.groups) for rank in range(world)]
    assert sorted(group.number for share in shares for group in share) == list(range(len(work.groups)))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert work.groups[len(work.groups) - 1] == list(work.groups)[-1]


def test_noise_follows_the_caption_and_not_its_place():
    rain, wind, bell = Caption("rain"), Caption("wind"), Caption("bell", ("file",))
    seeds = dict(zip("rwb", noise_seeds([rain, wind, bell], 0), strict=True))
    assert noise_seeds([Caption("bell"), rain], 0) == [seeds["b"], seeds["r"]]
    assert len({*seeds.values(), *noise_seeds([rain, wind, bell], 1)}) == 6
    # Twice the same caption is two sounds, the first of which stays what it was.
    again = noise_seeds([rain, wind, rain], 0)
    assert again[:2] == [seeds["r"], seeds["w"]] and again[2] not in seeds.values()
    assert all(0 <= seed < 2**48 for seed in again)


@pytest.mark.parametrize(
    "environment, share",
    [
        ({}, Share(0, 1, 0)),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Share(3, 8, 1)),
        ({"RANK": "3", "WORLD_SIZE": "8"}, Share(3, 8, 0)),
    ],
)
def test_what_the_launcher_says(environment, share):
    assert Share.of_launcher(environment) == share


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is 2 and WORLD_SIZE 2"),
        ({"RANK": "1"}, "RANK is 1 and WORLD_SIZE 1"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK=x: expected a whole number of at least 0"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "WORLD_SIZE=0: expected a whole number of at least 1"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK=-1"),
    ],
)
def test_a_launcher_that_makes_no_sense_is_refused(environment, message):
    with pytest.raises(InputError, match=message):
        Share.of_launcher(environment)


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert [Share(rank, 8, rank % 4).device("auto") for rank in range(5)] == [f"cuda:{i}" for i in (0, 1, 2, 3, 0)]
    assert Share(1, 2, 1).device("cpu") == "cpu" and Share(1, 2, 1).device("cuda:3") == "cuda:3"
    assert Share().device("auto") == "auto"
    # A batch system may show each task its own GPU alone.
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert Share(3, 4, 3).device("cuda") == "cuda:0"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert Share(1, 2, 1).device("auto") == "auto"


def test_metrics_by_name_and_by_group():
    assert parse_metrics(["clap", "fad"]) == ("frechet", "kernel", "clap")
    assert parse_metrics(["log_mel_l1", "kl"]) == ("kl_softmax", "kl_sigmoid", "log_mel_l1")
    assert parse_metrics(GROUPS) == tuple(METRICS)
    with pytest.raises(InputError, match="no metric 'frechett'.*did you mean frechet"):
        parse_metrics(["frechett"])
    with pytest.raises(InputError, match="no metric was named"):
        parse_metrics([])
