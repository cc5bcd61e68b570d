"""The names of methods and what is known of each, without importing torch.

Every file of this folder that implements a method declares `NAMES`, a literal: name -> what `Entry` holds. It is read
as text, so that help texts, figures and the README list a new method as soon as its file is there.
"""

import ast
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A name for a method.

    Attributes
    ----------
    module, method
        The file below `focuslab.methods` and the class in it.
    does
        What is computed, in a few words.
    parameters
        Parameters of the class that the name stands for.
    papers
        Authors -> address of what the method is taken from.
    candidates
        Parameters of each form that `focuslab recommend` tries where attention costs much.
    everywhere
        Whether it runs at every site unless some are named.
    for_sites
        Whether a plan can name it for a site.
    color, marker
        How figures draw it, in matplotlib's notation. None leaves the choice to the figure.
    """

    module: str
    method: str
    does: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    papers: Mapping[str, str] = field(default_factory=dict)
    candidates: Sequence[Mapping[str, Any]] = ()
    everywhere: bool = False
    for_sites: bool = True
    color: str | None = None
    marker: str | None = None


@cache
def catalogue() -> dict[str, Entry]:
    """Name -> entry, the references of every comparison first."""
    found = {}
    paths = [path for folder in sys.modules["focuslab.methods"].__path__ for path in Path(folder).glob("*.py")]
    for path in sorted(paths, key=lambda path: (path.stem != "references", path.stem)):
        for name, entry in _declared(path.read_text(encoding="utf-8")).items():
            found[name] = Entry(path.stem, **entry)
    return found


def _declared(source: str) -> dict[str, Any]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == ["NAMES"]:
            return ast.literal_eval(node.value)
    return {}
