"""Progress on stderr, and output that the environment of the process cannot break."""

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import click

RESOLUTION = 10_000


@contextmanager
def going_on_from(place: Path) -> Iterator[None]:
    """Says at Ctrl-C that the same command resumes, and from where."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.Abort(f"the same command resumes from what is in {place}") from None


class Reporter:
    """A `focuslab.runs.Progress` to use in a `with`; silent if quiet."""

    def __init__(self, quiet: bool):
        self._quiet = quiet
        self._bar: Any = None  # a progress bar of click, once there is something to draw
        self._first: tuple[float, float] | None = None

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *_exception) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    def __call__(self, done: float, total: float, text: str) -> None:
        if self._quiet or sys.stderr is None:
            return
        # A terminal that cannot go back to the start of a line would show every state of the bar.
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._draw(done / total, text)
        else:
            click.echo(f"{done / total:4.0%}  {text}{self._time_left(done, total)}", err=True)

    def _draw(self, share: float, text: str) -> None:
        if self._bar is None:
            self._bar = click.progressbar(
                length=RESOLUTION, show_eta=True, file=sys.stderr, width=24, item_show_func=lambda item: item or ""
            )
        self._bar.update(round(share * RESOLUTION) - self._bar.pos, text)

    def _time_left(self, done: float, total: float) -> str:
        # Counted from the first report on: what was prepared, or found done, before it says nothing of the rate.
        if self._first is None:
            self._first = time.monotonic(), done
        start, done_before = self._first
        if done in (done_before, total):
            return ""
        seconds = (time.monotonic() - start) * (total - done) / (done - done_before)
        return f"  (about {_duration(seconds)} left)"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


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
