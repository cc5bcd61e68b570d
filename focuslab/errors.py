"""Errors that say what was given, what was expected and what to do.

Every error a user can cause derives from `FocuslabError`, so that a caller (the command line above all)
needs one `except`. `InputError` is for what can be refused before any work starts.
"""

import difflib
from collections.abc import Iterable


class FocuslabError(Exception):
    """Base of all errors of focuslab. Exit code 1: the work was started and failed."""

    exit_code = 1


class InputError(FocuslabError, ValueError):
    """A wrong argument, file, name or combination. Exit code 2: nothing was started or written."""

    exit_code = 2


def did_you_mean(name: str, among: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest of those that exist, or nothing."""
    near = difflib.get_close_matches(name, among, n=1)
    return f"; did you mean {near[0]}?" if near else ""
