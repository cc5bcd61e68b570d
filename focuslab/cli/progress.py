"""Progress on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
