"""Clocks that tests set by hand, with what a `focuslab.hooks.timers.Clock` has."""


class HandClock:
    """It stands still but when a test adds to `now`, in seconds."""

    def __init__(self):
        self.now = 0

    def mark(self):
        return self.now

    def synchronize(self):
        pass

    def seconds(self, start, end):
        return float(end - start)

    def release(self, marks):
        pass
