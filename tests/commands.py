"""The command as a process of its own."""

import signal
import subprocess
import sys


def start(*arguments, cwd, **options):
    """The command line `focuslab *arguments` as a running process that heeds Ctrl-C.

    A shell that started the tests in the background has switched Ctrl-C off for them and for all that they start.
    """
    return subprocess.Popen(
        [sys.executable, "-c", "from focuslab.cli import main; main()", *arguments],
        cwd=cwd,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )
