"""Errors that say what was given, what was expected and what to do.

Every error a user can cause derives from `FocuslabError`, so that a caller (the command line above all)
needs one `except`. `InputError` is for what can be refused before any work starts.
"""

import difflib
from collections.abc import Iterable

MOST_CHARACTERS = 1000
"""Of a message."""


def one_line(text: str) -> str:
    """A text as one line of bounded length that a terminal shows and nothing in it can steer."""
    text = " ".join(text[: 4 * MOST_CHARACTERS].split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


class FocuslabError(Exception):
    """Base of all errors of focuslab. Exit code 1: the work was started and failed."""

    exit_code = 1

    def __init__(self, message: str = ""):
        super().__init__(one_line(message))


class InputError(FocuslabError, ValueError):
    """A wrong argument, file, name or combination. Exit code 2: nothing was started or written."""

    exit_code = 2


class AnotherRun(InputError):
    """A directory holds a run of something else than what was asked for; `force` would replace it."""


def did_you_mean(name: str, among: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest of those that exist, or nothing."""
    near = difflib.get_close_matches(name, among, n=1)
    return f"; did you mean {near[0]}?" if near else ""
