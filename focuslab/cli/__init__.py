"""The command line. Commands are imported when they are called, so that help is instant."""

import _thread
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import click

from focuslab.cli.progress import flush_output, prepare_process
from focuslab.errors import one_line

COMMANDS = {
    "demo": "Go through all of it on the bundled model, in minutes, and end in one page.",
    "capture-attn": "Record where attention goes, at every site, head and length, and draw Figure 2.",
    "evaluate": "Score the sound of methods over many captions, on one process or many.",
    "generate": "Make one sound from a prompt, dense or sparse.",
    "profile": "Time a denoising step, method against method, and draw Figure 1.",
    "report": "Put runs of any kind on one page: figures, tables, clips, and how each number was made.",
    "recommend": "Choose which sites to make sparse at each length: a plan, and its validation.",
}
"""Command -> the line that `focuslab --help` shows for it; each lives in the module of its name."""


class LazyGroup(click.Group):
    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        if name not in COMMANDS:
            return None
        return import_module(f"focuslab.cli.{name.replace('-', '_')}").command

    def format_commands(self, ctx, formatter):
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="focuslab", prog_name="focuslab")
def cli():
    """Where long audio diffusion spends its time, which self-attention can be sparse, and what that costs in sound."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 done, 1 the work failed, 2 wrong input, 130 interrupted."""
    prepare_process()
    color = None if _has_colors() else False
    try:
        with _no_stop_dropped():
            code = cli.main(arguments, prog_name="focuslab", standalone_mode=False, color=color)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = error.exit_code
    except click.ClickException as error:
        message = error.format_message()
        # It repeats what was given, which may be anything; other messages are lines of our own, with colours.
        message = one_line(message) if isinstance(error, click.UsageError) else message
        click.echo(f"focuslab: {message}", err=True, color=color)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt) as stopped:
        click.echo("; ".join(["focuslab: stopped", *stopped.args]), err=True)
        code = 130
    code = code if isinstance(code, int) else 0
    # click too exits with 1 where nobody reads its output any more.
    sys.exit(code if flush_output() else 1)


@contextmanager
def _no_stop_dropped() -> Iterator[None]:
    """Python drops what is raised in a finalizer or a callback of C code: a Ctrl-C that fell there comes once more."""

    def hook(unraisable) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            # Not from here, where it would be dropped again.
            threading.Timer(0.05, _thread.interrupt_main).start()
        else:
            before(unraisable)

    before, sys.unraisablehook = sys.unraisablehook, hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _has_colors() -> bool:
    """Not where the terminal has none, or the user wants none (no-color.org)."""
    return os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
