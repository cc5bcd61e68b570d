"""focuslab.workflows.records: what is in the way of a record is replaced only where it is another run."""

from types import SimpleNamespace

import pytest

from focuslab.errors import AnotherRun, InputError
from focuslab.runs.directory import RunDirectory
from focuslab.workflows.records import SHARES, Parts, Records
from tests.choice_records import make_info


def records(directory, force):
    return Records(None, SimpleNamespace(seed=3), directory, force, Parts(lambda *_: None))


def make(pipe, calls, error, *, seed, progress, force=False):
    calls.append(force)
    if error and not force:
        raise error
    return seed


@pytest.mark.parametrize("force", [False, True])
def test_a_damaged_record_is_never_replaced(tmp_path, force):
    calls = []
    with pytest.raises(InputError, match="damaged"):
        records(tmp_path, force).made("profile", make, calls, InputError("damaged"))
    assert calls == [False]


def test_another_run_is_replaced_where_that_was_asked_for(tmp_path):
    calls = []
    assert records(tmp_path, True).made("profile", make, calls, AnotherRun("other")) == 3
    assert records(tmp_path, False).made("profile", make, calls, AnotherRun("other"), force=True) == 3
    assert calls == [False, True] * 2
    with pytest.raises(AnotherRun):
        records(tmp_path, False).made("profile", make, calls, AnotherRun("other"))


def test_a_run_directory_says_that_it_holds_another_run(tmp_path):
    with RunDirectory(tmp_path / "run", make_info()):
        pass
    with pytest.raises(AnotherRun, match="seed: 0 there, 1 here"):
        RunDirectory(tmp_path / "run", make_info(seed=1))


def test_the_parts_make_one_progress():
    seen = []
    parts = Parts(lambda done, total, text: seen.append(done / total))
    for name in SHARES:
        for done in (0, 1, 2):
            parts.part(name)(done, 2, "")
    assert seen == sorted(seen) and (seen[0], seen[-1]) == (0.0, 1.0)
