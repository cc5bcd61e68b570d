"""What tests of loading share: the sound of a pipeline, and the message of a refusal."""

import pytest
import torch

from focuslab.errors import InputError
from focuslab.models.specs import load


def sound(pipe, prompt="rain", seconds=0.5, steps=2):
    """Samples as a tensor `[1, samples]`, the same for the same weights and prompt."""
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    return torch.from_numpy(
        pipe(prompt, audio_length_in_s=seconds, num_inference_steps=steps, generator=generator).audios
    )


def refused(*args, **kwargs):
    """The message of the `InputError` that loading ends in: always one line."""
    with pytest.raises(InputError) as caught:
        load(*args, **kwargs)
    message = str(caught.value)
    assert message and "\n" not in message
    return message
