"""From a hub id to a directory on this machine."""

from pathlib import Path

from focuslab.errors import InputError
from focuslab.models.directory import first_line, read_index


def fetch(model: str, offline: bool = False) -> Path:
    """The directory of hub model `model`, downloaded unless `offline` or HF_HUB_OFFLINE says that the cache must do.

    Raises `InputError` for a model that does not exist, may not be read, is no AudioLDM2 pipeline, or is out of reach.
    """
    import huggingface_hub
    from huggingface_hub import errors

    offline = offline or huggingface_hub.is_offline_mode()
    try:
        # First the one small file that says what the model is: the rest is gigabytes.
        index = Path(huggingface_hub.hf_hub_download(model, "model_index.json", local_files_only=offline))
        read_index(index, given=f"hub model {model!r}")
        if offline:
            return index.parent
        from diffusers import AudioLDM2Pipeline

        return Path(AudioLDM2Pipeline.download(model))
    except InputError:
        raise
    except errors.LocalEntryNotFoundError:
        raise InputError(_out_of_reach(model, offline)) from None
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
        raise InputError(
            f"hub model {model!r} has no model_index.json: expected an AudioLDM2 pipeline such as 'cvssp/audioldm2'"
        ) from None
    except Exception as error:  # whatever the transport of this version of the hub library raises
        raise InputError(f"hub model {model!r} could not be fetched ({first_line(error)}): try again later") from error


def _out_of_reach(model: str, offline: bool) -> str:
    if offline:
        return (
            f"hub model {model!r} is not in this machine's cache, offline was asked for, and there is no such "
            "directory: load it once without --offline and HF_HUB_OFFLINE, or give a directory"
        )
    return (
        f"hub model {model!r} is not in this machine's cache and the hub cannot be reached: check the network, or give "
        "a directory, 'random:tiny' or 'random:audioldm2'"
    )
