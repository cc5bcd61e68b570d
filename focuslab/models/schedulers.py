"""The schedulers of diffusers by short names, each made from the configuration of a pipeline's own one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from focuslab.checks import check_text
from focuslab.errors import InputError, did_you_mean

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
}
"""Name -> the class and what its configuration differs in from that of the pipeline's own; "dpm++" is DPM++ 2M."""


def check_scheduler_name(name: Any) -> str | None:
    """The name of a scheduler, or None for the pipeline's own. Raises `InputError` that lists the names."""
    if name is None:
        return None
    check_text("the name of a scheduler", name)
    if name not in SCHEDULERS:
        known = ", ".join(SCHEDULERS)
        raise InputError(f"there is no scheduler {name!r}, only {known}{did_you_mean(name, SCHEDULERS)}")
    return name


@contextmanager
def using_scheduler(pipe: Any, name: str | None) -> Iterator[None]:
    """Let a pipeline have another scheduler while entered; then it has its very own one again.

    Parameters
    ----------
    pipe
        A pipeline.
    name
        A key of `SCHEDULERS`; None changes nothing.

    Raises
    ------
    InputError
        For an unknown name, and for a scheduler that cannot work with the configuration of the pipeline's own.
    """
    if check_scheduler_name(name) is None:
        yield
        return
    own = getattr(pipe, "scheduler", None)
    pipe.scheduler = _make(own, str(name))
    try:
        yield
    finally:
        pipe.scheduler = own


def _make(own: Any, name: str) -> Any:
    import diffusers

    from focuslab.models.checks import first_line
    from focuslab.models.settings import check_scheduler

    kind, changes = SCHEDULERS[name]
    try:
        made = getattr(diffusers, kind).from_config(own.config, **changes)
        check_scheduler(made)
    except Exception as error:
        raise InputError(
            f"this pipeline cannot take the scheduler {name!r}: the configuration of its {type(own).__name__} makes no "
            f"{kind} that runs ({type(error).__name__}: {first_line(error)}); name another scheduler"
        ) from None
    return made
