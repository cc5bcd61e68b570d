"""What tests of loading share: the sound of a pipeline, a changed file, a refusal, a hub that is not there."""

import json
import shutil

import huggingface_hub
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


def edit(file, **changes):
    """Change fields of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def refused(*args, **kwargs):
    """The message of the `InputError` that loading a pipeline ends in: always one line."""
    return refusal(load, *args, **kwargs)


def refusal(call, *args, **kwargs):
    """The message of the `InputError` that a call ends in: always one line."""
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def hub_cache(saved, folder, monkeypatch):
    """The snapshot in a hub cache, laid out as by the hub's library, that holds what is `saved` as org/name."""
    repository = folder / "cache" / "models--org--name"
    shutil.copytree(saved, repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "cache"))
    return repository / "snapshots" / "abc"


def hub_answers(error, monkeypatch):
    """Lets each download raise an `error` of two lines."""
    # What these errors want at birth (a response of the transport) changes between releases.
    raised = type("Raised", (error,), {"__init__": lambda self: None, "__str__": lambda self: "first line\nsecond"})

    def download(*_args, **_kwargs):
        raise raised()

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
