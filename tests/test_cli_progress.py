import os
import pty
import time

import pytest

from focuslab.cli import progress
from focuslab.cli.progress import Reporter


@pytest.fixture
def clock(monkeypatch):
    now = {"seconds": 1000.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: now["seconds"])
    return now


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_time_left_follows_the_rate_since_the_first_report(clock, capsys):
    with Reporter(quiet=False) as report:
        clock["seconds"] += 500  # loading, which says nothing of the rate
        report(40, 100, "found done")
        clock["seconds"] += 10
        report(50, 100, "second")
        clock["seconds"] += 190
        report(60, 100, "third")
        report(100, 100, "last")
    assert lines(capsys) == [
        " 40%  found done",
        " 50%  second  (about 50 s left)",
        " 60%  third  (about 7 min left)",
        "100%  last",
    ]


def test_on_a_terminal_there_is_a_bar_with_the_time_left(monkeypatch):
    main_end, terminal = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    now = time.time()
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        with Reporter(quiet=False) as report:
            report(0, 10, "a")
            # click says nothing of the time left in the first second.
            monkeypatch.setattr("time.time", lambda: now + 20.5)
            report(5, 10, "b")
            report(10, 10, "c")
        stderr.flush()
        shown = os.read(main_end, 100_000)
    os.close(main_end)
    assert b"100%" in shown and b"\r" in shown and b"#####" in shown and b"00:00:20" in shown


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(clock, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    with Reporter(quiet=False) as report:
        report(1, 10, "a")
        report(10, 10, "b")
    assert lines(capsys) == [" 10%  a", "100%  b"]


def test_an_item_without_weight_is_no_division_by_zero(clock, capsys):
    with Reporter(quiet=False) as report:
        report(1, 10, "a")
        report(1, 10, "b")
    assert lines(capsys) == [" 10%  a", " 10%  b"]


def test_quiet_says_nothing(capsys):
    with Reporter(quiet=True) as report:
        report(1, 10, "a")
    assert lines(capsys) == []


@pytest.mark.parametrize(
    "seconds, text", [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (86400, "24.0 h")]
)
def test_durations_are_in_words_of_their_size(seconds, text):
    assert progress._duration(seconds) == text
