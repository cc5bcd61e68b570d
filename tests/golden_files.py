"""Texts that people read, kept whole in tests/golden/ and compared whole.

FOCUSLAB_GOLDEN=write python -m pytest renews them; the difference is then seen in git.
"""

import json
import os
from pathlib import Path

FILES = Path(__file__).parent / "golden"
WRITING = os.environ.get("FOCUSLAB_GOLDEN") == "write"


def check_text(name: str, text: str) -> None:
    """Compare a text with golden/NAME.txt."""
    path = FILES / f"{name}.txt"
    if WRITING:
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path} does not exist: write it with FOCUSLAB_GOLDEN=write"
    assert text == path.read_text(encoding="utf-8")


def check_case(name: str, case: str, text: str) -> None:
    """Compare a text with that of one case in golden/NAME.json, which has one for each case of a parametrised test."""
    path = FILES / f"{name}.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if WRITING:
        known[case] = text
        path.write_text(json.dumps(known, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    assert text == known.get(case), f"{case!r} in {path}"


def check_cases(name: str, cases) -> None:
    """Compare the cases of a test with those that golden/NAME.json has, so that none is left over."""
    path = FILES / f"{name}.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    if WRITING:
        kept = {case: known[case] for case in sorted(cases)}
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
        known = kept
    assert sorted(known) == sorted(cases)
