"""The scripts that make the bundled model, importable by their own names, as they import each other."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "analyses" / "tiny_model"


@contextmanager
def importable() -> Iterator[None]:
    sys.path.insert(0, str(FOLDER))
    try:
        yield
    finally:
        sys.path.remove(str(FOLDER))
