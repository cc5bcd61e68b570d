"""From a hub id to a directory on this machine."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from focuslab.errors import InputError
from focuslab.models.checks import first_line


def is_hub_id(model: str) -> bool:
    """Whether `model` is written as the hub writes its models, org/name."""
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model, re.ASCII) is not None


def fetch(model: str, offline: bool = False) -> Path:
    """The directory of hub model `model`, downloaded unless `offline` or HF_HUB_OFFLINE says that the cache must do.

    Raises `InputError` for a model that does not exist, may not be read, is of no family, or is out of reach.
    """
    import huggingface_hub

    # They import torch, and who only asks whether a name is one of the hub needs none.
    from focuslab.models.directory import read_index
    from focuslab.models.sites import EXPECTED

    offline = offline or huggingface_hub.is_offline_mode()
    instead = "a directory, 'random:tiny' or 'random:audioldm2'"
    expected = f"a pipeline of {EXPECTED}, such as 'cvssp/audioldm2'"
    with _in_one_line(model, "model_index.json", expected, instead, offline):
        # First the one small file that says what the model is: the rest is gigabytes.
        try:
            index = Path(huggingface_hub.hf_hub_download(model, "model_index.json", local_files_only=offline))
        except huggingface_hub.errors.EntryNotFoundError:
            # Tango has no index; where this file is missing too, that is what the error says.
            index = Path(huggingface_hub.hf_hub_download(model, "main_config.json", local_files_only=offline))
            patterns = ["*.json", "pytorch_model_*"]
            return index.parent if offline else Path(huggingface_hub.snapshot_download(model, allow_patterns=patterns))
        read_index(index, given=f"hub model {model!r}")
        if offline:
            return index.parent
        import diffusers

        return Path(diffusers.DiffusionPipeline.download(model, trust_remote_code=False))


def fetch_tokenizer(model: str, offline: bool = False) -> Path:
    """The directory of tokenizer and configuration of a text encoder, without its weights. Raises as `fetch` does."""
    import huggingface_hub

    offline = offline or huggingface_hub.is_offline_mode()
    with _in_one_line(model, "config.json", "a text encoder of transformers", "a directory", offline):
        config = Path(huggingface_hub.hf_hub_download(model, "config.json", local_files_only=offline))
        patterns = ["*.json", "*.model"]
        return config.parent if offline else Path(huggingface_hub.snapshot_download(model, allow_patterns=patterns))


def fetch_checkpoint(model: str, check: Callable[[Path], None], expected: str, offline: bool = False) -> Path:
    """The directory of a single model of transformers, named after its revision; `fetch` is for whole pipelines.

    check: raises `InputError` for a config.json of something else than is `expected`. Raises `InputError` as `fetch`.
    """
    import huggingface_hub

    offline = offline or huggingface_hub.is_offline_mode()
    with _in_one_line(model, "config.json", expected, "a directory", offline):
        config = Path(huggingface_hub.hf_hub_download(model, "config.json", local_files_only=offline))
        check(config)
        if offline:
            return config.parent
        revision = config.parent.name
        files = huggingface_hub.list_repo_files(model, revision=revision)
        weights = "*.safetensors" if any(file.endswith(".safetensors") for file in files) else "*.bin"
        patterns = ["*.json", "*.txt", weights, f"{weights}.index.json"]
        return Path(huggingface_hub.snapshot_download(model, revision=revision, allow_patterns=patterns))


@contextmanager
def _in_one_line(model: str, first: str, expected: str, instead: str, offline: bool) -> Iterator[None]:
    """Turns what the hub's library raises into `InputError`s.

    first: the file asked for first; expected: what has it; instead: what may be given where the hub is out of reach.
    """
    from huggingface_hub import errors, logging

    # Its retries are a line each; what comes of them is the error here.
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except InputError:
        raise
    except errors.LocalEntryNotFoundError:
        raise InputError(_out_of_reach(model, instead, offline)) from None
    except errors.GatedRepoError:
        raise InputError(
            f"hub model {model!r} is gated: ask for access on its page, then log in with 'hf auth login'"
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise InputError(
            f"no hub model {model!r} that you may read, and no such directory here: check the spelling, and log in "
            "with 'hf auth login' if it is private"
        ) from None
    except errors.EntryNotFoundError:
        raise InputError(f"hub model {model!r} has no {first}: expected {expected}") from None
    except Exception as error:  # whatever the transport of this version of the hub library raises
        raise InputError(f"hub model {model!r} could not be fetched ({first_line(error)}): try again later") from error
    finally:
        logging.set_verbosity(level)


def _out_of_reach(model: str, instead: str, offline: bool) -> str:
    if offline:
        return (
            f"hub model {model!r} is not in this machine's cache, offline was asked for, and there is no such "
            "directory: load it once without --offline and HF_HUB_OFFLINE, or give a directory"
        )
    return (
        f"hub model {model!r} is not in this machine's cache and the hub cannot be reached: check the network, or give "
        f"{instead}"
    )
