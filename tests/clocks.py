"""A clock that does not depend on the machine."""


class CountingClock:
    """Every mark is a millisecond after the one before: what calls as many modules takes as long."""

    def __init__(self):
        self._marks = 0

    def mark(self):
        self._marks += 1
        return self._marks

    def synchronize(self):
        pass

    def seconds(self, start, end):
        return (end - start) / 1e3

    def release(self, marks):
        pass
