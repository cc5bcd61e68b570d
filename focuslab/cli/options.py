"""What all commands share: options for the model and the run, and how an error is shown."""

import errno
import functools
import hashlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import click

from focuslab.checks import printable
from focuslab.errors import FocuslabError, one_line
from focuslab.models.schedulers import SCHEDULERS

COUNT, PATH = click.IntRange(min=1), click.Path(path_type=Path)


class Numbers(click.ParamType):
    """Different positive numbers separated by commas, such as 10,20,40; `what` they are, for errors."""

    name = "numbers"
    expected = "positive number"

    def __init__(self, what: str = "length", example: str = "10,20,40"):
        self.what = what
        self.example = example

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        numbers = tuple(self._number(text, param, ctx) for text in value.split(","))
        if len(set(numbers)) < len(numbers):
            self.fail(f"{value!r} names a {self.what} twice", param, ctx)
        return numbers

    def _number(self, text: str, param, ctx) -> float:
        try:
            number = self.parse(text)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and self.allowed(number)):
            expected = f"{self.what}s such as {self.example}"
            self.fail(f"{text!r} is no {self.expected}: expected {expected}", param, ctx)
        return number

    parse: Callable[[str], float] = staticmethod(float)

    def allowed(self, number: float) -> bool:
        return number > 0


class Fractions(Numbers):
    """Different numbers from 0 to 1."""

    expected = "number from 0 to 1"

    def allowed(self, number: float) -> bool:
        return 0 <= number <= 1


class WholeNumbers(Numbers):
    """Different whole numbers from 0."""

    expected = "whole number"
    parse = staticmethod(int)

    def allowed(self, number: float) -> bool:
        return number >= 0


class Names(click.ParamType):
    """Texts separated by commas."""

    name = "names"

    def convert(self, value, param, ctx):
        return value if isinstance(value, tuple) else tuple(text.strip() for text in value.split(","))


scheduler_option = click.option(
    "--scheduler", metavar="NAME", help=f"{', '.join(SCHEDULERS)}, configured as the model's.  [default: the model's]"
)


def default_directory(command: str, model: str, settings: list) -> Path:
    """A directory that the same command finds again and another one does not."""
    digest = hashlib.blake2b(json.dumps([model, *settings]).encode(), digest_size=4).hexdigest()
    slug = re.sub(r"[^a-zA-Z0-9.]+", "-", model).strip("-.")
    return Path("runs") / f"{command}-{slug}-{digest}"


def shared_options(function: Callable) -> Callable:
    """--model, --device, --dtype, --seed, --offline, --quiet and --debug, and one line for every error."""
    options = (
        click.option(
            "--model",
            "-m",
            default="tiny",
            show_default=True,
            help="tiny, random:tiny, random:audioldm2, random:audioldm2-large, random:audioldm, random:musicldm, "
            "random:tango, a directory, or a hub id.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ..."),
        click.option(
            "--dtype",
            type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
            default="auto",
            show_default=True,
            help="auto is float16 on CUDA, else float32.",
        ),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the first noise."),
        click.option("--offline", is_flag=True, help="Take hub models from this machine's cache only."),
        click.option("--quiet", "-q", is_flag=True, help="No progress."),
    )
    function = report_errors(function)
    for option in reversed(options):
        function = option(function)
    return function


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether a Ctrl-C is what an error comes from: Python 3.11 wraps one that falls while a class is made."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _is_interrupt(error.__cause__))


_WRONG_NAME = (errno.ENAMETOOLONG, errno.ELOOP)
"""What the system says of names that nothing can have."""


def report_errors(function: Callable) -> Callable:
    """One line for every error of a command, and an option --debug, which shows the traceback."""

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(function)
    def run(*args, debug: bool, **kwargs):
        try:
            return function(*args, **kwargs)
        except (click.ClickException, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if _is_interrupt(error):
                raise click.Abort from None
            if debug:
                raise
            if isinstance(error, FocuslabError):
                raise _failure(str(error), error.exit_code) from error
            message, exit_code = f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1
            if isinstance(error, OSError) and error.strerror:
                # Of a full disk or a missing right there is nothing to be debugged.
                message = f"{error.filename or 'a file'} cannot be used ({error.strerror})"
                exit_code = 2 if error.errno in _WRONG_NAME else 1
            raise _failure(one_line(message), exit_code) from error

    return run


def _failure(message: str, exit_code: int) -> click.ClickException:
    kind = type("ClickException", (click.ClickException,), {"exit_code": exit_code})
    return kind(printable(message))
