"""What the environment says about this process, kept from ending a command that has done its work."""

import os
import sys
import warnings
from contextlib import suppress
from typing import TextIO


def prepare_process() -> None:
    """Make output, figures and warnings safe from the environment, before anything is imported for the work."""
    for stream in _streams():
        # A prompt or a file name may hold letters that the encoding of a terminal or a pipe lacks. A notebook puts
        # streams of another kind in place of these.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if "matplotlib" not in sys.modules:
        # A notebook exports the backend of its kernel, which need not be installed where this command is. The commands
        # show no window: they draw with Agg.
        os.environ["MPLBACKEND"] = "agg"
    if any(action == "error" for action, *_ in warnings.filters):
        # Libraries would raise them for reasons that say nothing of the work.
        warnings.simplefilter("default")


def flush_output() -> bool:
    """Whether all output has reached its reader, who may have gone away, as `head` does."""
    try:
        for stream in _streams():
            stream.flush()
    except BrokenPipeError:
        _discard_output()
        return False
    return True


def _streams() -> list[TextIO]:
    """Standard output and standard error; Python has None for one that was closed when the process was started."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _discard_output() -> None:
    """Send what is still buffered nowhere: Python would fail to write it when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in _streams():
        # A stream that another program put in place has no file.
        with suppress(OSError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
