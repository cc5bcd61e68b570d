"""Lengths of audio and what a pipeline makes of them."""

import pytest

from focuslab.errors import InputError
from focuslab.models.lengths import training_seconds


def test_the_training_length_is_read_off_the_configuration_or_asked_for(pipe):
    assert training_seconds(pipe) == pytest.approx(10.24)
    before = pipe.unet.config.sample_size
    pipe.unet.register_to_config(sample_size=None)
    try:
        with pytest.raises(InputError, match="has no sample_size.*register_to_config"):
            training_seconds(pipe)
    finally:
        pipe.unet.register_to_config(sample_size=before)
