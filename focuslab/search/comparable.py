"""Whether records of several runs may be put together."""

from collections.abc import Callable, Mapping
from typing import Any

from focuslab.errors import InputError
from focuslab.runs import RunInfo, differences, first_few


def check_comparable(infos: Mapping[str, RunInfo | None]) -> None:
    """Raise `InputError` in one line where runs, by what they are called, differ in model, device or dtype.

    A model is what its UNet is, not what it was loaded as. Runs that are None are passed over.
    """
    known = {name: info for name, info in infos.items() if info is not None}
    knowing = next((name for name, info in known.items() if info.knows_what_made_it), None)
    for name, info in known.items():
        if knowing and not info.knows_what_made_it:
            raise InputError(
                f"the {name} was written by {info.written_by}, which did not record what made it, so it cannot be put "
                f"together with the {knowing}: make it anew"
            )
    if not known:
        return
    first = next(iter(known))
    identities: dict[str, Callable[[RunInfo], tuple[Any, str]]] = {
        "model": _model,
        "device": _device,
        "dtype": lambda info: (info.dtype, info.dtype),
    }
    for what, of in identities.items():
        found = {name: of(info) for name, info in known.items()}
        for name, (identity, words) in found.items():
            if identity != found[first][0]:
                also = ""
                if words == found[first][1]:
                    also = f" (they differ in {first_few(differences(found[first][0], identity, what))})"
                raise InputError(
                    f"the {first} was made with the {what} {found[first][1]}, the {name} with {words}{also}: records "
                    f"of different {what}s cannot be put together; make both with one {what}"
                )


def _model(info: RunInfo) -> tuple[Any, str]:
    facts = {k: v for k, v in info.model.items() if k not in ("name", "revision")}
    name = info.model["name"]
    fingerprint = info.unet_fingerprint
    return (facts, f"{name} ({fingerprint})") if fingerprint else (info.model, name)


def _device(info: RunInfo) -> tuple[Any, str]:
    accelerator = info.machine.get("accelerator")
    kind = info.device.partition(":")[0]
    return (kind, accelerator), accelerator or kind
