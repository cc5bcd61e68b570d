"""The page as one HTML file that asks no other for anything."""

import base64
import hashlib
import os
from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from focuslab.errors import InputError
from focuslab.io.files import check_place, open_regular, write_file
from focuslab.report.html.build import Page, build
from focuslab.report.html.parts import MOST_ROWS
from focuslab.report.html.sources import find

MOST_BYTES = 8_000_000
"""A page has at most this many bytes; clips are cut so that they fit."""
_MARK, _HEAD = b'<meta name="generator" content="focuslab', 4096
_ASSETS = files("focuslab.report.html") / "assets"


def write_report(paths: Iterable[str | Path], out: str | Path) -> tuple[Path, Page]:
    """Write one page of everything in these directories to `out`, and return what is on it. An older page is replaced.

    Raises `InputError` where nothing can be shown or `out` is something else than such a page.
    """
    out = Path(out)
    _check_place(out)
    page = build(find(paths), lambda page: MOST_BYTES - len(render(page)))
    content = render(page)
    write_file(out, content)
    return out, page


def _check_place(out: Path) -> None:
    check_place(out, "give another --out")
    if out.is_dir():
        raise InputError(f"{out} is a directory: expected the name of a file, such as {out / 'report.html'}")
    if out.is_symlink() or (out.exists() and not out.is_file()):
        raise InputError(f"{out} is no regular file: it is not written to")
    if out.exists():
        with open(open_regular(out), "rb") as file:
            if _MARK not in file.read(_HEAD):
                raise InputError(f"{out} exists already and is no report: give another --out")


def render(page: Page) -> bytes:
    """The page in UTF-8. Whatever text is in it is escaped, and no script but the page's own may run."""
    script = _asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    content: dict[str, Any] = {"policy": policy, "script": Markup(script), "css": Markup(_asset("report.css"))}
    content |= {"page": page, "version": version("focuslab"), "most_rows": MOST_ROWS}
    loader = PackageLoader("focuslab.report.html", "assets")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.jinja").render(**content).encode()


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def default_name(paths: Iterable[str | os.PathLike]) -> Path:
    """report.html in the directory given, or here if there are several."""
    given = [Path(path) for path in paths]
    return given[0] / "report.html" if len(given) == 1 and given[0].is_dir() else Path("report.html")
