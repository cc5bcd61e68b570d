import pytest

from focuslab.runs import differences, first_few

DDIM = {"class": "DDIMScheduler", "beta_end": 0.02, "steps_offset": 1}
MODEL = {
    "name": "tiny",
    "scheduler": DDIM,
    "weights": {"unet": "12ab", "vae": "34cd"},
    "settings": {"tokenizer": "56ef"},
    "dtypes": {"unet": "float32"},
    "adapters": {"unet": {"scales": {"voice": [0.5]}, "active": ["voice"], "layers": "78ab"}},
    "attention_processors": {},
}
IDENTITY = {"seed": 0, "parameters": {"steps": 4}, "prompts": ["rain"], "model": MODEL}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": 1}, ["seed: 0 there, 1 here"]),
        ({"parameters": {"steps": 8}}, ["parameters.steps: 4 there, 8 here"]),
        ({"parameters": {}}, ["parameters.steps: 4 there, none here"]),
        ({"prompts": ["rain " * 20]}, ["prompts"]),
        ({"model": {**MODEL, "weights": {"unet": "12ab", "vae": "0000"}}}, ["weights of vae"]),
        ({"model": {**MODEL, "settings": {"tokenizer": "0"}}}, ["settings of tokenizer"]),
        ({"model": {**MODEL, "dtypes": {"unet": "float16"}}}, ["dtype of unet: float32 there, float16 here"]),
        (
            {"model": {**MODEL, "scheduler": {"class": "DPMSolver", "order": 2}}},
            ["scheduler: DDIMScheduler there, DPMSolver here"],
        ),
        (
            {"model": {**MODEL, "scheduler": {**DDIM, "beta_end": 0.03}}},
            ["scheduler.beta_end: 0.02 there, 0.03 here"],
        ),
        (
            {"model": {**MODEL, "adapters": {"unet": {**MODEL["adapters"]["unet"], "scales": {"voice": [1.0]}}}}},
            ["adapters of unet.scales.voice: [0.5] there, [1.0] here"],
        ),
        ({"model": {**MODEL, "adapters": {}}}, ["adapters of unet"]),
        (
            {"model": {**MODEL, "attention_processors": {"unet": {"my.Loud": 3}}}},
            ['attention processors.unet: none there, {"my.Loud": 3} here'],
        ),
    ],
)
def test_each_difference_has_its_words(changes, expected):
    assert differences(IDENTITY, {**IDENTITY, **changes}) == expected


def test_many_differences_are_counted():
    lines = [f"seed {number}" for number in range(5)]
    assert first_few(lines) == "seed 0; seed 1; seed 2; and 2 more"
    assert first_few(lines[:3]) == "seed 0; seed 1; seed 2"
