"""Numbers of a configuration that no generation could run with are refused when a pipeline is loaded."""

import copy
from types import SimpleNamespace

import pytest
from transformers import RobertaTokenizer

from focuslab.errors import InputError
from focuslab.models.settings import check_settings

WRONG = {
    "unet": [("sample_size", value) for value in ("x", [250, 16], 0, -5, float("inf"), True)],
    "vocoder": [("sampling_rate", 0), ("sampling_rate", -1), ("sampling_rate", 10**12), ("upsample_rates", [0, 2])],
    "vae": [("scaling_factor", "x"), ("scaling_factor", 0), ("scaling_factor", None)],
    "language_model": [("max_new_tokens", 10**9), ("max_new_tokens", None), ("max_new_tokens", 3.5)],
    "scheduler": [("steps_offset", 10**12), ("prediction_type", "x")],
}


@pytest.mark.parametrize("part, name, value", [(part, *given) for part, all_of in WRONG.items() for given in all_of])
def test_a_number_that_cannot_be_is_named(session_pipe, part, name, value):
    parts = {name: SimpleNamespace(config=copy.deepcopy(getattr(session_pipe, name).config)) for name in WRONG}
    parts["scheduler"] = copy.deepcopy(session_pipe.scheduler)
    if part == "scheduler":
        parts[part].register_to_config(**{name: value})
    else:
        parts[part].config = SimpleNamespace(**{**dict(_items(parts[part].config)), name: value})
    with pytest.raises(InputError) as caught:
        check_settings(SimpleNamespace(**parts))
    assert "\n" not in str(caught.value)
    assert (name if part != "scheduler" else type(session_pipe.scheduler).__name__) in str(caught.value)


def _items(config):
    return config.items() if hasattr(config, "items") else config.to_dict().items()


def test_the_models_at_hand_pass(session_pipe):
    check_settings(session_pipe)
    assert session_pipe.unet.config.sample_size > 0


def without_padding(tokenizer):
    tokenizer.pad_token = None


def with_more_tokens(tokenizer):
    tokenizer.add_tokens([f"<{number}>" for number in range(2000)])


def without_mask(tokenizer):
    tokenizer.model_input_names = ["input_ids"]


def without_limit(tokenizer):
    tokenizer.model_max_length = 10**30


@pytest.mark.parametrize("name", ["tokenizer", "tokenizer_2"])
@pytest.mark.parametrize(
    "spoil, says",
    [
        (without_padding, "cannot take a prompt"),
        (with_more_tokens, "has tokens from 0 to"),
        (without_limit, "cannot take a prompt"),
        (without_mask, "cannot take a prompt"),
    ],
)
def test_a_tokenizer_that_the_pipeline_cannot_use_is_named(session_pipe, name, spoil, says):
    parts = dict(session_pipe.components)
    parts[name] = copy.deepcopy(parts[name])
    spoil(parts[name])
    with pytest.raises(InputError, match=f"the {name} of this model {says}"):
        check_settings(SimpleNamespace(**parts))


def test_a_tokenizer_with_an_empty_vocabulary_is_refused(session_pipe):
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {name: index for index, name in enumerate(names)}
    empty = RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    with pytest.raises(InputError, match="gives all prompts the same tokens|cannot take a prompt"):
        check_settings(SimpleNamespace(**{**session_pipe.components, "tokenizer": empty}))
